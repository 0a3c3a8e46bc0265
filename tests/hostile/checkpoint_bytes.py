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


AGAIN = "copy or download the file again"
CORRECT = "correct the file, or copy or download it again"
REST = "copy or download the whole model again: its index and its shards don't belong together"
USUAL = {
    "MG501": "see whether it was moved or renamed",
    "MG502": "put the file itself there",
    "MG505": "look at what it is: no model that is known has as much",
    "MG506": CORRECT,
    "MG507": CORRECT,
    "MG509": "convert the tensor to a type that is known, such as BF16 or F32",
    "MG514": "an index names files beside it: do not trust this model",
    "MG516": REST,
    "MG517": REST,
    "MG518": "remove the files that are too many",
    "MG520": "put the file itself there",
    "MG533": "remove all but one",
    **dict.fromkeys(("MG504", "MG508", "MG510", "MG511", "MG512", "MG513"), AGAIN),
}
"""The help line of what is said of files that are broken, by code."""


def without_usual_help(text: str) -> str:
    """Return what is said without the help line that is usual for its code; fail where there is no help at all."""
    assert "\n  = help: " in text
    return text.removesuffix(f"\n  = help: {USUAL.get(text[6:11])}")


def header_refusal(tmp_path: Path, content: bytes) -> str:
    """Return the text with which a file of this content is refused, without its usual help line."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(MergeGraphError) as caught:
        read_header(path)
    return without_usual_help(str(caught.value).replace(str(tmp_path), "…"))


def model_refusal(tmp_path: Path, source: str = "./m") -> str:
    """Return the text with which a model below `tmp_path` is refused, without its usual help line."""
    with pytest.raises(MergeGraphError) as caught:
        open_checkpoint(source, relative_to=tmp_path)
    assert caught.value.exit_code == 3
    return without_usual_help(str(caught.value).replace(str(tmp_path), "…"))
