"""The Hub: what is fetched, that it is pinned, and what is said when it can't be had. No network is used."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.numpy import save_file

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.diagnostics import MergeGraphError

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
LOCAL = "\n  = help: a folder is named by a path that begins with `./`, `/` or `~`"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """The files of a model on the Hub: weights, the same weights in other formats, and what a merge never needs."""
    remote = tmp_path / "remote"
    for name in ("config.json", "tokenizer.json", "1_Pooling/config.json", "README.md", "model.py", "onnx/model.onnx"):
        (remote / name).parent.mkdir(parents=True, exist_ok=True)
        (remote / name).write_text("{}")
    save_file({"a": np.zeros(2, np.float32)}, remote / "model.safetensors")
    save_file({"a": np.zeros(2, np.float32)}, remote / "consolidated.safetensors")
    save_file({"a": np.zeros(2, np.float32)}, remote / "onnx" / "other.safetensors")
    return remote


@pytest.fixture
def asked(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Stand in for the download by copying from `remote`; return the revisions asked for."""
    revisions: list[str | None] = []

    def download(repo_id: str, *, revision: str | None, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        revisions.append(revision)
        snapshot = tmp_path / "hub" / "models--org--toy" / "snapshots" / COMMIT
        for path in filter(Path.is_file, remote.rglob("*")):
            name = path.relative_to(remote).as_posix()
            allowed = any(fnmatch(name, pattern) for pattern in allow_patterns)
            if allowed and not any(fnmatch(name, pattern) for pattern in ignore_patterns):
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, snapshot / name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return revisions


def _fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def download(*arguments: object, **options: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)


def _refusal(tmp_path: Path, revision: str | None = None) -> str:
    with pytest.raises(MergeGraphError) as caught:
        open_checkpoint("org/toy", relative_to=tmp_path, revision=revision)
    return str(caught.value)


def test_only_what_a_merge_needs_is_fetched_from_one_commit(asked, tmp_path):
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path, revision="main")
    assert asked == ["main", COMMIT]
    assert checkpoint.commit == COMMIT
    assert [str(path.relative_to(checkpoint.root)) for path in sorted(checkpoint.root.rglob("*.*"))] == [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_the_shards_of_the_index_and_no_other_weights_are_fetched(asked, remote, tmp_path):
    (remote / "model.safetensors").rename(remote / "part.safetensors")
    (remote / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part.safetensors"}}')
    files = open_checkpoint("org/toy", relative_to=tmp_path).files
    assert [header.path.name for header in files] == ["part.safetensors"]
    assert not (files[0].path.parent / "consolidated.safetensors").exists()


def test_weights_of_any_name_are_fetched_when_there_are_no_others(asked, remote, tmp_path):
    (remote / "model.safetensors").unlink()
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path)
    assert [header.path.name for header in checkpoint.files] == ["consolidated.safetensors"]
    assert not (checkpoint.root / "onnx").exists()


def test_an_index_that_points_elsewhere_fetches_nothing(asked, remote, tmp_path):
    (remote / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret.safetensors"}}')
    assert _refusal(tmp_path).startswith("error[MG514]")
    assert asked == [None]


def test_a_cached_model_is_used_offline(remote, tmp_path, monkeypatch):
    cached = tmp_path / "hub" / "models--org--toy"
    shutil.copytree(remote, cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path)
    assert (checkpoint.commit, list(checkpoint.tensors)) == (COMMIT, ["a"])


def test_offline_without_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _refusal(tmp_path, "v1") == (
        "error[MG527]: the Hub cannot be reached, and its cache on this machine does not hold the whole model\n"
        "  --> org/toy@v1" + LOCAL
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (RepositoryNotFoundError, "it does not exist, or it is private and you are not logged in"),
        (GatedRepoError, "its conditions have to be accepted first, on its page"),
        (RevisionNotFoundError, "it has no such revision"),
    ],
)
def test_the_hub_refuses(tmp_path, monkeypatch, kind, reason):
    _fail(monkeypatch, kind.__new__(kind))
    assert _refusal(tmp_path) == f"error[MG528]: the Hub does not give this model: {reason}\n  --> org/toy" + LOCAL


def test_the_download_fails(tmp_path, monkeypatch):
    _fail(monkeypatch, OSError(28, "No space left on device"))
    assert _refusal(tmp_path) == (
        "error[MG527]: the download failed: [Errno 28] No space left on device\n  --> org/toy"
    )
    _fail(monkeypatch, RuntimeError("\x1b[2J\nsecond line"))
    assert _refusal(tmp_path) == "error[MG527]: the download failed: \\x1b[2J\n  --> org/toy"
