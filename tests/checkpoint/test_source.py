"""What a recipe may mean by a model's name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mergegraph.checkpoint.source import Location, is_local, locate
from mergegraph.diagnostics import MergeGraphError


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of installed packages with `shipped_model`, which must not be imported, and `single.py`."""
    package = tmp_path / "site" / "shipped_model"
    (package / "weights" / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "site" / "single.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return package


def _refusal(tmp_path: Path, source: str, revision: str | None = None) -> str:
    with pytest.raises(MergeGraphError) as caught:
        locate(source, tmp_path, revision)
    assert caught.value.exit_code == 3
    assert caught.value.diagnostics[0].labels == ()
    return str(caught.value).replace(str(tmp_path), "…")


def test_paths_are_relative_to_the_recipe(tmp_path):
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert locate("./org", tmp_path, None) == Location(tmp_path / "org")
    assert locate("org/model", tmp_path, None) == Location(tmp_path / "org" / "model")
    assert locate(str(tmp_path / "org"), Path("elsewhere"), None) == Location(tmp_path / "org")


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m").mkdir()
    assert locate("~/m", Path("elsewhere"), None) == Location(tmp_path / "m")


@pytest.mark.parametrize("source", ["./math-cot", "/math-cot", "~/x", "../y", "python:a/b"])
def test_what_looks_like_a_path_never_asks_the_hub(tmp_path, source):
    assert is_local(source, tmp_path)


def test_a_missing_path_says_what_was_looked_for(tmp_path):
    assert _refusal(tmp_path, "./math-cot") == (
        "error[MG501]: there is no model at `./math-cot`: nothing has this path\n  --> …/math-cot\n"
        "  = help: paths of models begin at the recipe's folder"
    )


def test_a_path_too_long_for_the_system(tmp_path):
    assert _refusal(tmp_path, "./" + "a" * 5000).startswith("error[MG501]: there is no model at `./aaa")


@pytest.mark.parametrize(("source", "shown"), [("a/b/c", "a/b/c"), ("-a/b", "-a/b"), ("a\n/b", "a\\n/b")])
def test_neither_path_nor_hub_name(tmp_path, source, shown):
    assert _refusal(tmp_path, source) == (
        f"error[MG523]: there is no model at `{shown}`\n  --> {shown}\n"
        "  = help: write a path (`./folder`), a model of the Hub (`organisation/name`) or `python:package/folder`"
    )


@pytest.mark.parametrize("source", ["", "a\0b", "./\0"])
def test_no_name_at_all(tmp_path, source):
    assert _refusal(tmp_path, source).startswith("error[MG523]: there is no model at ")


@pytest.mark.parametrize("source", ["./m", "python:shipped-model/weights"])
def test_only_hub_models_have_revisions(tmp_path, packages, source):
    assert _refusal(tmp_path, source, "main") == (
        f"error[MG526]: `{source}` has no revisions, as it is not on the Hub\n  --> {source}\n"
        "  = help: remove `revision`"
    )


@pytest.mark.parametrize("package", ["shipped-model", "shipped_model"])
def test_a_folder_in_a_package_that_is_not_imported(tmp_path, packages, package):
    assert locate(f"python:{package}/weights/inner", tmp_path, None) == Location(packages / "weights" / "inner")
    assert "shipped_model" not in sys.modules


def test_a_package_without_the_folder(tmp_path, packages):
    assert _refusal(tmp_path, "python:shipped-model/model") == (
        "error[MG525]: the package `shipped-model` has no `model`\n  --> …/site/shipped_model\n"
        "  = help: correct the folder, or install a version that has it"
    )
    assert _refusal(tmp_path, "python:shipped-model/wieghts").endswith("= help: did you mean `weights`?")


@pytest.mark.parametrize("package", ["not-there", "single", "sys", "__main__"])
def test_a_package_that_is_not_installed(tmp_path, packages, package):
    assert _refusal(tmp_path, f"python:{package}/model") == (
        f"error[MG524]: the package `{package}` is not installed\n  --> python:{package}/model\n"
        f"  = help: install it: `pip install {package}`"
    )


@pytest.mark.parametrize(
    "source",
    ["python:", "python:a", "python:a/", "python:/b", "python:a/../b", "python:a//b", "python:a.b/c", "python:a b/c"],
)
def test_a_package_source_of_another_form(tmp_path, source):
    assert _refusal(tmp_path, source) == (
        f"error[MG523]: `{source}` is not of the form `python:package/folder`\n  --> {source}"
    )
