"""Say what is wrong with characters, strings, numbers and names that the language lacks."""

from __future__ import annotations

import re
from dataclasses import replace

from mergegraph.diagnostics import Diagnostic, Label, Span, escape
from mergegraph.syntax.recovery import begins_statement
from mergegraph.syntax.stops import CHARACTER, SHOWN, Rule, Stop
from mergegraph.syntax.vocabulary import BEGINNINGS, KEYWORDS, lookalike

_LINE = re.compile(r"[^\r\n]*")
_SINGLE_QUOTED = re.compile(r"'[^'\r\n]*'?")
_NUMBER = re.compile(r"\.?[0-9][\w.]*(?:(?<=[eE])[+-]\w*)?")
_NAME = re.compile(r"\w+")
_BOUND = re.compile(r"\w+\s*=(?!=)")
_FOREIGN = {
    ";": "a statement ends with its line; remove the `;`",
    "%": "write a fraction: `0.5` for 50 percent",
    "@": 'a revision is an argument: `model("org/name", revision="main")`',
    "&": "a mask is multiplied: `mask * delta`",
    "$": 'names are used as they are: `t`; in a path in braces: `"out-{t}"`',
}
"""What to write in the place of characters that other languages have."""
_DASHED = re.compile(r"[A-Za-z_]\w*(?:-\w+)+")


def _unterminated_string(stop: Stop) -> Diagnostic | None:
    if stop.word.text != '"' or stop.word.kind != CHARACTER:
        return None
    rest = stop.match(_LINE).rstrip()
    help = r"a string ends on its line; a line break in it is written `\n`"
    if r"\"" in rest:
        help = r"`\"` is a quote inside the string; a backslash at its end is written `\\`"
    label = stop.label(replace(stop.word, end=stop.word.start + len(rest)), "it begins here")
    return Diagnostic("MG104", "a string is never closed", (label,), (help,))


def _single_quoted(stop: Stop) -> Diagnostic | None:
    text = stop.match(_SINGLE_QUOTED)
    if not text:
        return None
    label = stop.label(replace(stop.word, end=stop.word.start + len(text)))
    return Diagnostic("MG105", "a string has single quotes", (label,), ('strings have double quotes: `"text"`',))


def _malformed_number(stop: Stop) -> Diagnostic | None:
    text = stop.match(_NUMBER)
    if not text or stop.word.kind not in {CHARACTER, "DOT"} or stop.after("RANGE"):
        return None
    label = stop.label(replace(stop.word, end=stop.word.start + len(text)))
    help = "numbers look like `3`, `0.5`, `1e-3` or `1_000`"
    if text[0] == "." and text[1:].isdigit() and len(text) < SHOWN:
        help = f"write a digit before the point: `0{text}`"
    return Diagnostic("MG109", "this is not a number", (label,), (help,))


def _point_without_digit(stop: Stop) -> Diagnostic | None:
    if not (stop.after("DOT") and stop.after("NUMBER", 2)) or stop.recent[-2].end != stop.recent[-1].start:
        return None
    label = Label(Span(stop.source, stop.recent[-2].start, stop.recent[-1].end))
    return Diagnostic("MG109", "this is not a number", (label,), ("a digit follows the point: `1.0`",))


def _foreign_name(stop: Stop) -> Diagnostic | None:
    text = stop.match(_NAME)
    if not text or stop.word.kind != CHARACTER:
        return None
    label = stop.label(replace(stop.word, end=stop.word.start + len(text)))
    return Diagnostic(
        "MG112",
        "a name has a letter that names can't have",
        (label,),
        ("names are made of the letters A to Z and a to z, digits and `_`",),
    )


def _foreign_character(stop: Stop) -> Diagnostic | None:
    if stop.word.kind != CHARACTER:
        return None
    meant = lookalike(stop.word.text)
    help = () if meant is None else (f"did you mean `{meant}`?",) if meant.strip() else ("use a plain space",)
    if stop.word.text in _FOREIGN:
        help = (_FOREIGN[stop.word.text],)
    shown = "a backtick" if stop.word.text == "`" else f"`{escape(stop.word.text)}`"
    message = f"{shown} is not part of the language"
    return Diagnostic("MG107", message, (stop.label(stop.word),), help)


def _dashed_name(stop: Stop) -> Diagnostic | None:
    """Tell `my-model = …` and `f(my-weight=1)`: the parser stops at the first dash, or at the `=`."""
    if stop.word.kind == "MINUS" and stop.after("NAME"):
        start = stop.recent[-1].start
    elif stop.word.text == "=" and stop.after("NAME") and stop.after("MINUS", 2) and stop.after("NAME", 3):
        start = stop.recent[-3].start
    else:
        return None
    found = _DASHED.match(stop.source.text, start)
    if found is None or found.end() < stop.recent[-1].end:
        return None
    name, label = found[0], Label(Span(stop.source, start, found.end()))
    help = f"call it `{name.replace('-', '_')}`" if len(name) < SHOWN else "use `_` instead"
    return Diagnostic("MG110", "a name has a `-`", (label,), (help,))


def _keyword_as_name(stop: Stop) -> Diagnostic | None:
    """Tell `to = …`, `x = save`, and `save = …`, where the parser stops at the `=`."""
    word = stop.word
    if word.kind == "EQUAL" and stop.recent and stop.recent[-1].kind in BEGINNINGS - {"SEED"}:
        word = stop.recent[-1]
    elif word.kind not in KEYWORDS or "NAME" not in stop.expected or _has_its_own_sense(stop):
        return None
    message = f"`{word.text}` is a word of the language and can't be a name"
    return Diagnostic("MG111", message, (stop.label(word),), (f"choose another, such as `{word.text}_`",))


def _has_its_own_sense(stop: Stop) -> bool:
    if stop.word.kind in {"TO", "WITH", "IN"}:
        return "NUMBER" in stop.expected and not stop.match(_BOUND)
    return begins_statement(stop.source.text, stop.word.start) and stop.word.kind in BEGINNINGS


MISSPELLINGS: tuple[Rule, ...] = (
    _unterminated_string,
    _single_quoted,
    _malformed_number,
    _point_without_digit,
    _foreign_name,
    _foreign_character,
    _dashed_name,
    _keyword_as_name,
)
