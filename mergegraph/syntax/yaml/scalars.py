"""What single values mean: YAML 1.2's core schema, so that `no` is a word and `1e-3` a number."""

from __future__ import annotations

import math
import re

from mergegraph.diagnostics import Span, escape
from mergegraph.syntax import nodes as s
from mergegraph.syntax.build import LONGEST_NUMBER
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.tree import Scalar, Tree, head, kind

_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NUMBERS = (_OTHER_BASE, _REAL, _NOT_FINITE)
_WRITTEN = re.compile(r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
LARGEST = "such as `1`; the largest number is about 1.8e308"
"""What to write in the place of a number that is infinite or none."""

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""The words for on and off that any YAML reader has taken so."""


def is_null(tree: Tree) -> bool:
    """Tell whether nothing is given."""
    return isinstance(tree, Scalar) and tree.plain and tree.text in _NULLS


def switch(tree: Tree, what: str, notes: Notes) -> bool | None:
    """Return whether a value means on or off, as a word or as a number; None, with the error noted, if neither."""
    word = tree.text.lower() if isinstance(tree, Scalar) else ""
    if word in _SWITCHES:
        return _SWITCHES[word]
    if is_number(tree):
        value = number(tree, what, notes)
        return None if value is None else value != 0
    shown = f"this is `{escape(word)}`" if isinstance(tree, Scalar) else f"this is {kind(tree)}"
    help = (f"such as `{what}: true`",)
    notes.error("MG161", f"`{what}` must be `true` or `false`", head(tree.span), shown, help=help)
    return None


def is_number(tree: Tree) -> bool:
    """Tell whether a value has the form of a number, be it in quotes, be it finite or not."""
    return isinstance(tree, Scalar) and any(form.fullmatch(tree.text) for form in _NUMBERS)


def number(tree: Tree, what: str, notes: Notes) -> float | None:
    """Return a finite number; None, with the error noted, if it is none. `what` is what needs it."""
    if not isinstance(tree, Scalar) or not is_number(tree):
        shown = f"this is `{escape(tree.text)}`" if isinstance(tree, Scalar) else f"this is {kind(tree)}"
        notes.error("MG161", f"`{what}` must be a number", head(tree.span), shown, help=("such as `1`",))
        return None
    if len(tree.text) > LONGEST_NUMBER:
        help = (f"it has {len(tree.text)} characters; a number has at most {LONGEST_NUMBER}",)
        notes.error("MG158", "this number is too large", tree.span, help=help)
        return None
    value = _value(tree.text)
    if math.isfinite(value):
        return value
    help = (LARGEST,)
    notes.error("MG158", f"`{what}` must be finite", tree.span, f"this is `{escape(tree.text)}`", help=help)
    return None


def written(value: float, span: Span, text: str = "") -> s.Expression:
    """Return a number as an expression; `text` is how it was written."""
    spelled = text if _WRITTEN.fullmatch(text) else _spelled(abs(value))
    positive = s.Number(abs(value), spelled, span)
    return s.Negative(positive, span) if value < 0 else positive


def _value(text: str) -> float:
    if _OTHER_BASE.fullmatch(text):
        return float(int(text, 0))
    if _NOT_FINITE.fullmatch(text):
        return math.nan if text[1:2].lower() == "n" else math.inf
    return float(text)


def _spelled(value: float) -> str:
    return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)
