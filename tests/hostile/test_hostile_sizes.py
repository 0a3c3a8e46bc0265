"""Large headers: within the limits they work, beyond them they are refused at once, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHILD = """
import resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from mergegraph.checkpoint.header import read_header
from mergegraph.diagnostics import MergeGraphError
started = time.process_time()
try:
    print(len(read_header(Path(sys.argv[1])).tensors))
except MergeGraphError as error:
    print(str(error).splitlines()[0])
print(time.process_time() - started)
"""

MB = 1_000_000


def _child(path: Path, memory: int) -> tuple[str, float]:
    """Return what a process of `memory` bytes of address space says of the file, and its seconds."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, path, str(memory)], capture_output=True, text=True, timeout=120, check=True
    )
    said, seconds = run.stdout.splitlines()
    return said, float(seconds)


def _write(path: Path, pieces: Iterator[str]) -> Path:
    raw = "".join(pieces).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)
    return path


def _empty_tensors(count: int) -> Iterator[str]:
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    yield "{"
    yield ",".join(f'"t{i}":{entry}' for i in range(count))
    yield "}"


def _metadata(size: int) -> Iterator[str]:
    yield '{"__metadata__":{"a":"'
    yield "x" * size
    yield '"}}'


def test_header_of_99_mb_is_read(tmp_path):
    said, _ = _child(_write(tmp_path / "w", _metadata(99 * MB)), 800 * MB)
    assert said == "0"


def test_500_000_tensors_are_read(tmp_path):
    said, _ = _child(_write(tmp_path / "w", _empty_tensors(500_000)), 1_500 * MB)
    assert said == "500000"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (_metadata(101 * MB), "error[MG505]: the header has 101,000,025 bytes; at most 100,000,000 are read"),
        (_empty_tensors(500_001), "error[MG505]: the header has 500,001 tensors; at most 500,000 are read"),
        (
            iter(['{"a":[', "[]," * 30 * MB, "[]]}"]),
            "error[MG505]: the header has 60,000,003 commas and brackets; at most 8,000,000 are read",
        ),
        (
            iter(['{"a":{"dtype":"F32","shape":[', "0," * 20 * MB, '0],"data_offsets":[0,0]}}']),
            "error[MG505]: the header has 20,000,007 commas and brackets; at most 8,000,000 are read",
        ),
        (iter(['{"a":' + "[" * 5 * MB]), "error[MG506]: the header nests too deep"),
        (
            iter(['{"', "a" * 90 * MB, '":1}']),
            "error[MG505]: a tensor's name has 90,000,000 characters; at most 1,024 are read",
        ),
    ],
    ids=["bytes", "tensors", "lists", "numbers", "depth", "name"],
)
def test_beyond_the_limits_is_refused_at_once(tmp_path, pieces, expected):
    said, seconds = _child(_write(tmp_path / "w", pieces), 600 * MB)
    assert said == expected
    assert seconds < 1


def test_header_that_is_all_hole_allocates_nothing(tmp_path):
    path = tmp_path / "w"
    with path.open("wb") as file:
        file.write((2**40).to_bytes(8, "little"))
        file.truncate(2**41)
    said, seconds = _child(path, 400 * MB)
    assert said == f"error[MG505]: the header has {2**40:,} bytes; at most 100,000,000 are read"
    assert seconds < 1


def test_tensor_of_more_than_2_to_the_31_elements_in_a_sparse_file(tmp_path):
    path = tmp_path / "w"
    raw = json.dumps({"w": {"dtype": "U8", "shape": [2**32], "data_offsets": [0, 2**32]}}).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + 2**32)
    assert _child(path, 400 * MB)[0] == "1"
