"""Outputs on the Hub: what is uploaded, what is refused, and what is said then."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from families import make_family, read_model
from hub_server import Hub, Repo
from huggingface_hub import constants
from merging import run as merged

from mergegraph.checkpoint.checkpoint import open_checkpoint
from mergegraph.cli.app import run
from mergegraph.diagnostics import MergeGraphError
from mergegraph.write.push import push

# huggingface_hub hands files to its HTTP client in a way that the client calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


@pytest.fixture
def out(tmp_path, monkeypatch) -> Path:
    """A finished output of two shards, in the current folder."""
    make_family(tmp_path, models=("a", "b"))
    merged(tmp_path, 'save linear(model("./a"), model("./b")) to "out" with shard_size="30KB"', tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "may-write")
    return Path("out")


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def remote(hub: Hub, id: str) -> dict[str, bytes]:
    repo = hub.repos[id]
    return {name: data for name, data in repo.commits[repo.branches["main"]].items() if name != ".gitattributes"}


def refusal(out: Path, repository: str = "me/merged", **options: bool) -> str:
    with pytest.raises(MergeGraphError) as caught:
        push(out, repository, **options)
    return str(caught.value)


def test_an_adapter_is_committed_with_its_card_and_can_be_added_again(hub, out, tmp_path):
    text = 'save extract_lora(model("./b"), base=model("./a"), rank=64) to "adapter"'
    merged(tmp_path, text, tmp_path / "adapter")
    push(Path("adapter"), "me/adapter")
    assert remote(hub, "me/adapter") == files(Path("adapter"))
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= set(remote(hub, "me/adapter"))
    merged(tmp_path, 'save model("./a") + lora("me/adapter") to "again" with dtype="float32"', tmp_path / "again")
    again, tuned = read_model(Path("again")), read_model(Path("b"))
    assert all(float((again[name] - tensor.float()).abs().max()) < 1e-5 for name, tensor in tuned.items())


def test_an_output_is_committed_as_it_is_and_can_be_merged_again(hub, out, tmp_path):
    (out / ".cache").mkdir()
    (out / ".cache" / "mine").write_text("x")
    pushed = push(out, "merged", private=True)
    (out / ".cache" / "mine").unlink()
    commit = hub.repos["me/merged"].branches["main"]
    assert (pushed.repository, pushed.url) == ("me/merged", f"{hub.endpoint}/me/merged/commit/{commit}")
    assert remote(hub, "me/merged") == files(out)
    assert hub.repos["me/merged"].token == "may-write"
    assert len(hub.repos["me/merged"].commits) == 2
    assert list(open_checkpoint("me/merged", relative_to=tmp_path).tensors) == sorted(
        read_model(out), key=lambda name: (not name.startswith("lm_head"), name)
    )


def test_a_run_pushes_what_it_made(hub, out, capsys):
    Path("r.merge").write_text('save linear(model("./a"), model("./b")) to "new"')
    assert run(["run", "r.merge", "--push-to", "me/new", "--private"]) == 0
    commit = hub.repos["me/new"].branches["main"]
    assert capsys.readouterr().err == f"new: pushed to me/new, {hub.endpoint}/me/new/commit/{commit}\n"
    assert remote(hub, "me/new") == files(Path("new"))


def test_weights_of_a_model_that_is_there_are_replaced_only_when_asked(hub, out):
    hub.repos["me/merged"] = Repo()
    old = {"README.md": b"# mine", "model.safetensors": b"old", "figure.png": b"png", ".gitattributes": b""}
    hub.repos["me/merged"].commit(old)
    assert refusal(out) == (
        "error[MG656]: the repository `me/merged` has files already: `figure.png`, `model.safetensors`\n"
        "  --> me/merged\n"
        "  = help: the output is complete; try again with: mergegraph push out me/merged --overwrite\n"
        "  = help: that replaces its weights; its history keeps them"
    )
    push(out, "me/merged", overwrite=True)
    assert remote(hub, "me/merged") == {**files(out), "figure.png": b"png"}


def test_what_is_damaged_is_not_pushed(hub, out):
    shard = next(out.glob("*00002*"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    text = refusal(out)
    assert text.startswith(
        "error[MG650]: this output is not complete and unchanged, so it is not pushed\n"
        "  --> out\n  = help: merge again, and push the result\n\nerror[MG623]: these tensors have changed"
    )
    assert hub.requests == []


def test_the_network_fails_after_the_merge(hub, out, capsys, monkeypatch):
    Path("r.merge").write_text('save linear(model("./a"), model("./b")) to "new model"')
    broken = (500, {}, b"")
    hub.intercept = lambda request: broken if "/commit/" in request.path else None
    assert run(["run", "r.merge", "--push-to", "me/new"]) == 1
    told = capsys.readouterr().err
    assert told == (
        "error[MG654]: the Hub takes no uploads now (status 500)\n  --> me/new\n"
        "  = help: the output is complete; try again with: mergegraph push 'new model' me/new\n\n"
    )
    assert run(["verify", "new model"]) == 0
    hub.intercept = lambda _: None
    assert run(shlex.split(told.partition("try again with: mergegraph ")[2])) == 0
    assert remote(hub, "me/new") == files(Path("new model"))


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (None, f"error[MG651]: the Hub has to know who you are\n  --> me/new\n  = help: {LOGIN}\n\n"),
        ("wrong", f"error[MG651]: the Hub does not accept the token\n  --> me/new\n  = help: {LOGIN}\n\n"),
    ],
)
def test_who_may_not_push_is_told_before_the_merge(hub, out, capsys, monkeypatch, token, text):
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    Path("r.merge").write_text('save linear(model("./a"), model("./b")) to "new"')
    assert run(["run", "r.merge", "--push-to", "me/new"]) == 1
    assert capsys.readouterr().err == text
    assert not Path("new").exists()


def test_a_repository_of_others(hub, out, monkeypatch):
    hub.intercept = lambda request: (403, {}, b"") if request.path == "/api/repos/create" else None
    assert refusal(out, "them/merged", private=True) == (
        "error[MG652]: the token may not write to this repository\n  --> them/merged\n"
        f"  = help: use one that may: {LOGIN}\n"
        "  = help: the output is complete; try again with: mergegraph push out them/merged --private"
    )


@pytest.mark.parametrize(
    ("repository", "user"),
    [("me/new", {"name": "me", "auth": {"accessToken": {"role": "read"}}}), ("them/new", {"name": "me", "orgs": []})],
)
def test_a_run_asks_first_whether_it_may_push(hub, out, capsys, repository, user):
    answer = 200, {"Content-Type": "application/json"}, json.dumps(user).encode()
    hub.intercept = lambda request: answer if request.path == "/api/whoami-v2" else None
    Path("r.merge").write_text('save linear(model("./a"), model("./b")) to "new"')
    assert run(["run", "r.merge", "--push-to", repository]) == 1
    assert capsys.readouterr().err == (
        f"error[MG652]: the token may not write to this repository\n  --> {repository}\n"
        f"  = help: use one that may: {LOGIN}\n\n"
    )
    assert not Path("new").exists()


def test_no_name_of_a_repository(hub, out):
    assert refusal(out, "a/b/c").startswith("error[MG653]: this can't be the name of a repository: ")


def test_offline(hub, out, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal(out) == (
        "error[MG655]: nothing can be pushed while HF_HUB_OFFLINE is set\n  --> me/merged\n  = help: unset it\n"
        "  = help: the output is complete; try again with: mergegraph push out me/merged"
    )


def test_several_outputs_are_not_pushed_to_one_place(hub, out, capsys):
    Path("r.merge").write_text('a = model("./a")\nsave a to "x"\nsave a to "y"')
    assert run(["run", "r.merge", "--push-to", "me/new"]) == 2
    assert "--push-to takes a recipe with one `save`" in capsys.readouterr().err
    assert json.dumps(hub.asked("POST", "/")) == "[]"
