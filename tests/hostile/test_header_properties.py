"""The header reader against safetensors' own, over headers that are right, nearly right, and broken anywhere."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_bytes import safetensors
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from mergegraph.checkpoint.header import Header, read_header
from mergegraph.diagnostics import MergeGraphError
from mergegraph.dtypes import BY_CODE

STRICTER = {"MG505", "MG507", "MG509"}
"""Refused though safetensors may accept it: limits, names given twice, and dtypes that have no name here."""

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
dtypes = st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
arrays = st.builds(
    lambda shape, dtype: np.zeros(shape, dtype), st.lists(st.integers(0, 4), max_size=4).map(tuple), dtypes
)
metadata = st.none() | st.dictionaries(names, names, min_size=1, max_size=3)


def _read(folder: Path, content: bytes) -> Header | str:
    """Return the header, or the code with which it is refused."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    try:
        return read_header(path)
    except MergeGraphError as error:
        return error.diagnostics[0].code


def _theirs(content: bytes) -> dict[str, tuple[str, list[int], bytes]] | None:
    """Return what safetensors reads, None when it refuses."""
    try:
        return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in deserialize(content)}
    except SafetensorError:
        return None


def _ours(header: Header, content: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    return {
        name: (entry.dtype.code, list(entry.shape), content[entry.begin : entry.begin + entry.nbytes])
        for name, entry in header.tensors.items()
    }


def _further_reasons(header: dict[str, Any]) -> set[str]:
    """Return the codes for what a header with a further field, or with more than 2⁶³ − 1 elements, may be refused."""
    more = any(set(fields) - {"dtype", "shape", "data_offsets"} for fields in header.values())
    huge = any(prod(size or 1 for size in fields["shape"]) >= 2**63 for fields in header.values())
    return {code for code, may in (("MG508", more), ("MG510", huge)) if may}


@SAME_FOLDER
@given(st.dictionaries(names, arrays, max_size=6), metadata)
def test_everything_that_safetensors_writes_is_read_as_safetensors_reads_it(tmp_path, tensors, metadata):
    content = save(tensors, metadata)
    header = _read(tmp_path, content)
    assert isinstance(header, Header)
    assert _ours(header, content) == _theirs(content)
    assert header.metadata == (metadata or {})
    assert [e.begin for e in header.tensors.values()] == sorted(e.begin for e in header.tensors.values())
    assert header.file_bytes == len(content)


sizes = st.integers(-1, 9) | st.sampled_from([True, 1.0, None, "1", 2**31, 2**63, 2**64])
shapes = st.lists(st.integers(0, 4), max_size=3) | st.lists(sizes, max_size=3) | sizes
codes = st.sampled_from([*BY_CODE, "F7", "f32", "", "F8_E4M3FNUZ"]) | sizes
offsets = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(list) | st.lists(sizes, max_size=3) | sizes
entries = st.fixed_dictionaries(
    {"dtype": codes, "shape": shapes, "data_offsets": offsets}, optional={"x": st.integers()}
)
honest = st.tuples(st.sampled_from(["U8", "F16", "BF16", "F32", "F4"]), st.lists(st.integers(0, 4), max_size=3))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[dict[str, object], int]:
    """Draw a header whose tensors follow each other, with up to two of its numbers or fields changed."""
    header, end = {}, 0
    for name, (code, shape) in draw(st.dictionaries(names, honest, max_size=4)).items():
        nbytes = int(np.prod(shape, dtype=int)) * BY_CODE[code].bits // 8
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [end, end + nbytes]}
        end += nbytes
    for name in draw(st.lists(st.sampled_from(sorted(header)), max_size=2)) if header else ():
        header[name] = header[name] | draw(entries)
    return header, draw(st.sampled_from([end, end, end, max(0, end - 1), end + 1]))


@SAME_FOLDER
@given(layouts())
@example(({"a": {"dtype": "U8", "shape": [0, 2**63, 4], "data_offsets": [0, 0]}}, 0))
def test_agrees_with_safetensors_on_nearly_right_headers(tmp_path, layout):
    header, size = layout
    content = safetensors(header, bytes(range(size % 256)).ljust(size, b"\1"))
    ours, theirs = _read(tmp_path, content), _theirs(content)
    if isinstance(ours, Header):
        assert _ours(ours, content) == theirs
    elif theirs is not None:
        assert ours in STRICTER | _further_reasons(header)


@SAME_FOLDER
@given(st.dictionaries(names, arrays, min_size=1, max_size=3), st.data())
def test_accepts_nothing_that_safetensors_refuses(tmp_path, tensors, data):
    """One to three bytes are changed anywhere, the header's length included."""
    content = bytearray(save(tensors, {"format": "pt"}))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b'{}[]",:0159-.e \\u\x00\xff'))
    ours, theirs = _read(tmp_path, bytes(content)), _theirs(bytes(content))
    if isinstance(ours, Header):
        assert _ours(ours, bytes(content)) == theirs


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_dtype_is_one_of_safetensors(tmp_path, code):
    content = safetensors({"w": {"dtype": code, "shape": [8], "data_offsets": [0, BY_CODE[code].bits]}})
    content += bytes(BY_CODE[code].bits)
    header = _read(tmp_path, content)
    assert isinstance(header, Header)
    assert _ours(header, content) == _theirs(content)
