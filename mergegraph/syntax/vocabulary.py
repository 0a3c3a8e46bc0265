"""The words of the language as people read them."""

from __future__ import annotations

from collections.abc import Iterable

KEYWORDS = {
    "FN": "fn",
    "SELECT": "select",
    "SAVE": "save",
    "TO": "to",
    "WITH": "with",
    "FOR": "for",
    "IN": "in",
    "SEED": "seed",
    "IMPORT": "import",
    "TRUE": "true",
    "FALSE": "false",
    "NONE": "none",
}
"""Terminals of the reserved words."""

BEGINNINGS = frozenset({"FN", "SAVE", "FOR", "SEED", "IMPORT"})
"""Terminals of the reserved words that begin a statement."""

OPERATORS = frozenset({"PLUS", "MINUS", "STAR", "SLASH", "COMPARISON"})
"""Terminals that stand between two values."""

VALUES = frozenset({"NAME", "SEED", "NUMBER", "STRING", "TRUE", "FALSE", "NONE", "SELECT", "LPAR", "LSQB", "MINUS"})
"""Terminals that can begin a value."""

_GROUPS = (
    (frozenset({"$END", "NAME"}) | BEGINNINGS, "a statement"),
    (VALUES, "a value"),
    (frozenset({"NAME", "SEED"}), "a name"),
    (OPERATORS | {"DOT", "LPAR"}, "an operator"),
    (OPERATORS | {"DOT"}, "an operator"),
)

SPELLING = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string in double quotes",
    "WILDCARD": "_",
    "STAR": "*",
    "LAYERS": "layers",
    "LPAR": "(",
    "LSQB": "[",
    "LBRACE": "{",
    "EQUAL": "=",
    "COLON": ":",
    "RANGE": "..",
    "COMMA": ",",
    "RPAR": ")",
    "RSQB": "]",
    "RBRACE": "}",
} | KEYWORDS
"""What a terminal looks like in a text, or what it is called."""

_LOOKALIKES = {
    "“": '"',
    "”": '"',
    "„": '"',
    "«": '"',
    "»": '"',
    "‘": '"',
    "’": '"',
    "`": '"',
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "*",
    "·": "*",
    "÷": "/",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "!": "!=",
    "…": "..",
    "，": ",",
    "：": ":",
    "（": "(",
    "）": ")",
}


def lookalike(character: str) -> str | None:
    """Return what a character that the language lacks was probably meant to be."""
    return " " if character.isspace() else _LOOKALIKES.get(character)


def expectation(terminals: frozenset[str]) -> str:
    """Return what could have stood at a place, in words: "`,` or `)`", "a value"."""
    rest, words = set(terminals), []
    for group, word in _GROUPS:
        if group <= rest:
            rest -= group
            words.append(word)
    words += [_written(terminal) for terminal in SPELLING if terminal in rest]
    if "an operator" in words and "a statement" in words:
        return "an operator or the end of the statement"
    return _either([word for word in words if word != "an operator"] or words)


def _written(terminal: str) -> str:
    spelling = SPELLING[terminal]
    return spelling if " " in spelling else f"`{spelling}`"


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
