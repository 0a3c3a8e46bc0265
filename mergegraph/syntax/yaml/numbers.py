"""Move filters by the number of a layer to where the layers are numbered otherwise.

A filter of mergekit is a text in the name of a tensor: the model's own name where the parameter is one of a model, that
in the result where it is one of the merge. Where models are cut to a slice, layers are counted from its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mergegraph.diagnostics import escape
from mergegraph.syntax import nodes as s
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.parameters import Value, contains
from mergegraph.syntax.yaml.slices import Layers
from mergegraph.syntax.yaml.tree import Scalar

_LAYER = re.compile(r"(?P<before>.*?(?:layers|blocks?|encoder\.layer|(?<![^.])h)\.)(?P<number>\d+)(?P<after>(?:\..*)?)")
_INSIDE = re.compile(r"experts\.\d+|\w*[A-Za-z_]\d+")
"""Numbers that are never a layer's: an expert's, and those at the end of a word."""


def renumbered(value: Value, numbers: Layers, start: int, notes: Notes) -> Value:
    """Return a value for layers numbered from `start`, which its filters count by `numbers`."""
    if numbers.start == start or not isinstance(value.expression, s.Select):
        return value
    *cases, last = value.expression.cases
    pairs = zip(cases, value.filters, strict=True)
    moved = tuple(new for case, filter in pairs for new in _moved(case, filter, numbers, start, notes))
    return replace(value, expression=replace(value.expression, cases=(*moved, last)) if moved else last.value)


def _moved(case: s.Case, filter: Scalar, numbers: Layers, start: int, notes: Notes) -> Iterator[s.Case]:
    found = _LAYER.fullmatch(filter.text)
    if found:
        for number in _meant(found["number"], numbers, whole=bool(found["after"])):
            text = f"{found['before']}{number - numbers.start + start}{found['after'] or '.'}"
            yield replace(case, pattern=contains(text, filter.span))
        return
    if re.search(r"\d", _INSIDE.sub("", filter.text)):
        help = ("write what the numbers count before it: `layers.9.`, `h.9.`, `blocks.9.` or `experts.9.`",)
        message = f"does the number in `{escape(filter.text)}` count layers?"
        notes.error("MG180", message, filter.span, "layers are numbered anew in this slice", help=help)
    yield case


def _meant(digits: str, numbers: Layers, *, whole: bool) -> Iterable[int]:
    """Return the numbers that are, or without `whole` begin with, some digits."""
    every = range(numbers.start, numbers.stop)
    return [n for n in every if (str(n) == digits if whole else str(n).startswith(digits))]
