"""Reading parts of files: every byte, from many threads, and noticing what changes meanwhile."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mergegraph.checkpoint.files import FileIdentity
from mergegraph.checkpoint.reader import FileSet
from mergegraph.diagnostics import MergeGraphError


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three files of 1000 bytes each: all 0, all 1, all 2."""
    paths = [tmp_path / name for name in "abc"]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * 1000)
    return paths


def _read(files: FileSet, file: int, offset: int, size: int) -> bytes:
    buffer = bytearray(size)
    files.read_into(file, offset, memoryview(buffer))
    return bytes(buffer)


def _identities(paths: list[Path]) -> list[FileIdentity]:
    return [FileIdentity.of(path.stat()) for path in paths]


def _edit(path: Path) -> None:
    path.write_bytes(b"new" + path.read_bytes()[3:])
    os.utime(path, ns=(1, 1))


def _replace(path: Path) -> None:
    (path.parent / "new").write_bytes(b"n" * 1000)
    (path.parent / "new").rename(path)


def _message(error: pytest.ExceptionInfo[MergeGraphError]) -> str:
    return str(error.value).splitlines()[0]


CHANGED = "error[MG530]: the file has changed since its header was read"


def test_any_part_is_read(tmp_path):
    content = os.urandom(5000)
    (tmp_path / "f").write_bytes(content)
    with FileSet([tmp_path / "f"]) as files:
        assert _read(files, 0, 0, 5000) == content
        assert _read(files, 0, 4999, 1) == content[-1:]
        assert _read(files, 0, 17, 300) == content[17:317]
        assert _read(files, 0, 5000, 0) == b""


def test_buffers_of_other_types_are_filled(paths):
    with FileSet(paths) as files:
        view = memoryview(bytearray(16)).cast("q")
        files.read_into(1, 0, view)
        assert view.tolist() == [0x0101010101010101] * 2


def test_short_reads_are_continued(paths, monkeypatch):
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: whole(fd, [buffers[0][:7]], offset))
    with FileSet(paths) as files:
        assert _read(files, 2, 0, 1000) == b"\2" * 1000


@pytest.mark.parametrize("limit", [1, 2, 3, 512])
def test_many_threads_read_many_files_of_which_few_are_open(paths, limit):
    jobs = [(i % 3, i) for i in range(600)]
    with FileSet(paths, limit=limit) as files, ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda job: _read(files, *job, 300), jobs))
        files.check_unchanged()
    assert parts == [bytes([file]) * 300 for file, _ in jobs]


def test_no_more_files_than_the_limit_are_open(paths):
    before = len(os.listdir("/proc/self/fd"))
    with FileSet(paths, limit=2) as files:
        for file in (0, 1, 2, 0, 2, 1):
            assert _read(files, file, 0, 5) == bytes([file]) * 5
            assert len(os.listdir("/proc/self/fd")) == before + 2


def test_files_are_closed_at_the_end(paths):
    before = os.listdir("/proc/self/fd")
    with FileSet(paths):
        assert len(os.listdir("/proc/self/fd")) == len(before) + 3
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_files_are_closed_when_one_of_them_is_missing(paths):
    before = len(os.listdir("/proc/self/fd"))
    paths[1].unlink()
    with pytest.raises(MergeGraphError) as caught, FileSet(paths):
        pass
    assert str(caught.value) == (
        f"error[MG501]: there is no such file\n  --> {paths[1]}\n  = help: see whether it was moved or renamed"
    )
    assert len(os.listdir("/proc/self/fd")) == before


def test_truncation_while_reading(paths):
    with FileSet(paths) as files:
        os.truncate(paths[1], 500)
        with pytest.raises(MergeGraphError) as caught:
            _read(files, 1, 100, 800)
        assert str(caught.value) == (
            f"error[MG531]: the file was truncated while it was read: it now ends at byte 500\n  --> {paths[1]}\n"
            "  = help: run again: inputs must not be written to while they are merged"
        )


def test_an_edit_in_place_is_noticed_and_named(paths):
    with FileSet(paths) as files:
        files.check_unchanged()
        _edit(paths[1])
        with pytest.raises(MergeGraphError) as caught:
            files.check_unchanged()
    assert str(caught.value) == (
        f"{CHANGED}\n  --> {paths[1]}\n  = help: run again: inputs must not be written to while they are merged"
    )


def test_a_change_between_header_and_reading_is_noticed(paths):
    identities = _identities(paths)
    _edit(paths[2])
    with pytest.raises(MergeGraphError) as caught, FileSet(paths, identities):
        pass
    assert _message(caught) == CHANGED


def test_a_file_that_is_replaced_by_a_rename_is_read_as_it_was(paths):
    with FileSet(paths, _identities(paths)) as files:
        _replace(paths[0])
        assert _read(files, 0, 0, 10) == bytes(10)
        files.check_unchanged()


def test_a_closed_file_that_is_replaced_is_noticed(paths):
    with FileSet(paths, limit=1) as files:
        assert _read(files, 0, 0, 10) == bytes(10)
        assert _read(files, 1, 0, 10) == b"\1" * 10
        _replace(paths[0])
        with pytest.raises(MergeGraphError) as caught:
            files.check_unchanged()
        assert _message(caught) == CHANGED
        with pytest.raises(MergeGraphError) as caught:
            _read(files, 0, 0, 10)
        assert _message(caught) == CHANGED


def test_a_closed_file_that_is_deleted_is_noticed(paths):
    with FileSet(paths, _identities(paths), limit=1) as files:
        paths[2].unlink()
        with pytest.raises(MergeGraphError) as caught:
            files.check_unchanged()
        assert _message(caught) == CHANGED


def test_what_the_system_refuses_is_said_of_the_file(paths, monkeypatch):
    def fail(*arguments: object) -> int:
        raise OSError(5, "Input/output error")

    with FileSet(paths) as files:
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(MergeGraphError) as caught:
            _read(files, 0, 0, 1)
        assert str(caught.value) == (
            f"error[MG503]: the file cannot be read: Input/output error\n  --> {paths[0]}\n"
            "  = help: see that this user may read it, and that its disk is sound"
        )
