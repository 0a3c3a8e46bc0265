"""Say what is wrong where the parser stopped: one rule for each mistake that people make, then the general case."""

from __future__ import annotations

import re

from mergegraph.diagnostics import Diagnostic, Label, Span, escape
from mergegraph.syntax.advice import BETWEEN, VALUE, advice
from mergegraph.syntax.misspellings import MISSPELLINGS
from mergegraph.syntax.nesting import CLOSERS, MAX_DEPTH, OPENERS
from mergegraph.syntax.recovery import begins_statement, never_closed, swallowed_head
from mergegraph.syntax.stops import END, SHOWN, TOO_DEEP, Rule, Stop
from mergegraph.syntax.vocabulary import BEGINNINGS, OPERATORS, SPELLING, VALUES, expectation

_SHOWN_OPENERS = 3
_BOUND = re.compile(r"\w+\s*=(?!=)")
_USES = 'bind it: `name = …`, or save it: `save … to "path"`'
_OPTIONS = "the options of a `save` come after `with`"


def diagnose(stop: Stop) -> Diagnostic:
    """Return what the first rule that knows the mistake says of it."""
    return next(found for rule in RULES if (found := rule(stop)))


def trailing_comma(comma: Span, follower: Span | None) -> Diagnostic:
    """Return the error of a comma after the last option of a `save`, which would swallow the next statement."""
    followed = (Label(follower, "the next statement would be read as an option"),) if follower else ()
    return Diagnostic(
        "MG114",
        "the options of a `save` end with a comma",
        (Label(comma), *followed),
        ("remove the comma; an option on a line of its own is indented",),
    )


def _unclosed(stop: Stop) -> Diagnostic | None:
    found = never_closed(stop)
    if found is None:
        return None
    innermost = found.openers[-1]
    before = "this statement" if found.swallowed else "the end" if stop.word.kind == END else f"`{stop.word.text}`"
    noticed = stop.label(found.before, f"expected `{SPELLING[OPENERS[innermost.kind]]}` before {before}")
    opened = (stop.label(opener, "opened here") for opener in found.openers[: -_SHOWN_OPENERS - 1 : -1])
    several = len(found.openers) > 1
    message = f"{len(found.openers)} brackets are never closed" if several else f"`{innermost.text}` is never closed"
    closers = "".join(SPELLING[OPENERS[opener.kind]] for opener in reversed(found.openers))
    return Diagnostic("MG102", message, (noticed, *opened), (f"write `{closers}` where it ends",))


def _too_deep(stop: Stop) -> Diagnostic | None:
    if stop.word.kind != TOO_DEEP:
        return None
    help = "give an inner part a name of its own: `part = …`"
    return Diagnostic("MG115", f"this is nested more than {MAX_DEPTH} deep", (stop.label(stop.word),), (help,))


def _closes_nothing(stop: Stop) -> Diagnostic | None:
    if stop.word.kind not in CLOSERS:
        return None
    if not stop.opened:
        help = ("remove it, or open it above",)
        return Diagnostic("MG103", f"`{stop.word.text}` closes nothing", (stop.label(stop.word),), help)
    opener = stop.opened[-1]
    if CLOSERS[stop.word.kind] == opener.kind:
        return None
    closer = SPELLING[OPENERS[opener.kind]]
    labels = (stop.label(stop.word, f"expected `{closer}`"), stop.label(opener, "opened here"))
    message = f"`{stop.word.text}` does not close `{opener.text}`"
    return Diagnostic("MG103", message, labels, (f"write `{closer}` first",))


def _excess_name(stop: Stop) -> Diagnostic | None:
    """Tell `x = not a`: the last name was taken for the head of a statement, but stands in the middle of a line."""
    if stop.expected != {"EQUAL"} or not stop.after("NAME") or len(stop.recent) < 2:
        return None
    before, name = stop.recent[-2:]
    if "\n" in stop.source.text[before.end : name.start] or before.kind == "FN":
        return None
    shown = escape(name.text[:SHOWN])
    help = (_OPTIONS,) if before.kind == "STRING" and stop.after("TO", 3) else ()
    message = f"expected the end of the statement, found `{shown}`"
    return Diagnostic("MG101", message, (stop.label(name),), help or (BETWEEN,))


def _value_alone(stop: Stop) -> Diagnostic | None:
    """Tell `ties(a, b)` at the head of a statement, where a name stands that no `=` follows, or another value."""
    heading = {END, "SAVE"} <= stop.expected and "PLUS" not in stop.expected
    if not (_name_alone(stop) or (heading and stop.word.kind in VALUES and not stop.match(_BOUND))):
        return None
    label = stop.label(stop.word if heading else stop.recent[-1], "this value is not used")
    return Diagnostic("MG118", "a value alone does nothing", (label,), (_USES,))


def _name_alone(stop: Stop) -> bool:
    if stop.expected != {"EQUAL"} or not stop.after("NAME") or stop.after("FOR", 2):
        return False
    followed_by_line = "\n" in stop.source.text[stop.recent[-1].end : stop.word.start]
    return followed_by_line or stop.word.kind in OPERATORS | {"LPAR", "DOT", END}


def _chained_comparison(stop: Stop) -> Diagnostic | None:
    if stop.word.kind != "COMPARISON" or "PLUS" not in stop.expected:
        return None
    label = stop.label(stop.word, "the second comparison")
    return Diagnostic("MG119", "comparisons don't chain", (label,), ("compare two values at a time",))


def _trailing_comma(stop: Stop) -> Diagnostic | None:
    if not stop.after("COMMA") or stop.expected != {"NAME", "SEED"}:
        return None
    comma = stop.label(stop.recent[-1]).span
    return trailing_comma(comma, None)


def _missing_comma(stop: Stop) -> Diagnostic | None:
    if "COMMA" not in stop.expected or not stop.opened or stop.word.kind not in VALUES | {"WILDCARD"}:
        return None
    label = stop.label(stop.word, "expected `,` before this")
    return Diagnostic("MG120", "a `,` is missing", (label,), ("commas stand between the parts of a list or call",))


def _unfinished(stop: Stop) -> Diagnostic | None:
    """Tell a statement that ends too early: before the end, or before the next statement, or before what it took."""
    help = advice(stop)
    if swallowed_head(stop):
        end, expected, help = stop.recent[-2].end, "a value", (VALUE,)
    elif stop.recent and (stop.word.kind == END or _is_head(stop)):
        end, expected = stop.recent[-1].end, expectation(stop.expected)
    else:
        return None
    label = Label(Span(stop.source, end, end), f"expected {expected}")
    return Diagnostic("MG121", "a statement is not finished", (label,), help)


def _unexpected(stop: Stop) -> Diagnostic:
    found = f"`{escape(stop.word.text[:SHOWN])}`" if stop.word.kind != "STRING" else "a string"
    message = f"expected {expectation(stop.expected)}, found {found}"
    return Diagnostic("MG101", message, (stop.label(stop.word),), advice(stop))


def _is_head(stop: Stop) -> bool:
    return stop.word.kind in BEGINNINGS | {"NAME"} and begins_statement(stop.source.text, stop.word.start)


RULES: tuple[Rule, ...] = (
    _unclosed,
    _too_deep,
    _closes_nothing,
    *MISSPELLINGS,
    _excess_name,
    _value_alone,
    _chained_comparison,
    _trailing_comma,
    _missing_comma,
    _unfinished,
    _unexpected,
)
"""The first that answers explains the mistake; the last always does."""
