"""Fail the k-th operation of the writer, for every k: all or nothing, and the next run gives the reference bytes."""

import os
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faulty_os import FAULTS, FaultyOs, PowerLoss
from small_output import begin, tree, write_output, write_pair

from mergegraph.diagnostics import MergeGraphError
from mergegraph.write import ledger
from mergegraph.write.journal import read_journal
from mergegraph.write.verify import verify_directory

PASSING = ("full", "error")
"""The faults of one operation only, of which the run itself can undo the consequences."""

OLD = {"model.safetensors": b"old weights", "sub/notes.txt": b"old notes"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    target = tmp_path_factory.mktemp("reference") / "out"
    write_output(target)
    assert verify_directory(target) == ()
    return tree(target)


@pytest.fixture
def quick_path():
    """A directory in memory where there is one: thousands of runs are to be quick."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


@pytest.fixture(autouse=True)
def _sync_often(monkeypatch):
    monkeypatch.setattr(ledger, "SYNC_BYTES", 300)
    monkeypatch.setattr(ledger, "SYNC_SECONDS", 1e9)


def attempt(target, os_, write=write_output, **options):
    """Run once on a faulty machine, and return whether the run said that it succeeded."""
    try:
        write(target, os_, **options)
    except (MergeGraphError, PowerLoss):
        return False
    finally:
        os_.retire()
    return True


def resume(target, **options):
    os_ = FaultyOs()
    rewritten = write_output(target, os_, resume=True, **options)
    os_.retire()
    return rewritten


def each_operation(quick_path, fault, prepare=lambda target: None, **options):
    """Yield, for every operation of a run, the target whose writing it broke, and whether the run ended well."""
    for k in count(1):
        target = quick_path / str(k) / "out"
        target.parent.mkdir()
        prepare(target)
        os_ = FaultyOs(k, **FAULTS[fault])
        good = attempt(target, os_, **options)
        if os_.count < k:
            assert good
            return
        yield target, good


def put_old(target):
    for name, data in OLD.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_fault_there_is_all_or_nothing_and_a_resumed_run_completes_it(fault, quick_path, reference):
    failures = 0
    for target, good in each_operation(quick_path, fault):
        complete = target.exists() and tree(target) == reference
        assert complete or (not good and not target.exists())
        assert complete == good or fault not in PASSING
        assert complete == (verify_directory(target) == ())
        if not complete:
            failures += 1
            assert all(verify_directory(path) for path in target.parent.iterdir())
            resume(target)
        assert tree(target) == reference
    assert failures > 50 or fault == "short write"


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_fault_what_was_to_be_replaced_is_still_there(fault, quick_path, reference):
    for target, good in each_operation(quick_path, fault, overwrite=True, prepare=put_old):
        complete = target.exists() and tree(target) == reference
        if not complete:
            assert not good
            aside = list(target.parent.glob("out.old-*"))
            assert target.exists() or fault not in PASSING
            assert tree(target if target.exists() else aside[0]) == OLD
            resume(target, overwrite=True)
        assert tree(target) == reference
        assert complete or [path.name for path in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("fault", ["error", "broken from then on", "power loss", "power loss, half lost", "kill"])
def test_two_outputs_of_one_run_are_published_together(fault, quick_path, reference):
    broken = set()
    for k in count(1):
        folder = quick_path / str(k)
        put_old(folder / "two")
        os_ = FaultyOs(k, **FAULTS[fault])
        good = attempt(folder, os_, write_pair, overwrite=True)
        trees = [tree(folder / name) for name in ("out", "two")]
        if os_.count < k:
            assert good
            break
        broken.add(tuple(found == reference for found in trees))
        assert trees[0] in ({}, reference)
        assert trees[1] in ({}, reference, OLD)
        if not good:
            again = FaultyOs()
            write_pair(folder, again, resume=True, overwrite=True)
            again.retire()
        assert [tree(folder / name) for name in ("out", "two")] == [reference, reference]
    assert broken >= {(False, False), (True, True)}
    assert ((True, False) in broken) == (fault not in ("error", "power loss"))


@pytest.mark.parametrize("fault", ["error", "short write", "power loss", "power loss, half lost"])
def test_after_any_fault_of_a_resumed_run_a_third_completes_it(fault, quick_path, reference):
    def prepare(target):
        attempt(target, FaultyOs(90, **FAULTS["kill"]))
        assert not target.exists()

    for target, good in each_operation(quick_path, fault, resume=True, prepare=prepare):
        complete = target.exists() and tree(target) == reference
        assert complete or (not good and not target.exists())
        if not complete:
            resume(target)
        assert tree(target) == reference


def test_what_a_finished_run_wrote_survives_a_loss_of_power(quick_path, reference):
    put_old(quick_path / "out")
    os_ = FaultyOs()
    write_output(quick_path / "out", os_, overwrite=True)
    with pytest.raises(PowerLoss):
        os_.lose_power()
    os_.retire()
    assert tree(quick_path / "out") == reference


def test_what_the_journal_names_survives_a_loss_of_power(quick_path):
    kept = set()
    for target, _ in each_operation(quick_path, "power loss"):
        for journal in target.parent.glob("out.partial-*/mergegraph-journal.jsonl"):
            record = read_journal(journal.read_bytes())
            if record and not target.exists():
                with begin(target, resume=True) as out:
                    assert out.done == record.digests
                    kept.add(len(out.done))
    assert kept >= {0, 2, 6}


def test_a_resumed_run_writes_only_what_was_not_finished(quick_path):
    rewritten = []
    for target, _ in each_operation(quick_path, "error"):
        if not target.exists():
            rewritten.append(len(resume(target)))
    assert rewritten[0] == 6
    assert rewritten[-1] == 0
    assert set(rewritten) >= {6, 4, 0}
