"""Models of the Hub: what is asked for and when, that they are pinned, and what is said when they can't be had."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from families import make_family, read_model
from hub_server import Hub
from huggingface_hub import ModelCard, constants
from merging import compilation, run
from safetensors.numpy import save_file

from mergegraph.checkpoint import hub as hub_module
from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.cli.app import run as command_line
from mergegraph.diagnostics import MergeGraphError
from mergegraph.merge import Options, merge
from mergegraph.sizes import format_size

LOCAL = "\n  = help: a folder is named by a path that begins with `./`, `/` or `~`"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
RECIPE = 'a = model("org/a")\nb = model("org/b")\nsave slerp(a, b, t=0.3) to "out"'


@pytest.fixture
def family(hub: Hub, tmp_path: Path) -> Path:
    """Two models of two shards, on the Hub as org/a and org/b, and in a folder."""
    folder = tmp_path / "family"
    for name, path in make_family(folder, models=("a", "b"), hidden=256, intermediate=512, shards=2).items():
        hub.upload(f"org/{name}", path)
    return folder


def refusal(tmp_path: Path, source: str = "org/toy", revision: str | None = None) -> str:
    with pytest.raises(MergeGraphError) as caught:
        open_checkpoint(source, relative_to=tmp_path, revision=revision)
    return str(caught.value)


def toy(hub: Hub, tmp_path: Path, **options: object) -> str:
    """Put a model of one small tensor on the Hub as org/toy."""
    folder = tmp_path / "toy"
    folder.mkdir()
    save_file({"a": np.arange(3, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"vocab_size": 7}')
    (folder / "special_tokens_map.json").write_text("{}")
    return hub.upload("org/toy", folder, **options)


def cached(tmp_path: Path) -> list[str]:
    """Return the names of the files in the snapshots of the cache."""
    found = (path for path in (tmp_path / "cache").glob("models--*/snapshots/*/**/*") if path.is_file())
    return sorted(re.sub(r".*/models--org--(\w+)/snapshots/\w+", r"\1", str(path)) for path in found)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")


def test_a_plan_needs_headers_and_configuration_only(hub, family, tmp_path):
    plan = compilation(tmp_path, RECIPE).plan()
    assert plan.bytes_read == sum(tensor.nbytes for name in "ab" for tensor in read_model(family / name).values())
    assert [name for name in cached(tmp_path) if not name.endswith(".json")] == []
    assert hub.sent(".safetensors") - hub.sent("index.json") == 4 * hub_module.FIRST_BYTES < plan.bytes_read / 4


def test_a_plan_tells_the_commits_and_what_a_run_downloads(hub, family, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("r.merge").write_text(RECIPE)
    sizes = {name: sum(path.stat().st_size for path in (family / name).glob("*.safetensors")) for name in "ab"}
    commits = {name: hub.repos[f"org/{name}"].branches["main"] for name in "ab"}
    assert command_line(["check", "r.merge"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "r.merge: fine",
        *(f"org/{name}: commit {commits[name]}, {format_size(sizes[name])} to download" for name in "ab"),
    ]
    assert command_line(["check", "r.merge", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "diagnostics": [],
        "models": [{"source": f"org/{n}", "commit": commits[n], "download": sizes[n]} for n in "ab"],
    }
    assert command_line(["explain", "r.merge", "--format", "json"]) == 0
    inputs = json.loads(capsys.readouterr().out)["inputs"]
    assert [(found["commit"], found["download"]) for found in inputs] == [(commits[n], sizes[n]) for n in "ab"]
    assert command_line(["explain", "r.merge"]) == 0
    text = capsys.readouterr().out
    assert f"commit {commits['a'][:7]}  {format_size(sizes['a'])} to download\n" in text
    assert f"{format_size(sum(sizes.values()))} are downloaded before" in text
    assert command_line(["run", "r.merge"]) == 0
    capsys.readouterr()
    assert command_line(["check", "r.merge"]) == 0
    assert [line.partition(", ")[2] for line in capsys.readouterr().out.splitlines()] == ["", *["0 B to download"] * 2]


def test_a_merge_is_that_of_the_same_files_on_disk(hub, family, tmp_path):
    arrived = []

    def downloading(nbytes):
        arrived.append(-nbytes)
        return nullcontext(arrived.append)

    merge(compilation(tmp_path, RECIPE), tmp_path / "out", Options(), downloading=downloading)
    run(family, RECIPE.replace("org/", "./"), tmp_path / "local")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "local").iterdir())
    for name in {*files} - {"README.md", "mergegraph.json"}:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert sum(arrived) == 0 > arrived[0]
    assert [model["commit"] for model in json.loads((tmp_path / "out" / "mergegraph.json").read_text())["inputs"]] == [
        hub.repos["org/a"].branches["main"],
        hub.repos["org/b"].branches["main"],
    ]
    assert "tokenizer.json" in {path.partition("/")[2] for path in cached(tmp_path)}


def test_only_the_shards_that_are_read_are_downloaded(hub, family, tmp_path):
    recipe = (
        'a = model("org/a")\nb = model("org/b")\n'
        'save select { "model.layers.0.mlp.*": linear(a, b), _: a } to "out" with config=a, tokenizer=a'
    )
    run(tmp_path, recipe, tmp_path / "out")
    shards = [name for name in cached(tmp_path) if name.endswith(".safetensors")]
    assert shards == [f"a/{file}" for file in sorted(p.name for p in (family / "a").glob("*.safetensors"))] + [
        "b/model-00001-of-00002.safetensors"
    ]


def test_a_branch_that_moves_after_it_was_resolved_changes_nothing(hub, family, tmp_path):
    recipe = compilation(tmp_path, RECIPE)
    first = recipe.plan()
    hub.repos["org/a"].commit({"config.json": b"{}"})
    merge(recipe, tmp_path / "out", Options())
    assert (
        sum(t.nbytes for n in "ab" for t in recipe.checkpoints[recipe.recipe.models[0]].tensors.values())
        == first.bytes_read
    )
    run(family, RECIPE.replace("org/", "./"), tmp_path / "local")
    expected = read_model(tmp_path / "local")
    assert all(bool((tensor == expected[name]).all()) for name, tensor in read_model(tmp_path / "out").items())


def test_a_commit_that_is_gone_when_it_is_downloaded(hub, family, tmp_path):
    recipe = compilation(tmp_path, RECIPE)
    recipe.plan()
    commit = hub.repos["org/a"].branches["main"]
    hub.repos["org/a"].commits.pop(commit)
    with pytest.raises(MergeGraphError) as caught:
        merge(recipe, tmp_path / "out", Options())
    assert str(caught.value) == (
        f"error[MG545]: the model has no such revision\n  --> org/a@{commit[:7]}\n"
        "  = help: a revision is a branch, a tag or a commit: its page lists them under `Files and versions`"
    )
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("out.partial*"))


def test_the_card_names_parents_commits_and_the_licence_they_share(hub, family, tmp_path):
    for name in "ab":
        repo = hub.repos[f"org/{name}"]
        repo.commit({**repo.commits[repo.branches["main"]], "README.md": b"---\nlicense: mit\n---\n# mine\n"})
    run(tmp_path, RECIPE, tmp_path / "out")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.base_model, card.data.license) == (["org/a", "org/b"], "mit")
    assert card.data.to_dict()["base_model_relation"] == "merge"
    for name in "ab":
        assert f"| org/{name} | {hub.repos[f'org/{name}'].branches['main']} |" in card.text


def test_the_card_of_an_adapter_has_the_model_it_is_for(hub, family, tmp_path):
    repo = hub.repos["org/b"]
    repo.commit({**repo.commits[repo.branches["main"]], "README.md": b"---\nlicense: mit\n---\n"})
    text = 'a = model("org/a")\nb = model("org/b")\nsave extract_lora(a, base=b, rank=2) to "of-b"\n'
    run(tmp_path, text + 'save extract_lora(b, base=mean(a, b), rank=2) to "of-none"', tmp_path / "out")
    card = ModelCard.load(tmp_path / "out" / "of-b" / "README.md")
    found = card.data.to_dict()
    assert (found["base_model"], found["base_model_relation"], found["library_name"]) == (["org/b"], "adapter", "peft")
    assert card.data.license is None  # org/a states none
    assert f"| org/a | {hub.repos['org/a'].branches['main']} |" in card.text
    assert 'save extract_lora(a, base=b, rank=2) to "of-b"' in card.text
    assert ModelCard.load(tmp_path / "out" / "of-none" / "README.md").data.base_model is None


def test_a_run_goes_on_after_the_cache_was_filled(hub, family, tmp_path, monkeypatch):
    recipe = RECIPE.replace("save", 'save select { "*.mlp.*": a, _: b } to "first"\nsave')

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mergegraph.merge.commit_all", broken)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, recipe, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.partial-*"))
    result = run(tmp_path, recipe, tmp_path / "out", resume=True)
    assert result.bytes_written == 0


def test_revisions_are_branches_tags_and_commits(hub, tmp_path):
    first = toy(hub, tmp_path)
    hub.repos["org/toy"].branches["v1"] = first
    files = hub.repos["org/toy"].commits[first]
    second = hub.repos["org/toy"].commit({**files, "config.json": b'{"vocab_size": 8}'})
    for revision, commit, size in (("v1", first, 7), (None, second, 8), ("main", second, 8), (first, first, 7)):
        found = open_checkpoint("org/toy", relative_to=tmp_path, revision=revision)
        assert (found.commit, found.config["vocab_size"]) == (commit, size)


def test_names_without_an_organisation(hub, tmp_path):
    toy(hub, tmp_path)
    hub.repos["gpt2"] = hub.repos["org/toy"]
    assert list(open_checkpoint("gpt2", relative_to=tmp_path).tensors) == ["a"]
    (tmp_path / "gpt2s").mkdir()
    assert refusal(tmp_path, "gtp2") == (
        "error[MG542]: the Hub has no such model, or it is private\n  --> gtp2\n"
        "  = help: there is no folder `gtp2` here either\n  = help: did you mean `gpt2s`?\n"
        f"  = help: if it is private, {LOGIN}" + LOCAL
    )


def test_a_header_that_is_longer_than_the_first_bytes(hub, tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    save_file({f"tensor {'x' * 200} {i}": np.zeros(1, np.float32) for i in range(500)}, folder / "model.safetensors")
    hub.upload("org/long", folder)
    assert len(open_checkpoint("org/long", relative_to=tmp_path).tensors) == 500
    assert len(hub.asked("GET", "resolve")) == 2


def test_a_server_without_ranges(hub, family, tmp_path):
    hub.ranges = False
    assert len(open_checkpoint("org/a", relative_to=tmp_path).tensors) == len(read_model(family / "a"))
    folder = tmp_path / "long"
    folder.mkdir()
    save_file({f"tensor {'x' * 200} {i}": np.zeros(1, np.float32) for i in range(500)}, folder / "model.safetensors")
    hub.upload("org/long", folder)
    assert len(open_checkpoint("org/long", relative_to=tmp_path).tensors) == 500


def test_a_server_that_hides_sizes(hub, tmp_path):
    toy(hub, tmp_path)
    hub.intercept = lambda r: (206, {"Content-Range": "bytes 0-7/*"}, b"\0" * 8) if "/cdn/" in r.path else None
    assert refusal(tmp_path).startswith("error[MG549]: the server does not say how long `model.safetensors` is\n")


def test_a_file_that_is_shorter_than_it_says(hub, tmp_path):
    toy(hub, tmp_path)
    hub.intercept = lambda r: (206, {"Content-Range": "bytes 0-7/9999"}, b"\0" * 8) if "/cdn/" in r.path else None
    assert refusal(tmp_path).startswith("error[MG573]: the download of `model.safetensors` broke off\n")


def test_malformed_headers_on_the_hub(hub, tmp_path):
    (tmp_path / "bad").mkdir()
    for name, data in (("a", b""), ("b", b"\xff" * 9), ("c", b"\2\0\0\0\0\0\0\0{}x")):
        (tmp_path / "bad" / "model.safetensors").write_bytes(data)
        hub.upload(f"org/{name}", tmp_path / "bad")
    assert "error[MG504]: this is no safetensors file: it has only 0 bytes" in refusal(tmp_path, "org/a")
    assert "error[MG504]: this is no whole safetensors file" in refusal(tmp_path, "org/b")
    assert "error[MG511]: 1 byte after the last tensor belong to none" in refusal(tmp_path, "org/c")


def test_a_token_is_not_sent_to_where_files_lie(hub, tmp_path, monkeypatch):
    toy(hub, tmp_path, token="secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path)
    checkpoint.member("special_tokens_map.json")
    run(tmp_path, 'save model("org/toy") to "out"', tmp_path / "out")
    tokens = {("/cdn/" in request.path, request.headers.get("authorization")) for request in hub.requests}
    assert tokens == {(True, None), (False, "Bearer secret")}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            None,
            f"MG542]: the Hub has no such model, or it is private\n  --> org/toy\n  = help: if it is private, {LOGIN}"
            + LOCAL,
        ),
        ("wrong", f"MG543]: the Hub does not accept the token\n  --> org/toy\n  = help: {LOGIN}"),
    ],
)
def test_a_private_model(hub, tmp_path, monkeypatch, given, text):
    toy(hub, tmp_path, token="secret")
    monkeypatch.setenv("HF_TOKEN", given) if given else monkeypatch.delenv("HF_TOKEN", raising=False)
    assert refusal(tmp_path) == f"error[{text}"


def test_a_gated_model(hub, tmp_path):
    commit = toy(hub, tmp_path, gated=True)
    assert refusal(tmp_path) == (
        "error[MG544]: the Hub gives this model only to those who have accepted its conditions\n"
        f"  --> org/toy@{commit[:7]}\n  = help: accept them on its page; then {LOGIN}"
    )


def test_no_such_revision(hub, tmp_path):
    toy(hub, tmp_path)
    assert refusal(tmp_path, revision="v9") == (
        "error[MG545]: the model has no such revision\n  --> org/toy@v9\n"
        "  = help: a revision is a branch, a tag or a commit: its page lists them under `Files and versions`"
    )


def test_a_file_that_vanishes(hub, tmp_path):
    commit = toy(hub, tmp_path)
    missing = (404, {"X-Error-Code": "EntryNotFound"}, b"")
    hub.intercept = lambda request: missing if "resolve" in request.path else None
    assert refusal(tmp_path).startswith(
        f"error[MG546]: a file of this commit is no longer there\n  --> org/toy@{commit[:7]}\n"
    )


def test_a_name_that_the_hub_does_not_take(tmp_path, hub):
    assert refusal(tmp_path, "org/a--b").startswith("error[MG528]: the Hub does not take this name: ")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (503, "MG574]: the Hub is out of order (status 503)\n  --> org/toy\n  = help: run again later"),
        (429, "MG574]: the Hub takes no more requests now\n  --> org/toy\n  = help: run again later"),
        (403, f"MG544]: the token may not read this model\n  --> org/toy\n  = help: use one that may: {LOGIN}"),
    ],
)
def test_other_answers(hub, tmp_path, status, text):
    hub.intercept = lambda request: (status, {}, b"")
    assert refusal(tmp_path) == f"error[{text}"


def test_answers_of_something_else_than_the_hub(hub, tmp_path):
    hub.intercept = lambda _: (200, {"Content-Type": "application/json"}, b'{"id": "org/toy", "sha": "../../x"}')
    assert refusal(tmp_path) == (
        "error[MG549]: the server's answer is not one of the Hub: it has no commit\n  --> org/toy"
    )


def test_names_that_lead_elsewhere_are_not_files_of_the_model(hub, tmp_path):
    commit = toy(hub, tmp_path)
    hub.repos["org/toy"].commits[commit] |= {
        "../evil.json": b"x",
        "/etc/vocab.json": b"x",
        "a\\vocab.json": b"x",
    }
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path)
    assert [str(path) for path in checkpoint.extras] == ["special_tokens_map.json"]


def test_a_cached_model_is_used_offline(hub, tmp_path, monkeypatch):
    toy(hub, tmp_path)
    run(tmp_path, 'save model("org/toy") to "out"', tmp_path / "out")
    offline(monkeypatch)
    asked = len(hub.requests)
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path)
    assert (checkpoint.commit, list(checkpoint.tensors)) == (hub.repos["org/toy"].branches["main"], ["a"])
    assert checkpoint.warnings == ()
    run(tmp_path, 'save model("org/toy") to "again"', tmp_path / "again")
    assert len(hub.requests) == asked


def test_without_a_network_the_cached_commit_is_used_and_named(hub, tmp_path, monkeypatch):
    commit = toy(hub, tmp_path)
    run(tmp_path, 'save model("org/toy") to "out"', tmp_path / "out")
    unplugged(monkeypatch)
    checkpoint = open_checkpoint("org/toy", relative_to=tmp_path)
    assert [(w.code, w.message) for w in checkpoint.warnings] == [
        ("MG572", f"the Hub cannot be reached; commit {commit[:7]} is used, the last that was downloaded")
    ]
    assert open_checkpoint("org/toy", relative_to=tmp_path, revision=commit).warnings == ()


def test_offline_with_a_part_of_the_model(hub, family, tmp_path, monkeypatch):
    first = 'save select { "*.layers.0.mlp.*": model("org/a"), _: model("org/b") } to "out" with config=model("org/b")'
    run(tmp_path, first, tmp_path / "out")
    offline(monkeypatch)
    assert refusal(tmp_path, "org/a").replace(str(tmp_path), "…").replace(
        hub.repos["org/a"].branches["main"], "COMMIT"
    ) == (
        "error[MG548]: the Hub cannot be asked, and its cache on this machine holds only a part of this model\n"
        "  --> org/a\n"
        "  = help: connect to the network, and unset HF_HUB_OFFLINE if it is set\n\n"
        "error[MG515]: 1 shard missing: `model-00002-of-00002.safetensors`\n"
        "  --> …/cache/models--org--a/snapshots/COMMIT\n"
        "  = help: copy or download the rest of the model"
    )


def test_offline_without_the_model(hub, tmp_path, monkeypatch):
    offline(monkeypatch)
    assert refusal(tmp_path, revision="v1") == (
        "error[MG547]: this model is not in the cache of this machine, and HF_HUB_OFFLINE is set\n"
        "  --> org/toy@v1\n  = help: unset HF_HUB_OFFLINE to download it" + LOCAL
    )


def test_no_network(hub, tmp_path, monkeypatch):
    unplugged(monkeypatch)
    assert refusal(tmp_path) == (
        "error[MG527]: the Hub cannot be reached: [Errno 111] Connection refused\n  --> org/toy" + LOCAL
    )


def test_the_disk_of_the_cache_is_too_small(hub, family, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, RECIPE, tmp_path / "out")
    assert str(caught.value).replace(str(tmp_path), "…") == (
        "error[MG570]: 4.86 MB have to be downloaded, and the disk of the cache has 1 MB free\n"
        "  --> …/cache/models--org--a/snapshots\n"
        "  = help: free some space, or let HF_HOME name a folder on another disk; what is complete is kept"
    )
    assert caught.value.exit_code == 4


def test_the_disk_is_full_while_a_file_arrives(hub, tmp_path, monkeypatch):
    commit = toy(hub, tmp_path)

    def full(*_: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recipe = compilation(tmp_path, 'save model("org/toy") to "out"')
    recipe.plan()
    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(MergeGraphError) as caught:
        merge(recipe, tmp_path / "out", Options())
    assert str(caught.value) == (
        f"error[MG570]: the disk of the Hub's cache is full\n  --> org/toy@{commit[:7]}\n"
        "  = help: free some space, or let HF_HOME name a folder on another disk; what is complete is kept"
    )
    assert caught.value.exit_code == 4


def test_a_file_that_is_not_the_one_whose_header_was_read(hub, tmp_path):
    commit = toy(hub, tmp_path)
    recipe = compilation(tmp_path, 'save model("org/toy") to "out"')
    recipe.plan()
    save_file({"b": np.zeros(4, np.float32)}, tmp_path / "other.safetensors")
    hub.repos["org/toy"].commits[commit]["model.safetensors"] = (tmp_path / "other.safetensors").read_bytes()
    with pytest.raises(MergeGraphError) as caught:
        merge(recipe, tmp_path / "out", Options())
    assert "error[MG571]: the file that was downloaded is not the one whose header was read" in str(caught.value)
    assert not (tmp_path / "out").exists()


def environment_of(hub, tmp_path):
    home = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    return {**os.environ, **home, "HF_HUB_OFFLINE": "0", "NO_COLOR": "1"}


def test_an_interrupted_download_breaks_nothing(hub, family, tmp_path):
    stalled, go_on = threading.Event(), threading.Event()

    def stall(request):
        if "/cdn/" in request.path and "range" not in request.headers:
            stalled.set()
            go_on.wait(60)

    hub.intercept = stall
    (tmp_path / "r.merge").write_text(RECIPE)
    command = [sys.executable, "-m", "mergegraph", "run", "r.merge"]
    where = {"cwd": tmp_path, "env": environment_of(hub, tmp_path), "text": True, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **where) as child:
        assert stalled.wait(60)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    again = "interrupted; nothing is lost, go on with: mergegraph run r.merge --resume"
    assert (child.returncode, said.strip()) == (130, again)
    assert not (tmp_path / "out").exists()
    go_on.set()


@pytest.fixture
def breaking(hub, family, monkeypatch):
    """Return what lets the server break off so many downloads, the first after 200,000 bytes; it returns its requests.

    The client takes pieces of 64 KiB, and does not wait before it tries again.
    """
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    requests = []

    def start(times, seconds=0.0, later=200_000):
        def broken(request):
            wanted = request.headers.get("range", "")
            if "/cdn/" not in request.path or wanted == f"bytes=0-{hub_module.FIRST_BYTES - 1}":
                return None
            requests.append(request)
            most = 200_000 if len(requests) == 1 else later
            return (most, seconds) if len(requests) <= times else None

        hub.broken = broken
        return requests

    return start


def test_a_download_that_breaks_off_goes_on_where_it_was(breaking, family, tmp_path):
    requests = breaking(3)
    merge(compilation(tmp_path, RECIPE), tmp_path / "out", Options())
    run(family, RECIPE.replace("org/", "./"), tmp_path / "local")
    assert read_bytes(tmp_path / "out") == read_bytes(tmp_path / "local")
    ranges = [request.headers.get("range") for request in requests]
    assert ranges[:4] == [None, *(f"bytes={(1 << 16) * 3 * i}-" for i in (1, 2, 3))]
    assert ranges[4:] == [None] * 3


def read_bytes(folder):
    return [path.read_bytes() for path in sorted(folder.glob("*.safetensors"))]


@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_a_server_that_never_ends_an_answer(hub, breaking, family, tmp_path, monkeypatch, seconds):
    """It closes the connection, or stalls for longer than is waited."""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    requests = breaking(10**6, seconds, later=0)
    with pytest.raises(MergeGraphError) as caught:
        merge(compilation(tmp_path, RECIPE), tmp_path / "out", Options())
    first, _, rest = str(caught.value).partition("\n")
    begin = "error[MG573]: the download of `model-00001-of-00002.safetensors` broke off several times: "
    assert first.startswith(begin + ("timed out" if seconds else "peer closed connection"))
    commit = hub.repos["org/a"].branches["main"][:7]
    assert rest == (
        f"  --> org/a@{commit}\n"
        "  = help: run again: files that are complete are kept\n"
        "  = help: HF_HUB_DOWNLOAD_TIMEOUT is how many seconds a silent server is waited for"
    )
    assert not (tmp_path / "out").exists()
    assert len(requests) < 10


def test_commands_in_a_process_of_their_own(hub, family, tmp_path):
    environment = environment_of(hub, tmp_path)
    (tmp_path / "r.yml").write_text(
        "merge_method: linear\nmodels:\n  - {model: org/a@main, parameters: {weight: 1}}\n"
        "  - {model: org/b, parameters: {weight: 3}}\n"
    )

    def mergegraph(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mergegraph", *words]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    seen = mergegraph("inspect", "org/a")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "org/a: 1,213,696 parameters" in seen.stdout
    done = mergegraph("run", "r.yml", "out")
    assert (done.returncode, done.stderr) == (0, "")
    a, b = (read_model(family / name) for name in "ab")
    for name, tensor in read_model(tmp_path / "out").items():
        expected = (a[name].double() + 3 * b[name].double()) / 4
        assert float((tensor.double() - expected).abs().max()) <= 2**-8 * float(expected.abs().max())
