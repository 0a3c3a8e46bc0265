"""The page of errors knows every code of the package, once, and no other."""

import re
from pathlib import Path

import mergegraph

PACKAGE = Path(mergegraph.__file__).parent
PAGE = PACKAGE.parent / "docs" / "reference" / "errors.md"


def raised() -> set[str]:
    """Return the codes that the package can show: its string literals, and that of defects."""
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    return {code for text in texts for code in re.findall(r'"(MG\d{3})"|\[(MG\d{3})\]', text) for code in code if code}


def test_every_code_is_explained_once():
    explained = re.findall(r"MG\d{3}", PAGE.read_text(encoding="utf-8"))
    assert sorted(explained) == sorted(raised())


def test_every_explanation_is_complete():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| MG")]
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 4, row
        assert all(cells), row


def test_codes_in_docstrings_exist():
    mentioned = {code for path in PACKAGE.rglob("*.py") for code in re.findall(r"\bMG\d{3}\b", path.read_text("utf-8"))}
    assert mentioned <= raised()
