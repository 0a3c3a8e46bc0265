"""Write the merge that a mergekit configuration asks for as an expression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.inline import inline
from mergegraph.syntax.yaml.bindings import Bindings
from mergegraph.syntax.yaml.make import argument, call, layers, stack
from mergegraph.syntax.yaml.methods import RENAMED, SWITCHES, Method
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.numbers import renumbered
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
class _Parameter:
    """A parameter of a slice, with a value for each model or one for all; None where it is not given.

    `numbers` are the layers that the filters of each value count, None without slices.
    """

    name: str
    values: tuple[Value | None, ...]
    numbers: tuple[Layers | None, ...]
    default: s.Expression | None

    @property
    def gradient(self) -> bool:
        """Whether it depends on the layer."""
        return any(value.gradient for value in self.values if value)

    def argument(self, kept: Layers | None, notes: Notes) -> s.Argument:
        """Return it as an argument of a call that merges the layers `kept`."""
        values = [
            renumbered(value, numbers, kept.start, notes) if value and numbers and kept else value
            for value, numbers in zip(self.values, self.numbers, strict=True)
        ]
        expressions = [found for v in values if (found := v.expression if v else self.default)]
        place = next(value.expression.span for value in values if value)
        alike = len({inline(expression) for expression in expressions}) == 1
        together = expressions[0] if alike else s.List(tuple(expressions), place)
        return argument(RENAMED.get(self.name, self.name), together)


@dataclass(frozen=True, slots=True)
class Merging:
    """Merges the slices of one configuration, or of a module: its layers are the stack `layers`."""

    function: s.Name
    method: Method
    base: str | None
    parameters: Parameters
    bindings: Bindings
    layers: s.String | None = None

    @property
    def notes(self) -> Notes:
        """Where errors are noted."""
        return self.parameters.notes

    def merge(self, slices: Sequence[Slice]) -> Merged:
        """Return the model that the slices make when they are stacked; there is at least one."""
        counts = [slice.inputs[0].layers.count if slice.inputs[0].layers else 0 for slice in slices]
        parts = [self._part(slice, sum(counts[:i])) for i, slice in enumerate(slices)]
        first, last = parts[0], parts[-1]
        if len(parts) == 1 and (last.cut or last.layers is None):
            return last.merged
        values = [self.bindings.value(part.merged.value, f"part_{i}") for i, part in enumerate(parts, 1)]
        ranges = [
            layers(value, self.layers, part.layers.start, part.layers.stop, part.span)
            for value, part in zip(values, parts, strict=True)
            if part.layers
        ]
        rest = values[-1] if values[0].name == values[-1].name else _rest(values[0], values[-1], first.span)
        return Merged(stack(ranges, rest, self.function.span), last.merged.donor)

    def _part(self, slice: Slice, height: int) -> _Part:
        inputs = self._with_base(slice)
        parameters = list(self._given(slice, inputs, height))
        ranges = {i.layers for i in inputs}
        cut = ranges != {None} and (len(ranges) > 1 or any(parameter.gradient for parameter in parameters))
        own = inputs[0].layers
        kept = Layers(0, own.count) if cut and own else own
        names = [
            self.bindings.cut(i.model, self.layers, i.layers, i.span) if cut and i.layers else i.model for i in inputs
        ]
        arguments = [parameter.argument(kept, self.notes) for parameter in parameters]
        return _Part(self._call(slice, inputs, names, arguments), kept, cut, slice.span)

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

    def _given(self, slice: Slice, inputs: Sequence[Input], height: int) -> Iterator[_Parameter]:
        """Yield the parameters that are given for a slice whose first layer is number `height` of the result."""
        place, of = self.function.span, self.parameters
        own = [i for i in inputs if not (self._is_base(i) and self.method.shape == "changes")]
        for name, default in self.method.models.items():
            fallback = written(default, place)
            values = tuple(of.find(name, (i.parameters, *slice.levels), fallback, place) for i in own)
            if any(values):
                yield _Parameter(name, values, tuple(i.layers for i in own), fallback)
        first = inputs[0].layers
        numbers = Layers(height, height + first.count) if first else None
        for name in self.method.whole:
            value = self._of_merge(name, slice)
            if value:
                yield _Parameter(name, (value,), (numbers,), None)

    def _of_merge(self, name: str, slice: Slice) -> Value | None:
        if name in SWITCHES:
            switched = self.parameters.switch(name, slice.levels)
            return Value(switched) if switched else None
        default = self.method.whole[name]
        fallback = None if default is None else written(default, self.function.span)
        return self.parameters.find(name, slice.levels, fallback, self.function.span)

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
        message, found = f"`{self.function.name}` merges {what}{beside}", f"there are {count}"
        self.notes.error("MG168", message, slice.span, found, help=(_change(self.function.name, count, wanted),))


def _change(method: str, count: int, wanted: int | None) -> str:
    """Return what to do about a number of models that a method doesn't merge."""
    if wanted is None or count < wanted:
        return "add to the list: `- model: ./folder`"
    others = "; `multislerp` merges any number" if method in ("slerp", "nuslerp") else ""
    return f"leave out {count - wanted} of them{others}"


def _rest(first: s.Name, last: s.Name, span: Span) -> s.Select:
    cases = [s.Case(s.String(glob, span), first, span, optional=True) for glob in EMBEDDINGS]
    return s.Select((*cases, s.Case(None, last, span)), span)
