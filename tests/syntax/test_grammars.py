"""Grammars are found in an installed package and in a source tree; the stored tables are those of the grammar."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mergegraph
from mergegraph.grammars import grammar_text
from mergegraph.syntax.tables import make_parser, tables

PACKAGE = Path(mergegraph.__file__).parent


def test_a_grammar_is_found_in_the_source_tree():
    assert grammar_text("recipe.lark") == (PACKAGE.parent / "grammar" / "recipe.lark").read_text(encoding="utf-8")


def test_an_unknown_grammar_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"^no grammar file is named cobol\.lark$"):
        grammar_text("cobol.lark")


def test_the_grammar_in_the_package_comes_first(tmp_path):
    package = tmp_path / "mergegraph"
    for folder, text in ((package / "grammar", "packaged"), (tmp_path / "grammar", "beside")):
        folder.mkdir(parents=True)
        (folder / "recipe.lark").write_text(text, encoding="utf-8")
    for name in ("__init__.py", "grammars.py"):
        shutil.copy(PACKAGE / name, package)
    program = "from mergegraph.grammars import grammar_text; assert grammar_text('recipe.lark') == 'packaged'"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_the_stored_tables_are_those_of_the_grammar(check_text):
    check_text(PACKAGE.parent / "grammar" / "recipe.tables.json", tables())


def test_tables_of_another_grammar_are_not_used(monkeypatch):
    text = 'save "no" "recipe"'
    texts = {"recipe.lark": 'recipe: "save" STRING*\nSTRING: /"[a-z]+"/\n%ignore " "\n'}
    monkeypatch.setattr("mergegraph.syntax.tables.grammar_text", lambda name: texts.get(name) or grammar_text(name))
    assert [str(token) for token in make_parser().parse(text).children] == ["save", '"no"', '"recipe"']
