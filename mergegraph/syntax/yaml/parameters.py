"""Turn the parameters of a mergekit configuration into expressions.

A parameter is looked for in the source, the slice, the module and the whole configuration, in this order. Its value is
a number, a gradient over the layers, one of these for the tensors whose names contain a text, or a list of such
conditional values; the first that is for a tensor counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from mergegraph.diagnostics import Span, did_you_mean, escape
from mergegraph.syntax import nodes as s
from mergegraph.syntax.yaml.make import argument, call
from mergegraph.syntax.yaml.methods import PARAMETERS, WITHOUT_EFFECT, Method
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.scalars import is_null, number, switch, written
from mergegraph.syntax.yaml.section import Section
from mergegraph.syntax.yaml.tree import Entry, Items, Map, Scalar, Tree, head, kind

_METACHARACTERS = re.compile(r"([*?[])")


@dataclass(frozen=True, slots=True)
class Level:
    """The `parameters` of one place. Those of a `source` are of one model, all others of the whole merge too."""

    place: Literal["source", "slice", "module", "configuration"]
    entries: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Value:
    """What a parameter is. `gradient` tells that it depends on the layer; `filters` are the texts that it asks for."""

    expression: s.Expression
    gradient: bool = False
    filters: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class _Conditional:
    filter: Scalar | None
    value: Value


@dataclass(slots=True)
class Parameters:
    """Reads the parameters of one configuration."""

    name: str
    method: Method
    notes: Notes
    _warned: set[Span] = field(default_factory=set)

    def level(self, place: Literal["source", "slice", "module", "configuration"], tree: Tree | None) -> Level:
        """Return the parameters of one place; those that the method does not have, or not there, are noted."""
        if tree is None or is_null(tree):
            return Level(place, {})
        if not isinstance(tree, Map):
            help = ("such as `parameters: {weight: 0.5}`",)
            self.notes.error("MG161", "`parameters` must be a map", head(tree.span), f"this is {kind(tree)}", help=help)
            return Level(place, {})
        return Level(place, {e.key.text: e for e in tree.entries if self._has(e.key, place) and not is_null(e.value)})

    def find(self, name: str, levels: Iterable[Level], default: s.Expression | None, missing: Span) -> Value | None:
        """Return the value of a parameter; None where it is given nowhere.

        `default` is for tensors that no filter is for; without one they are an error at `missing`.
        """
        entries = [level.entries[name] for level in levels if name in level.entries]
        if not entries:
            return None
        cases = list(_until_unconditional(case for entry in entries for case in self._conditionals(name, entry.value)))
        last = cases[-1].value.expression if cases and cases[-1].filter is None else default
        if last is None:
            help = ("end its list with a value without `filter`",)
            self.notes.error("MG162", f"`{name}` has no value for tensors that no filter is for", missing, help=help)
            return None
        chosen = [case for case in cases if case.filter is not None]
        if len(cases) > len(chosen) and not any(case.filter and "head" in case.filter.text for case in chosen):
            self._warn_of_gradient(name, cases[-1].value)
        gradient = any(case.value.gradient for case in cases)
        if not chosen:
            return Value(last, gradient)
        span = entries[0].value.span
        globs = tuple(
            s.Case(contains(c.filter.text, c.filter.span), c.value.expression, c.filter.span, optional=True)
            for c in chosen
            if c.filter
        )
        select = s.Select((*globs, s.Case(None, last, last.span)), span)
        return Value(select, gradient, tuple(case.filter for case in chosen if case.filter))

    def switch(self, name: str, levels: Iterable[Level]) -> s.Expression | None:
        """Return the value of a parameter that is on or off; None where it is given nowhere."""
        entry = next((level.entries[name] for level in levels if name in level.entries), None)
        value = switch(entry.value, name, self.notes) if entry else None
        return None if entry is None or value is None else s.Constant(value, entry.value.span)

    def _has(self, key: Scalar, place: str) -> bool:
        name, mine = key.text, self.method.parameters
        if name in mine and (place != "source" or name in self.method.models):
            return True
        if name in mine:
            help = ("it is one for all models: write it under the `parameters` of the slice or the configuration",)
            self.notes.warn("MG163", f"`{name}` is not a parameter of one model; it is not used", key.span, help=help)
        elif name in PARAMETERS:
            if name not in WITHOUT_EFFECT:
                self.notes.warn("MG163", f"`{self.name}` has no parameter `{name}`; it is not used", key.span)
        else:
            known = f"it has: {', '.join(mine)}" if mine else "it has none"
            message = f"`{self.name}` has no parameter `{escape(name)}`"
            self.notes.error("MG160", message, key.span, "unknown parameter", help=(*did_you_mean(name, mine), known))
        return False

    def _conditionals(self, name: str, tree: Tree) -> Iterator[_Conditional]:
        listed = isinstance(tree, Items) and any(isinstance(item, Map) for item in tree.items)
        for item in tree.items if listed and isinstance(tree, Items) else (tree,):
            filter, value = self._condition(name, item) if isinstance(item, Map) else (None, item)
            found = self._value(name, value) if value else None
            if found:
                yield _Conditional(filter, found)

    def _condition(self, name: str, tree: Map) -> tuple[Scalar | None, Tree | None]:
        section = Section(tree, f"a value of `{name}`", ("filter", "value"), self.notes)
        section.need("value", "write `{filter: self_attn, value: 0.5}`")
        filter = section.text("filter")
        return (None if filter and filter.text == "*" else filter), section.get("value")

    def _value(self, name: str, tree: Tree) -> Value | None:
        """Return a number or a gradient."""
        if not isinstance(tree, Items):
            value = number(tree, name, self.notes)
            return None if value is None else Value(_number(tree, value))
        numbers = [number(item, name, self.notes) for item in tree.items]
        if not numbers:
            help = ("such as `1`, or `[0, 1]` from the first layer to the last",)
            self.notes.error("MG161", f"`{name}` must be a number", head(tree.span), "this list is empty", help=help)
        found = [_number(item, value) for item, value in zip(tree.items, numbers, strict=True) if value is not None]
        if not found or len(found) < len(numbers):
            return None
        if len(set(numbers)) == 1:
            return Value(found[0])
        ramp = call(s.Name("ramp", head(tree.span)), found, [argument("outside", found[0])])
        return Value(ramp, gradient=True)

    def _warn_of_gradient(self, name: str, value: Value) -> None:
        place = value.expression.span
        if value.gradient and place not in self._warned:
            self._warned.add(place)
            help = ("give the others a value with a `filter` before it, such as `filter: lm_head`",)
            message = f"tensors outside layers take the first value of `{name}`, those after the last layer too"
            self.notes.warn("MG164", message, place, help=help)


def _until_unconditional(cases: Iterable[_Conditional]) -> Iterator[_Conditional]:
    for case in cases:
        yield case
        if case.filter is None:
            return


def contains(text: str, span: Span) -> s.String:
    """Return the glob of names that contain a text."""
    return s.String(f"*{_literal(text)}*", span)


def begins(text: str, span: Span) -> s.String:
    """Return the glob of names that begin with a text."""
    return s.String(f"{_literal(text)}*", span)


def _literal(text: str) -> str:
    return _METACHARACTERS.sub(r"[\1]", text)


def _number(tree: Tree, value: float) -> s.Expression:
    return written(value, tree.span, tree.text if isinstance(tree, Scalar) else "")
