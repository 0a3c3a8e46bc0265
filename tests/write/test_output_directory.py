"""The life of an output: refusals, resuming, permissions, threads, replacing."""

import errno
import fcntl
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mergegraph.diagnostics import MergeGraphError
from mergegraph.dtypes import DTYPES
from mergegraph.write import ledger
from mergegraph.write.digest import digest
from mergegraph.write.directory import OutputDirectory
from mergegraph.write.layout import OutputTensor, plan_layout
from mergegraph.write.os import REAL

ARRAYS = {
    "a": np.arange(40, dtype="float32").reshape(5, 8),
    "b": np.arange(9, dtype="int64"),
    "c": np.array(7, dtype="uint8"),
    "d": np.zeros((0, 4), dtype="float16"),
}
LAYOUT = plan_layout([OutputTensor(name, DTYPES[str(x.dtype)], x.shape) for name, x in ARRAYS.items()], 200)
DIGESTS = {name: digest(x.tobytes()) for name, x in ARRAYS.items()}
SMALL = {"config.json": b"{}\n", "1_Pooling/config.json": b"[]\n", "mergegraph.json": b"{}\n"}


class ReplacedOs:
    """The real operations, except those that are given."""

    def __init__(self, **replaced):
        self.replaced = replaced

    def __getattr__(self, name):
        return self.replaced.get(name, getattr(REAL, name))


def failing(number):
    def operation(*_):
        raise OSError(number, os.strerror(number))

    return operation


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(target="out", **options):
    given = {"plan_hash": "p1", "fingerprints": {"a.safetensors": "f1", "b.safetensors": "f2"}}
    return OutputDirectory.create(Path(target), LAYOUT, **given | {"versions": {"mergegraph": "0.1.0"}} | options)


def put(out, *names):
    for name in names:
        out.write(LAYOUT.shard_of[name], LAYOUT.slot(name).offset, ARRAYS[name].data)
        out.record({name: DIGESTS[name]})


def write_output(target="out", **options):
    with begin(target, **options) as out:
        put(out, *(name for name in ARRAYS if name not in out.done))
        out.commit(SMALL)


def tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}


def listing():
    return sorted(os.listdir())


def refused(**options):
    before = {str(path): path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    error = rejected(**options)
    assert {str(path): path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before
    return error


def rejected(**options):
    with pytest.raises(MergeGraphError) as caught:
        begin(**options)
    return caught.value


def test_a_directory_is_what_safetensors_would_have_written():
    write_output()
    assert LAYOUT.shards[0].file == "model-00001-of-00002.safetensors"
    for shard in LAYOUT.shards:
        save_file({name: ARRAYS[name] for name in shard.tensors}, shard.file, {"format": "pt"})
        assert Path("out", shard.file).read_bytes() == Path(shard.file).read_bytes()
        os.unlink(shard.file)
    assert set(tree("out")) == {*SMALL, *(shard.file for shard in LAYOUT.shards), "model.safetensors.index.json"}
    assert listing() == ["out"]


def test_the_mask_of_the_process_decides_the_permissions():
    modes = {}
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        write_output(f"out{mask}")
        os.umask(before)
        modes[mask] = {oct(path.stat().st_mode & 0o777) for path in Path(f"out{mask}").rglob("*") if path.is_file()}
        modes[mask] |= {oct(Path(f"out{mask}", "1_Pooling").stat().st_mode & 0o777)}
    assert modes == {0o022: {"0o644", "0o755"}, 0o077: {"0o600", "0o700"}}


def test_threads_write_in_any_order():
    arrays = {f"t{i}": np.arange(i * 100, i * 100 + 500, dtype="int32") for i in range(60)}
    layout = plan_layout([OutputTensor(name, DTYPES["int32"], x.shape) for name, x in arrays.items()], 4000)
    assert len(layout.shards) == 30
    given = {"plan_hash": "p", "fingerprints": {}, "versions": {}}
    with OutputDirectory.create(Path("out"), layout, **given) as out:

        def work(name):
            slot = layout.slot(name)
            for start in range(0, slot.nbytes, 300):
                piece = arrays[name].tobytes()[start : start + 300]
                out.write(layout.shard_of[name], slot.offset + start, piece)
            out.record({name: digest(arrays[name].tobytes())})

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, reversed(arrays)))
        out.commit({})
    loaded = {name: x for shard in layout.shards for name, x in load_file(Path("out", shard.file)).items()}
    assert {name: x.tolist() for name, x in loaded.items()} == {name: x.tolist() for name, x in arrays.items()}


def test_writing_goes_on_while_one_thread_syncs(monkeypatch):
    monkeypatch.setattr(ledger, "SYNC_BYTES", 1)
    syncing, go_on = threading.Event(), threading.Event()

    def slow(fd):
        syncing.set()
        assert go_on.wait(10)

    with begin(os_=ReplacedOs(fdatasync=slow)) as out:
        with ThreadPoolExecutor(1) as other:
            first = other.submit(put, out, "a")
            assert syncing.wait(10)
            put(out, "b", "c")
            assert not first.done()
            assert out.done == {}
            go_on.set()
        assert set(out.done) == {"a"}
        put(out, "d")
        assert set(out.done) == {"a", "b", "c", "d"}


def test_tensors_are_journaled_when_enough_has_come_together(monkeypatch):
    monkeypatch.setattr(ledger, "SYNC_BYTES", LAYOUT.slot("a").nbytes + LAYOUT.slot("b").nbytes)
    with begin() as out:
        put(out, "a")
        assert set(out.done) == set()
        put(out, "b")
        assert set(out.done) == {"a", "b"}
        monkeypatch.setattr(ledger, "SYNC_SECONDS", 0)
        put(out, "c")
        assert set(out.done) == {"a", "b", "c"}


def test_after_a_failed_sync_nothing_is_journaled_any_more():
    os_ = ReplacedOs(fdatasync=failing(errno.EIO))
    with begin(os_=os_) as out:
        put(out, "a")
        with pytest.raises(MergeGraphError):
            out.flush()
        os_.replaced.clear()
        with pytest.raises(MergeGraphError) as caught:
            out.flush()
        assert out.done == {}
    assert str(caught.value) == (
        "error[MG610]: writing failed: Input/output error\n"
        "  --> out\n"
        "  = help: continue with `--resume`: what is finished is kept"
    )


def test_an_interrupt_while_syncing_loses_nothing():
    def interrupt(_):
        raise KeyboardInterrupt

    os_ = ReplacedOs(fdatasync=interrupt)
    out = begin(os_=os_)
    put(out, "a", "b")
    with pytest.raises(KeyboardInterrupt):
        out.flush()
    os_.replaced.clear()
    assert out.abandon() == out.partial
    with begin(resume=True) as again:
        assert again.partial == out.partial
        assert set(again.done) == {"a", "b"}


def test_writing_outside_of_the_data_is_a_mistake_of_the_caller():
    shard = LAYOUT.shards[0]
    with begin() as out:
        for offset, data in [(len(shard.header) - 1, b"x"), (shard.nbytes, b"x"), (shard.nbytes - 1, b"xy")]:
            with pytest.raises(ValueError, match="has no data at"):
                out.write(0, offset, data)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "./x", "", "model-00001-of-00002.safetensors"])
def test_a_small_file_can_not_leave_the_directory_or_replace_weights(name):
    with begin() as out:
        put(out, *ARRAYS)
        with pytest.raises(ValueError, match="can't be the name of a file in the output"):
            out.commit({name: b""})
    assert not Path("out").exists()


def test_an_unfinished_output_gets_no_final_name():
    with begin() as out:
        put(out, "a", "c")
        with pytest.raises(MergeGraphError) as caught:
            out.commit(SMALL)
    assert str(caught.value) == (
        "error[MG613]: 2 tensors were never finished: `b`, `d`\n"
        "  --> out\n"
        "  = help: continue with `--resume`: what is finished is kept"
    )
    assert listing() == [out.partial.name]


@pytest.mark.parametrize("damage", ["header", "size"])
def test_a_shard_that_does_not_read_back_gets_no_final_name(damage):
    with begin() as out:
        put(out, *ARRAYS)
        path = out.partial / "model" / LAYOUT.shards[1].file
        with open(path, "r+b") as file:
            file.seek(9 if damage == "header" else LAYOUT.shards[1].nbytes)
            file.write(b"?")
        with pytest.raises(MergeGraphError) as caught:
            out.commit(SMALL)
    assert str(caught.value) == (
        "error[MG614]: `model-00002-of-00002.safetensors` does not read back as it was written\n"
        f"  --> {path}\n"
        "  = help: check the disk; then start over without `--resume`"
    )
    assert not Path("out").exists()


def test_a_run_that_stops_before_anything_is_finished_leaves_nothing():
    out = begin()
    assert out.abandon() is None
    assert out.abandon() is None
    assert listing() == []


# Refusals


def test_an_output_that_exists_is_refused():
    write_output()
    assert str(refused()) == (
        "error[MG601]: `out` exists already\n"
        "  --> out\n"
        "  = help: replace it with `--overwrite`, or choose another output"
    )


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("make", [lambda: Path("out").write_text("mine"), lambda: os.symlink("/nowhere", "out")])
def test_a_file_or_link_in_the_place_of_the_output_is_never_replaced(make, overwrite):
    make()
    assert str(refused(overwrite=overwrite)) == (
        "error[MG602]: `out` exists and is not a folder\n  --> out\n  = help: remove it, or choose another output"
    )


def test_a_folder_that_holds_no_model_is_not_replaced():
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("years of work")
    assert str(refused(overwrite=True)) == (
        "error[MG603]: `out` is not a model directory, so `--overwrite` does not replace it\n"
        "  --> out\n"
        "  = help: remove it yourself, or choose another output"
    )


@pytest.mark.parametrize("make", [lambda: None, lambda: Path("not here").write_text("a file")])
def test_a_missing_parent_is_refused(make):
    make()
    assert str(refused(target="not here/out")) == (
        "error[MG604]: there is no folder `not here` to put the output in\n"
        "  --> not here/out\n"
        "  = help: create it: mkdir -p 'not here'"
    )


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_parent_that_can_not_be_written_is_refused(number):
    reason = {errno.EROFS: "Read-only file system", errno.EACCES: "Permission denied"}[number]
    assert str(refused(os_=ReplacedOs(open=failing(number)))) == (
        f"error[MG605]: writing is not allowed here: {reason}\n  --> out"
    )


@pytest.mark.parametrize(
    ("target", "given", "relation"),
    [
        ("in", "in", "is"),
        ("in/out", "in", "lies inside"),
        ("in/deep/out", "in", "lies inside"),
        ("in/not/there/out", "in", "lies inside"),
        ("in", "in/deep", "contains"),
        ("in", "in/model.safetensors", "contains"),
        ("link/out", "in", "lies inside"),
        ("in/out", "link", "lies inside"),
        ("in", "blob", "contains"),
    ],
)
def test_an_output_and_an_input_do_not_overlap(target, given, relation):
    Path("in/deep").mkdir(parents=True)
    Path("in/model.safetensors").write_text("weights")
    os.symlink("in", "link")
    os.symlink("in/model.safetensors", "blob")
    assert str(refused(target=target, inputs=[Path("elsewhere"), Path(given)], overwrite=True)) == (
        f"error[MG606]: the output {relation} the input `{given}`; inputs are never written\n"
        f"  --> {target}\n"
        "  = help: choose an output outside all inputs"
    )


def test_a_neighbour_with_a_longer_name_is_no_overlap():
    Path("out-2").mkdir()
    write_output(inputs=[Path("out-2"), Path("ou")])
    assert Path("out").is_dir()


def test_two_runs_on_one_output_are_kept_apart():
    with begin() as first:
        put(first, "a")
        with pytest.raises(MergeGraphError) as caught:
            begin()
        put(first, "b", "c", "d")
        first.commit(SMALL)
    assert str(caught.value) == (
        f"error[MG607]: another run is writing `out`: process {os.getpid()} on {socket.gethostname()}\n"
        "  --> out\n"
        "  = help: wait until it has ended, or choose another output"
    )
    assert listing() == ["out"]


def test_a_lock_that_was_removed_by_its_holder_is_not_taken_for_held():
    """Between opening the file and locking it, another run may have ended and removed it."""
    removed = []

    def late(fd, operation):
        if not removed:
            os.unlink("out.partial.lock")
            removed.append(fd)
        fcntl.flock(fd, operation)

    with begin(os_=ReplacedOs(flock=late)), pytest.raises(MergeGraphError, match="another run is writing"):
        begin()


def test_a_file_system_without_locks_is_accepted():
    write_output(os_=ReplacedOs(flock=failing(errno.ENOLCK)))
    assert listing() == ["out"]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written():
    small = SimpleNamespace(f_bavail=0, f_frsize=4096)
    error = refused(os_=ReplacedOs(statvfs=lambda _: small))
    assert str(error) == (
        "error[MG608]: `out` needs 545 B of disk, 0 B are free: 545 B are missing\n"
        "  --> out\n"
        "  = help: free some space on this disk, or choose an output on another one"
    )
    assert error.exit_code == 4


def test_what_an_earlier_run_left_is_named_where_room_is_missing():
    with begin() as out:
        put(out, "a")
    small = SimpleNamespace(f_bavail=1, f_frsize=100)
    error = refused(os_=ReplacedOs(statvfs=lambda _: small))
    assert str(error) == (
        "error[MG608]: `out` needs 545 B of disk, 100 B are free: 445 B are missing\n"
        "  --> out\n"
        "  = help: free some space on this disk, or choose an output on another one\n"
        f"  = help: `{out.partial.name}` is left from an earlier run: continue it with `--resume`, or remove it"
    )


def test_a_resumed_run_needs_no_room_for_what_it_has_already():
    with begin() as out:
        put(out, "a")
    full = SimpleNamespace(f_bavail=0, f_frsize=4096)
    write_output(resume=True, os_=ReplacedOs(statvfs=lambda _: full))
    assert listing() == ["out"]


def test_a_disk_that_fills_up_ends_with_its_own_exit_code():
    error = refused(os_=ReplacedOs(posix_fallocate=failing(errno.ENOSPC)))
    assert str(error) == (
        "error[MG608]: the disk is full\n"
        "  --> out\n"
        "  = help: free some space on this disk, or choose an output on another one"
    )
    assert error.exit_code == 4


def test_a_file_system_that_can_not_reserve_space_is_accepted():
    write_output(os_=ReplacedOs(posix_fallocate=failing(errno.EOPNOTSUPP)))
    assert {name: x.tolist() for name, x in load_file("out/model-00001-of-00002.safetensors").items()} == {
        "a": ARRAYS["a"].tolist()
    }


@pytest.mark.parametrize("target", ["/", ".."])
def test_an_output_needs_a_name(target):
    assert str(refused(target=target)) == (
        "error[MG609]: an output needs a name of its own\n"
        f"  --> {target}\n"
        "  = help: name a folder that does not exist yet"
    )


# Resuming


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"plan_hash": "p2"}, "it was begun by another recipe, or with other options"),
        ({"versions": {"mergegraph": "0.2.0"}}, "it was begun with mergegraph 0.1.0, and this is 0.2.0"),
        (
            {"versions": {"mergegraph": "0.1.0", "torch": "2.13.0"}},
            "it was begun with torch none, and this is 2.13.0",
        ),
        (
            {"fingerprints": {"a.safetensors": "f1", "b.safetensors": "other"}},
            "these inputs have changed since: `b.safetensors`",
        ),
        (
            {"plan_hash": "p2", "fingerprints": {"b.safetensors": "f2", "\x1b[31m": "f3"}},
            "these inputs have changed since: `\\x1b[31m`, `a.safetensors`; "
            "it was begun by another recipe, or with other options",
        ),
    ],
)
def test_a_run_does_not_continue_what_another_began(options, reason):
    with begin() as out:
        put(out, "a")
    assert str(refused(resume=True, **options)) == (
        f"error[MG611]: `{out.partial.name}` can't be continued by this run: {reason}\n"
        "  --> out\n"
        "  = help: repeat the run as it was begun, or start over without `--resume`"
    )


def test_a_run_does_not_continue_shards_that_were_cut_differently():
    with begin() as out:
        put(out, "a")
    whole = plan_layout([OutputTensor(name, DTYPES[str(x.dtype)], x.shape) for name, x in ARRAYS.items()])
    given = {"plan_hash": "p1", "fingerprints": {"a.safetensors": "f1", "b.safetensors": "f2"}}
    with pytest.raises(MergeGraphError, match=r"by this run: its shards are cut differently"):
        OutputDirectory.create(Path("out"), whole, versions={"mergegraph": "0.1.0"}, resume=True, **given)


def test_with_nothing_to_continue_a_resumed_run_begins():
    write_output(resume=True)
    assert listing() == ["out"]


def test_a_torn_tail_of_the_journal_is_ignored():
    with begin() as out:
        put(out, "a", "b")
    journal = out.partial / "mergegraph-journal.jsonl"
    whole = journal.read_bytes()
    torn = [whole[:-1], whole[:-30], whole + b"\0\0\0\0", whole + b'{"tensor":"c"}\n', whole + b"\xff\n[]\n" + whole]
    for data in torn:
        journal.write_bytes(data)
        with begin(resume=True) as again:
            assert set(again.done) == ({"a"} if data in torn[:2] else {"a", "b"})
    write_output(resume=True)
    assert listing() == ["out"]


@pytest.mark.parametrize("data", [b"", b"{", b'{"format": "other"}\n', b"[]\n", b"[" * 100_000 + b"\n"])
def test_a_partial_output_without_a_readable_first_line_is_begun_anew(data):
    with begin() as out:
        put(out, "a")
    (out.partial / "mergegraph-journal.jsonl").write_bytes(data)
    with begin(resume=True) as again:
        assert again.done == {}
        assert not out.partial.exists()


def test_a_corrupt_tensor_is_written_again():
    write_output("reference")
    with begin() as out:
        put(out, "a", "b", "c")
    slot = LAYOUT.slot("b")
    with open(out.partial / "model" / LAYOUT.shards[LAYOUT.shard_of["b"]].file, "r+b") as file:
        file.seek(slot.offset + slot.nbytes - 1)
        file.write(b"?")
    with begin(resume=True) as again:
        assert set(again.done) == {"a", "c"}
    write_output(resume=True)
    assert tree("out") == tree("reference")


def test_the_partial_output_that_got_furthest_is_continued():
    with begin() as first:
        put(first, "a")
    with begin() as second:
        put(second, "a", "b")
    with begin(plan_hash="p2") as third:
        put(third, "a", "b", "c")
    with begin(resume=True) as again:
        assert again.partial == second.partial
    assert listing() == sorted(out.partial.name for out in (first, second, third))


def test_a_folder_that_only_looks_like_a_partial_output_is_left_alone():
    Path("out.partial-results").mkdir()
    write_output(resume=True)
    assert listing() == ["out", "out.partial-results"]


def test_an_output_that_was_published_before_the_run_broke_off_is_continued(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("mergegraph.write.directory.clean_up", lambda *_: None)
        write_output()
    marker = [name for name in listing() if name != "out"]
    assert len(marker) == 1
    assert "MG601" in str(rejected(resume=False))
    with begin(resume=True) as again:
        assert again.partial.name == marker[0]
        assert set(again.done) == set(ARRAYS)
        assert not Path("out").exists()
    assert listing() == marker
    write_output(resume=True)
    assert listing() == ["out"]


@pytest.mark.parametrize("change", ["other plan", "another output"])
def test_an_output_that_is_not_of_this_run_is_not_taken_back(change, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("mergegraph.write.directory.clean_up", lambda *_: None)
        write_output()
    if change == "another output":
        save_file({"x": ARRAYS["a"]}, f"out/{LAYOUT.shards[0].file}")
    before = tree("out")
    assert "MG601" in str(rejected(resume=True, plan_hash="p2" if change == "other plan" else "p1"))
    assert tree("out") == before


# Replacing


def test_an_old_output_is_replaced_at_the_very_end():
    write_output()
    Path("out/notes").mkdir()
    Path("out/notes/mine.txt").write_text("mine")
    Path("elsewhere").mkdir()
    Path("elsewhere/kept.txt").write_text("kept")
    os.symlink("../elsewhere", "out/link")
    with begin(overwrite=True) as out:
        put(out, *ARRAYS)
        assert Path("out/notes/mine.txt").exists()
        out.commit({"config.json": b"new"})
    assert Path("out/config.json").read_bytes() == b"new"
    assert not Path("out/notes").exists()
    assert Path("elsewhere/kept.txt").read_text() == "kept"
    assert listing() == ["elsewhere", "out"]


def test_an_output_that_came_meanwhile_is_not_replaced():
    with begin() as out:
        put(out, *ARRAYS)
        Path("out").mkdir()
        Path("out/mine.txt").write_text("mine")
        with pytest.raises(MergeGraphError, match=r"MG601.*`out` exists already"):
            out.commit(SMALL)
    assert tree("out") == {"mine.txt": b"mine"}
    Path("out/mine.txt").unlink()
    Path("out").rmdir()
    write_output(resume=True)
    assert listing() == ["out"]


def test_small_files_of_a_broken_commit_do_not_stay():
    with begin(os_=ReplacedOs(rename=failing(errno.EIO))) as out:
        put(out, *ARRAYS)
        with pytest.raises(MergeGraphError, match="MG610"):
            out.commit({"stale.json": b"", "deep/stale.json": b""})
    write_output(resume=True)
    assert set(tree("out")) == {*SMALL, *(shard.file for shard in LAYOUT.shards), "model.safetensors.index.json"}
