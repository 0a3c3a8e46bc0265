"""Make safetensors files and model folders byte by byte, right or wrong, and read what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.checkpoint.header import read_header
from mergegraph.diagnostics import MergeGraphError


def entry(begin: int, end: int, shape: list[int] | None = None, dtype: str = "U8") -> dict[str, object]:
    """Return a tensor's entry in a header; one byte an element unless a shape is given."""
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def safetensors(header: object, data: bytes = b"") -> bytes:
    """Return a file: the header's length, the header (bytes as they are, all else as JSON), the data."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def header_refusal(tmp_path: Path, content: bytes) -> str:
    """Return the whole text with which a file of this content is refused."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(MergeGraphError) as caught:
        read_header(path)
    return str(caught.value).replace(str(tmp_path), "…")


def model_refusal(tmp_path: Path, source: str = "./m") -> str:
    """Return the whole text with which a model below `tmp_path` is refused."""
    with pytest.raises(MergeGraphError) as caught:
        open_checkpoint(source, relative_to=tmp_path)
    assert caught.value.exit_code == 3
    return str(caught.value).replace(str(tmp_path), "…")
