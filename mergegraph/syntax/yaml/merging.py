"""Write the merge that a mergekit configuration asks for as an expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.inline import inline
from mergegraph.syntax.yaml.bindings import Bindings
from mergegraph.syntax.yaml.make import argument, call, layers, stack
from mergegraph.syntax.yaml.methods import RENAMED, SWITCHES, Method
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.parameters import Level, Parameters, Value
from mergegraph.syntax.yaml.scalars import written
from mergegraph.syntax.yaml.slices import Input, Layers, Slice

EMBEDDINGS = ("*embed*", "*wte*", "*wpe*")
"""How the tensors before the first layer are named; of several slices, the first gives them and the last the rest."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model, and the checkpoint that it is a change of."""

    value: s.Expression
    donor: str


@dataclass(frozen=True, slots=True)
class _Part:
    """The merge of a slice. `layers` of it belong to the result: all, if it is `cut` to them, or they are None."""

    merged: Merged
    layers: Layers | None
    cut: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Merging:
    """Merges the slices of one configuration."""

    function: s.Name
    method: Method
    base: str | None
    parameters: Parameters
    bindings: Bindings

    @property
    def notes(self) -> Notes:
        """Where errors are noted."""
        return self.parameters.notes

    def merge(self, slices: Sequence[Slice]) -> Merged:
        """Return the model that the slices make when they are stacked; there is at least one."""
        parts = [self._part(slice) for slice in slices]
        first, last = parts[0], parts[-1]
        if len(parts) == 1 and (last.cut or last.layers is None):
            return last.merged
        values = [self.bindings.value(part.merged.value, f"part_{i}") for i, part in enumerate(parts, 1)]
        ranges = [
            layers(value, part.layers.start, part.layers.stop, part.span)
            for value, part in zip(values, parts, strict=True)
            if part.layers
        ]
        rest = values[-1] if values[0].name == values[-1].name else _rest(values[0], values[-1], first.span)
        return Merged(stack(ranges, rest, self.function.span), last.merged.donor)

    def _part(self, slice: Slice) -> _Part:
        inputs = self._with_base(slice)
        arguments, values = self._arguments(slice, inputs)
        ranges = {i.layers for i in inputs}
        cut = ranges != {None} and (len(ranges) > 1 or any(value.gradient for value in values))
        if cut:
            self._refuse_numbers(values, ranges)
        own = inputs[0].layers
        names = [self.bindings.cut(i.model, i.layers, i.span) if cut and i.layers else i.model for i in inputs]
        merged = self._call(slice, inputs, names, arguments)
        return _Part(merged, Layers(0, own.count) if cut and own else own, cut, slice.span)

    def _with_base(self, slice: Slice) -> tuple[Input, ...]:
        """Return the inputs, the base among them if the method needs it there."""
        if self.base is None or self.method.shape == "one" or any(i.model == self.base for i in slice.inputs):
            return slice.inputs
        ranges = {i.layers for i in slice.inputs}
        if len(ranges) > 1:
            help = (f"list `{self.base}` among the sources, with its layers",)
            self.notes.error("MG165", "which layers of the base belong to this slice?", slice.span, help=help)
        base = Input(self.base, slice.inputs[0].layers, Level("source", {}), self.function.span)
        return (base, *slice.inputs)

    def _is_base(self, given: Input) -> bool:
        return given.model == self.base and self.method.shape in ("changes", "pair")

    def _arguments(self, slice: Slice, inputs: Sequence[Input]) -> tuple[list[s.Argument], list[Value]]:
        """Return the parameters as arguments, and their values."""
        own = [i for i in inputs if not (self._is_base(i) and self.method.shape == "changes")]
        found = [
            *(pair for name in self.method.models for pair in self._of_models(name, slice, own)),
            *(pair for name in self.method.whole for pair in self._of_merge(name, slice)),
        ]
        arguments = [argument(RENAMED.get(name, name), value.expression) for name, value in found]
        return arguments, [value for _, value in found]

    def _of_models(self, name: str, slice: Slice, inputs: Sequence[Input]) -> Iterator[tuple[str, Value]]:
        place = self.function.span
        default = written(self.method.models[name], place)
        values = [self.parameters.find(name, (i.parameters, *slice.levels), default, place) for i in inputs]
        given = [value for value in values if value]
        if not given:
            return
        expressions = [value.expression if value else default for value in values]
        alike = len({inline(expression) for expression in expressions}) == 1
        together = expressions[0] if alike else s.List(tuple(expressions), given[0].expression.span)
        filters = tuple(filter for value in given for filter in value.filters)
        yield name, Value(together, any(value.gradient for value in given), filters)

    def _of_merge(self, name: str, slice: Slice) -> Iterator[tuple[str, Value]]:
        if name in SWITCHES:
            switched = self.parameters.switch(name, slice.levels)
            found = Value(switched) if switched else None
        else:
            default = self.method.whole[name]
            fallback = None if default is None else written(default, self.function.span)
            found = self.parameters.find(name, slice.levels, fallback, self.function.span)
        if found:
            yield name, found

    def _call(self, slice: Slice, inputs: Sequence[Input], names: Sequence[str], arguments: list[s.Argument]) -> Merged:
        pairs = sorted(zip(inputs, names, strict=True), key=lambda pair: not self._is_base(pair[0]))
        base = self._is_base(pairs[0][0])
        self._check_count(slice, len(pairs) - base)
        donor = self.bindings.donor(pairs[0][0].model)
        values = [s.Name(name, i.span) for i, name in pairs]
        if self.method.shape == "one" and not arguments:
            return Merged(values[0], donor)
        if base and self.method.shape == "changes":
            arguments = [argument("base", values.pop(0)), *arguments]
        return Merged(call(self.function, values, arguments), donor)

    def _check_count(self, slice: Slice, count: int) -> None:
        """Note an error if a slice has too few or too many models, not counting the base that is changed."""
        wanted = 2 if self.function.name == "nuslerp" else 1 if self.method.shape in ("pair", "one") else None
        if count == wanted or (wanted is None and count):
            return
        beside = " beside the base" if self.base else ""
        what = {None: "models", 1: "one model", 2: "two models"}[wanted]
        self.notes.error("MG168", f"`{self.function.name}` merges {what}{beside}", slice.span, f"there are {count}")

    def _refuse_numbers(self, values: Iterable[Value], ranges: Iterable[Layers | None]) -> None:
        """Refuse filters by the numbers of layers where models are cut, as the layers are numbered anew there."""
        filters = [filter for value in values for filter in value.filters if re.search(r"\d", filter.text)]
        if filters and any(r is not None and r.start for r in ranges):
            message = "a filter by the number of a layer is not available yet in a slice that begins further up"
            self.notes.error("MG205", message, filters[0].span, "planned")


def _rest(first: s.Name, last: s.Name, span: Span) -> s.Select:
    cases = [s.Case(s.String(glob, span), first, span, optional=True) for glob in EMBEDDINGS]
    return s.Select((*cases, s.Case(None, last, span)), span)
