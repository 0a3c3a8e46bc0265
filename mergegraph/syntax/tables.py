"""Keep the tables of the parser beside the grammar: to make them takes longer than to read any recipe."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from lark import Lark
from lark import __version__ as lark_version
from lark.grammar import Rule
from lark.lexer import TerminalDef

from mergegraph.grammars import grammar_text

_OPTIONS = {
    "parser": "lalr",
    "lexer": "contextual",
    "start": ["recipe"],
    "keep_all_tokens": True,
    "maybe_placeholders": False,
}


def make_parser(**building: Any) -> Lark:
    """Return the parser of recipes, with options of lark that say what it builds.

    Tables of another grammar or of another version of lark are not used: they are made anew.
    """
    grammar = grammar_text("recipe.lark")
    stored = json.loads(grammar_text("recipe.tables.json"), object_hook=_numbered)
    if stored["of"] != _identity(grammar):
        return Lark(grammar, **_OPTIONS, **building)
    stored["data"]["options"] = {**_OPTIONS, **building}
    return Lark.load(stored)


def tables() -> str:
    """Return the tables of the grammar, as the text that is stored."""
    grammar = grammar_text("recipe.lark")
    data, memo = Lark(grammar, **_OPTIONS).memo_serialize([TerminalDef, Rule])
    del data["options"]
    data["parser"]["parser"] |= _in_order(data["parser"]["parser"])
    return json.dumps({"of": _identity(grammar), "data": data, "memo": memo}, separators=(",", ":")) + "\n"


def _in_order(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table of states, which lark numbers as chance has it, with numbers by the words that lead to them."""
    words = {word: number for number, word in enumerate(sorted(table["tokens"].values()))}
    steps = {
        state: sorted((words[table["tokens"][token]], step) for token, step in found.items())
        for state, found in table["states"].items()
    }
    order = list(table["start_states"].values())
    for state in order:
        order += dict.fromkeys(to for _, (reduces, to) in steps[state] if not reduces and to not in order)
    places = {state: place for place, state in enumerate(order)}
    return {
        "tokens": {number: word for word, number in words.items()},
        "states": {
            place: {word: (reduces, to if reduces else places[to]) for word, (reduces, to) in steps[state]}
            for state, place in places.items()
        },
        "start_states": {name: places[state] for name, state in table["start_states"].items()},
        "end_states": {name: places[state] for name, state in table["end_states"].items()},
    }


def _identity(grammar: str) -> list[str]:
    return [f"lark {lark_version}", sha256(grammar.encode("utf-8")).hexdigest()]


def _numbered(table: dict[str, Any]) -> dict[Any, Any]:
    """Return a table whose keys are numbers again, where JSON has made them text."""
    return {int(key) if key.isdigit() else key: value for key, value in table.items()}
