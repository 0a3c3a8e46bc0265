"""One malformed safetensors file a function: what is said of it, to the letter."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from checkpoint_bytes import entry, header_refusal, safetensors, without_usual_help

from mergegraph.checkpoint.header import MAX_NAME, read_header
from mergegraph.diagnostics import MergeGraphError

AT = "\n  --> …/model.safetensors"


def _path_refusal(path: Path) -> str:
    with pytest.raises(MergeGraphError) as caught:
        read_header(path)
    return without_usual_help(str(caught.value).replace(str(path), "PATH"))


def test_empty_file(tmp_path):
    assert header_refusal(tmp_path, b"") == "error[MG504]: this is no safetensors file: it has only 0 bytes" + AT


def test_three_bytes(tmp_path):
    assert header_refusal(tmp_path, b"abc") == "error[MG504]: this is no safetensors file: it has only 3 bytes" + AT


def test_length_of_two_to_the_63(tmp_path):
    assert header_refusal(tmp_path, (2**63).to_bytes(8, "little") + b"{}") == (
        "error[MG504]: this is no whole safetensors file: it announces a header of 9,223,372,036,854,775,808 bytes, "
        "2 follow" + AT
    )


def test_length_beyond_the_file(tmp_path):
    whole = safetensors({"a": entry(0, 4)}, b"1234")
    assert header_refusal(tmp_path, whole[:20]) == (
        f"error[MG504]: this is no whole safetensors file: it announces a header of {len(whole) - 12} bytes, "
        "12 follow" + AT
    )


def test_git_lfs_pointer(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    assert header_refusal(tmp_path, pointer) == (
        "error[MG504]: this is no whole safetensors file: it announces a header of "
        f"{int.from_bytes(b'version ', 'little'):,} bytes, {len(pointer) - 8} follow"
        + AT
        + "\n  = help: this is a pointer of Git LFS: fetch the file with `git lfs pull`"
    )


def test_zip_of_a_pickle(tmp_path):
    assert header_refusal(tmp_path, b"PK\x03\x04\0\0\0\0" + bytes(100)) == (
        "error[MG504]: this is no whole safetensors file: it announces a header of 67,324,752 bytes, 100 follow"
        + AT
        + "\n  = help: this is a zip archive, as torch.save writes: convert the weights to safetensors"
    )


def test_not_utf8(tmp_path):
    assert header_refusal(tmp_path, safetensors(b'{"\xff": 1}')) == (
        "error[MG506]: the header is not UTF-8 at byte 2" + AT
    )


def test_utf16(tmp_path):
    assert header_refusal(tmp_path, safetensors("{}".encode("utf-16-le"))) == (
        "error[MG506]: the header is not JSON at character 1" + AT
    )


def test_byte_order_mark(tmp_path):
    assert header_refusal(tmp_path, safetensors("\ufeff{}".encode())) == (
        "error[MG506]: the header does not begin with `{`" + AT
    )


def test_leading_space(tmp_path):
    assert header_refusal(tmp_path, safetensors(b" {}")) == "error[MG506]: the header does not begin with `{`" + AT


def test_not_json(tmp_path):
    assert header_refusal(tmp_path, safetensors(b'{"a": nonsense}')) == (
        "error[MG506]: the header is not JSON at character 6" + AT
    )


def test_second_value(tmp_path):
    assert header_refusal(tmp_path, safetensors(b"{} {}")) == "error[MG506]: the header is not JSON at character 3" + AT


def test_a_list(tmp_path):
    assert header_refusal(tmp_path, safetensors(b"[1]")) == "error[MG506]: the header does not begin with `{`" + AT


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_nested_200_000_deep(tmp_path, bracket):
    assert header_refusal(tmp_path, safetensors(b'{"a":' + bracket.encode() * 200_000)) == (
        "error[MG506]: the header nests too deep" + AT
    )


def test_number_of_5000_digits(tmp_path):
    assert header_refusal(tmp_path, safetensors(b'{"a":' + b"1" * 5000 + b"}")) == (
        "error[MG506]: the header has a number of too many digits" + AT
    )


def test_half_a_surrogate_pair(tmp_path):
    assert header_refusal(tmp_path, safetensors({"\ud800": entry(0, 1)}, b"1")) == (
        "error[MG506]: the header has text that is not Unicode: `\\ud800`" + AT
    )


def test_duplicate_tensor(tmp_path):
    one = json.dumps(entry(0, 1))
    assert header_refusal(tmp_path, safetensors(f'{{"w": {one}, "w": {one}}}'.encode(), b"1")) == (
        "error[MG507]: the header gives `w` twice" + AT
    )


def test_duplicate_field(tmp_path):
    raw = b'{"w": {"dtype": "U8", "shape": [1], "shape": [2], "data_offsets": [0, 1]}}'
    assert header_refusal(tmp_path, safetensors(raw, b"1")) == "error[MG507]: the header gives `shape` twice" + AT


def test_metadata_that_is_not_text(tmp_path):
    assert header_refusal(tmp_path, safetensors({"__metadata__": {"a": 1}})) == (
        "error[MG508]: the header's `__metadata__` is not an object of strings" + AT
    )


@pytest.mark.parametrize(
    "fields", [{}, [], 7, None, "U8", ["U8", [1], [0, 1]], entry(0, 1) | {"more": 1}, {"dtype": "U8", "shape": [1]}]
)
def test_entry_of_other_fields(tmp_path, fields):
    assert header_refusal(tmp_path, safetensors({"w": fields}, b"1")) == (
        "error[MG508]: the entry of `w` is not `dtype`, `shape` and `data_offsets`" + AT
    )


@pytest.mark.parametrize("shape", [1, "1", [1.0], [-1], [True], [[1]], [None], {}, [1] * 65])
def test_shape_that_is_none(tmp_path, shape):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 1) | {"shape": shape}}, b"1")) == (
        "error[MG508]: the shape of `w` is not a list of up to 64 sizes" + AT
    )


@pytest.mark.parametrize("offsets", [[1], [0, 1, 1], [1, 0], [-1, 0], ["0", "1"], [0, 1.0], None])
def test_offsets_that_are_reversed_or_negative_or_none(tmp_path, offsets):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 1) | {"data_offsets": offsets}}, b"1")) == (
        "error[MG508]: the data offsets of `w` are not two rising sizes" + AT
    )


def test_negative_zero(tmp_path):
    raw = b'{"w": {"dtype": "U8", "shape": [-0], "data_offsets": [0, 0]}}'
    assert header_refusal(tmp_path, safetensors(raw)) == (
        "error[MG508]: the shape of `w` is not a list of up to 64 sizes" + AT
    )


def test_unknown_dtype(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 1, dtype="F7")}, b"1")) == (
        "error[MG509]: the dtype of `w` is unknown: `F7`" + AT
    )


def test_dtype_that_is_a_list(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 1) | {"dtype": ["U8"]}}, b"1")) == (
        "error[MG509]: the dtype of `w` is unknown: `['U8']`" + AT
    )


def test_shape_that_lies(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 20, [2, 3], "F32")}, bytes(20))) == (
        "error[MG510]: `w` is F32 of shape `[2, 3]`: 24 bytes, but its data has 20" + AT
    )


def test_half_bytes(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 2, [3], "F4")}, bytes(2))) == (
        "error[MG510]: `w` is F4 of shape `[3]`: 12 bits, but its data has 2" + AT
    )


def test_shape_that_overflows_64_bits_to_the_right_size(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 4, [2**62 + 1, 4], "U8")}, bytes(4))) == (
        "error[MG510]: `w` is U8 of shape `[4611686018427387905, 4]`: too large" + AT
    )


def test_zero_elements_of_overflowing_shape(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w": entry(0, 0, [0, 2**62, 4])})) == (
        "error[MG510]: `w` is U8 of shape `[0, 4611686018427387904, 4]`: too large" + AT
    )


def test_overlap(tmp_path):
    assert header_refusal(tmp_path, safetensors({"a": entry(0, 4), "b": entry(3, 7)}, bytes(7))) == (
        "error[MG511]: the data of `b` overlaps that of `a`" + AT
    )


def test_the_same_bytes_twice(tmp_path):
    assert header_refusal(tmp_path, safetensors({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4))) == (
        "error[MG511]: the data of `b` overlaps that of `a`" + AT
    )


def test_hole(tmp_path):
    assert header_refusal(tmp_path, safetensors({"a": entry(0, 4), "b": entry(6, 7)}, bytes(7))) == (
        "error[MG511]: 2 bytes before `b` belong to no tensor" + AT
    )


def test_hole_at_the_start(tmp_path):
    assert header_refusal(tmp_path, safetensors({"a": entry(1, 4)}, bytes(4))) == (
        "error[MG511]: 1 byte before `a` belong to no tensor" + AT
    )


def test_empty_tensor_beyond_the_data(tmp_path):
    assert header_refusal(tmp_path, safetensors({"a": entry(0, 4), "b": entry(2**70, 2**70)}, bytes(4))) == (
        f"error[MG511]: {2**70 - 4:,} bytes before `b` belong to no tensor" + AT
    )


def test_trailing_bytes(tmp_path):
    assert header_refusal(tmp_path, safetensors({"a": entry(0, 4)}, bytes(9))) == (
        "error[MG511]: 5 bytes after the last tensor belong to none" + AT
    )


def test_truncated_data(tmp_path):
    whole = safetensors({"a": entry(0, 4), "b": entry(4, 8)}, bytes(8))
    assert header_refusal(tmp_path, whole[:-1]) == (
        f"error[MG512]: the file is truncated: `b` ends at byte {len(whole)}, the file at {len(whole) - 1}" + AT
    )


def test_name_of_a_megabyte(tmp_path):
    assert header_refusal(tmp_path, safetensors({"w" * 1_000_000: entry(0, 1)}, b"1")) == (
        "error[MG505]: a tensor's name has 1,000,000 characters; at most 1,024 are read" + AT
    )


def test_tensors_whose_keys_are_spelled_with_escapes_are_counted_too(tmp_path, monkeypatch):
    monkeypatch.setattr("mergegraph.checkpoint.header.MAX_TENSORS", 1)
    raw = json.dumps({"a": entry(0, 1), "b": entry(1, 2)}).replace("data_offsets", "data\\u005foffsets").encode()
    assert header_refusal(tmp_path, safetensors(raw, b"12")) == (
        "error[MG505]: the header has 2 tensors; at most 1 are read" + AT
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\0b", "a\\x00b"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("w" * MAX_NAME, "w" * 120 + "…"),
    ],
)
def test_names_are_data_and_shown_escaped(tmp_path, name, shown):
    path = tmp_path / "good.safetensors"
    path.write_bytes(safetensors({name: entry(0, 1)}, b"1"))
    assert list(read_header(path).tensors) == [name]
    assert header_refusal(tmp_path, safetensors({name: entry(0, 1, dtype="F7")}, b"1")) == (
        f"error[MG509]: the dtype of `{shown}` is unknown: `F7`" + AT
    )


def test_nothing_there(tmp_path):
    assert _path_refusal(tmp_path / "absent") == "error[MG501]: there is no such file\n  --> PATH"


def test_directory(tmp_path):
    assert _path_refusal(tmp_path) == "error[MG502]: this is a directory, not a file\n  --> PATH"


def test_named_pipe_without_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert _path_refusal(tmp_path / "pipe") == "error[MG502]: this is a named pipe, not a file\n  --> PATH"


def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert _path_refusal(tmp_path / "socket") == "error[MG502]: this is a socket, not a file\n  --> PATH"


def test_device():
    assert _path_refusal(Path("/dev/zero")) == "error[MG502]: this is a device, not a file\n  --> PATH"


def test_loop_of_links(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert _path_refusal(tmp_path / "a") == "error[MG520]: the links lead in a circle\n  --> PATH"
