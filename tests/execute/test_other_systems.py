"""A merge on a system that lacks what only Linux has, and what is asked of the page cache."""

import os
from collections import defaultdict
from pathlib import Path

import pytest
from elsewhere import assert_same_bytes_elsewhere
from families import make_odd_family
from merging import digest, run

from mergegraph import merge

RECIPE = 'a = model("./a")\nb = model("./b")\nbase = model("./base")\nsave ties(a, b, base=base, density=0.5) to "out"'

LACKING = """
import os, pathlib
for name in ("posix_fadvise", "posix_fallocate", "fdatasync", "sched_getaffinity", "copy_file_range"):
    delattr(os, name)
read_text = pathlib.Path.read_text
def elsewhere(path, *arguments, **keywords):
    if str(path).startswith(("/proc", "/sys")):
        raise FileNotFoundError(path)
    return read_text(path, *arguments, **keywords)
pathlib.Path.read_text = elsewhere
"""


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    make_odd_family(folder)
    (folder / "ties.merge").write_text(RECIPE)
    return folder


def test_without_what_only_linux_has_the_bytes_are_the_same(family, tmp_path):
    assert_same_bytes_elsewhere(family / "ties.merge", tmp_path, LACKING)


def test_what_is_fetched_ahead_is_read_and_what_is_written_is_sent_to_the_disk(family, tmp_path, monkeypatch):
    """Only pages of inputs are fetched, those of outputs are sent off, and every byte of their tensors is."""
    asked = defaultdict(list)

    def note(descriptor, offset, nbytes, advice):
        asked[advice].append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), offset, nbytes))

    monkeypatch.setattr(os, "posix_fadvise", note)
    result = run(family, RECIPE, tmp_path / "out", workers=1)
    fetched = asked[os.POSIX_FADV_WILLNEED]
    assert {path.parent.name for path, _, _ in fetched} == {"a", "b", "base"}
    assert all(offset + nbytes <= path.stat().st_size for path, offset, nbytes in fetched)
    sent = asked[os.POSIX_FADV_DONTNEED]
    assert not {path for path, _, _ in sent} & {path for path, _, _ in fetched}
    assert sum(nbytes for _, _, nbytes in sent) == result.bytes_written


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_outputs_larger_than_their_share_of_the_page_cache_leave_it_once_they_are_on_the_disk(
    family, tmp_path, monkeypatch, share
):
    events = []

    def note(descriptor, offset, nbytes, advice):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if advice == os.POSIX_FADV_DONTNEED and offset == 0 and nbytes >= path.stat().st_size:
            events.append(("forget", path))

    def sync(descriptor):
        events.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))

    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(merge, "CACHED_SHARE", share)
    run(family, RECIPE, tmp_path / "out", workers=1)
    weights = [(what, path.name) for what, path in events if path.suffix == ".safetensors"]
    once = [("sync", "model.safetensors"), ("forget", "model.safetensors")]
    assert weights
    assert weights == (once if share == 0.0 else once[:1]) * weights.count(once[0])


def test_advice_that_is_refused_does_no_harm(family, tmp_path, monkeypatch):
    run(family, RECIPE, tmp_path / "here/out")

    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    run(family, RECIPE, tmp_path / "there/out")
    assert digest(tmp_path / "there/out") == digest(tmp_path / "here/out")
