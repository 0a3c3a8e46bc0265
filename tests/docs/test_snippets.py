"""Everything that the documentation says to do is done, page by page, and prints what it says."""

import re
import shutil
from pathlib import Path

import click
import pytest
from families import make_family
from hub_server import Hub
from snippets import DECLARED, ROOT, fences, run_command, run_page
from sparse import LLAMA_8B, write_sparse

from mergegraph.cli.app import app, run
from mergegraph.ops import OPS

# huggingface_hub hands files to its HTTP client in a way that the client calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

DOCS = ROOT / "docs"
GENERATED = ("methods.md", "cli.md", "grammar.md")
ELSEWHERE = ("adapters.md", "hub.md", "look-at-models.md")
"""Pages whose commands need more than models, which tests of their own make."""
SLOW = sorted((DOCS / "tutorial").glob("*.md"))
PAGES = [DOCS / "index.md"]
PAGES += [page for folder in ("how-to", "reference", "explanation") for page in sorted((DOCS / folder).glob("*.md"))]
MODELS = ("base", "a", "b", "c", "code", "math", "chat")
STUDIED = ("meta-llama/Llama-3.1-8B-Instruct", "Alelcv27/Llama3.1-8B-Code", "math-cot")
"""What the first page speaks of: a folder of the name of a model of the Hub is taken before the Hub is asked."""
UNRUN = {
    ("README.md", "installs packages"),
    ("docs/how-to/editors.md", "installs packages"),
    ("docs/how-to/editors.md", "needs npm and VS Code"),
    ("docs/tutorial/first-merge.md", "installs packages"),
    ("docs/tutorial/talk-to-it.md", "installs packages"),
}
"""All that the documentation says to do and that is not done here."""
EXAMPLE = re.compile(r"^      (mergegraph .*?)(?:   .*)?$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make the models that the pages speak of in the current folder."""
    make_family(tmp_path, models=MODELS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(OPS) - DECLARED:
        del OPS[name]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in (*GENERATED, *ELSEWHERE)], ids=_name)
def test_page(page, folder, capsys):
    run_page(page, lambda: "".join(capsys.readouterr()))


def test_the_first_page_explains_a_merge_of_real_shapes(tmp_path, monkeypatch, capsys):
    for name in STUDIED:
        write_sparse(tmp_path / name, LLAMA_8B)
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "README.md", lambda: "".join(capsys.readouterr()))


def test_the_page_on_the_hub(hub: Hub, tmp_path, monkeypatch, capsys):
    folders = make_family(tmp_path / "models", models=("SmolLM2-135M", "SmolLM2-135M-Instruct"))
    for name, path in folders.items():
        commit = hub.upload(f"HuggingFaceTB/{name}", path)
        hub.repos[f"HuggingFaceTB/{name}"].branches["v1.0"] = commit
    monkeypatch.setenv("HF_TOKEN", hub.writer)
    monkeypatch.chdir(tmp_path)
    run_page(DOCS / "how-to" / "hub.md", lambda: "".join(capsys.readouterr()))
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    for name in ("me/merged", "me/another"):
        repo = hub.repos[name]
        assert repo.commits[repo.branches["main"]]["model.safetensors"] == weights


def test_every_example_of_help_runs(hub: Hub, folder, monkeypatch, capsys):
    """Those of the page of commands, which is made of them; those that write what others look at come first."""
    monkeypatch.setenv("HF_TOKEN", hub.writer)
    for alias, model in {"llama": "base", "tuned": "a"}.items():
        shutil.copytree(model, alias)
    text = 'base = model("./base")\nsave ties(model("./code"), model("./math"), base=base, density={}) to "out/ties"\n'
    for name, density in {"ties": 0.5, "recipe": 0.5, "old": 0.4, "new": 0.3, "recipes/third": 0.5}.items():
        Path(f"{name}.merge").parent.mkdir(exist_ok=True)
        Path(f"{name}.merge").write_text(text.format(density))
    Path("ties.yml").write_text("merge_method: linear\nmodels: [{model: ./a}, {model: ./b}]\n")
    ran = 0
    first, commands = ["run", "extract-lora"], app.list_commands(click.Context(app))
    for command in [*first, *(name for name in commands if name not in first)]:
        assert run([command, "--help"]) == 0
        for example in EXAMPLE.findall(capsys.readouterr().out):
            if example.startswith("mergegraph run"):
                shutil.rmtree("out", ignore_errors=True)
            if "push" in example:
                hub.repos.pop("me/ties", None)
            run_command(example, "")
            ran += 1
    assert ran >= len(commands)


def test_all_else_is_run():
    found = {
        (_name(page), fence.unrun)
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for fence in fences(page)
        if fence.unrun
    }
    assert found == UNRUN


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=_name)
def test_tutorial(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_page(page, lambda: "".join(capsys.readouterr()))
