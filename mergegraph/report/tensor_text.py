"""Show how a recipe makes one tensor: each line of the recipe that has a part in it, parameters resolved."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from mergegraph.checkpoint.checkpoint import Tensor
from mergegraph.checkpoint.layers import split_layer
from mergegraph.checkpoint.tied import tied_partner
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Span, escape
from mergegraph.ir.graph import OutputTensor
from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.lower.fields import field_value
from mergegraph.lower.names import Namer
from mergegraph.recipe.recipe import Save
from mergegraph.report.recipe_text import expression, node_names
from mergegraph.report.spelling import spell_number
from mergegraph.syntax.strings import quote


@dataclass(frozen=True, slots=True)
class Step:
    """An operation on the way to a tensor: where it is written, its text, and the numbers that were resolved for it."""

    span: Span
    text: str
    resolved: tuple[str, ...]


def tensor_text(compilation: Compilation, names: set[str]) -> str:
    """Return how each output tensor of these names is made; those made alike but for their layer stay apart."""
    tensors = [tensor for tensor in compilation.optimized.tensors if tensor.name in names]
    return "\n\n".join("\n".join(_block(compilation, tensor)) for tensor in tensors) + "\n"


def tensor_json(compilation: Compilation, names: set[str]) -> dict[str, Any]:
    """Return how each output tensor of these names is made, as plain data; lines are counted from 1."""
    return {
        "tensors": [
            {
                "save": compilation.optimized.saves[tensor.save],
                "name": tensor.name,
                "dtype": tensor.root.tensor.dtype.name,
                "shape": list(tensor.root.tensor.shape),
                "steps": [_step_json(step) for step in steps(compilation, tensor)],
            }
            for tensor in compilation.optimized.tensors
            if tensor.name in names
        ]
    }


def steps(compilation: Compilation, tensor: OutputTensor) -> list[Step]:
    """Return what the recipe does to make a tensor, inputs first."""
    save = compilation.recipe.saves[tensor.save]
    parts = compilation.extracted[tensor.save].parts if tensor.save in compilation.extracted else ()
    name = next((part.name for part in parts if tensor.name in part.keys), tensor.name)
    walk = _Walk(compilation)
    try:
        walk.visit(save.value, name)
    except _Lacking:
        assert save.missing is not None
        walk = _Walk(compilation)
        walk.visit(save.missing, name)
    return walk.steps


class _Lacking(Exception):
    """Say that a model lacks the tensor, which `missing` gives then."""


@dataclass(slots=True)
class _Walk:
    compilation: Compilation
    steps: list[Step] = field(default_factory=list)
    labels: dict[tuple[Node, str], str] = field(default_factory=dict)
    namer: Namer = field(init=False)
    spelled: dict[Node, str] = field(init=False)

    def __post_init__(self) -> None:
        self.namer = Namer(self.compilation.recipe, self.compilation.checkpoints, self.compilation.adapters)
        self.spelled = node_names(self.compilation.recipe)

    def visit(self, node: Node, name: str) -> str:
        """Return what a value is called, its steps added if it has not been met before."""
        if node.op == "select":
            return self.visit(self.namer.case(node, name), name)
        if node.op == "stack":
            origin = self.namer.origin(node, name)
            if origin is None:
                raise _Lacking
            return self.visit(origin.value, origin.name)
        if (node, name) not in self.labels:
            self.labels[node, name] = self._leaf(node, name) if node.op == "model" else self._operation(node, name)
        return self.labels[node, name]

    def _leaf(self, model: Node, name: str) -> str:
        checkpoint = self.compilation.checkpoints[model]
        found = name if name in checkpoint.tensors else tied_partner(name, checkpoint.tensors, checkpoint.config)
        if found is None:
            raise _Lacking
        tensor = checkpoint.tensors[found]
        file = checkpoint.files[tensor.file].path.name
        label = self.spelled[model]
        self._add(model, f"{escape(label)}: {escape(found)}, {_type(tensor)}, in {escape(file)}")
        return label

    def _operation(self, node: Node, name: str) -> str:
        resolved: list[str] = []
        names = {child: self._argument(node, child, name, resolved) for child in dict.fromkeys(node.inputs)}
        given = self.compilation.recipe.names.get(node)
        label = given or f"%{1 + sum(made.startswith('%') for made in self.labels.values())}"
        self._add(node, f"{escape(label)} = {escape(expression(node, names))}", resolved)
        return label

    def _argument(self, node: Node, child: Node, name: str, resolved: list[str]) -> str:
        if child.type not in (Type.NUMBER, Type.FIELD):
            try:
                return self.visit(child, name)
            except _Lacking:
                if not any(d.type is Type.DELTA and self.namer.supplied(d, name) for d in node.inputs):
                    raise
                # The tensor is one that only an adapter has.
                return "0"
        value = spell_number(field_value(child, name, self.namer.names(node), self.namer))
        if child.op != "number":
            resolved.append(f"{value}: {self._origin(child, name)}")
        return value

    def _origin(self, number: Node, name: str) -> str:
        """Return where a resolved number comes from: the case of a `select`, the layer of a `ramp`."""
        if number.op != "select":
            return self._described(number, name)
        case = self.namer.case(number, name)
        patterns = number.attribute("patterns")
        assert isinstance(patterns, tuple)
        glob = next((str(p) for p, value in zip(patterns, number.inputs, strict=False) if value is case), None)
        chosen = "its case `_`" if glob is None or case is number.inputs[-1] else f"its case {quote(glob)}"
        label = self.compilation.recipe.names.get(number, "select")
        return f"{escape(label)}, {escape(chosen)}" + ("" if case.op == "number" else f": {self._origin(case, name)}")

    def _described(self, number: Node, name: str) -> str:
        text = escape(expression(number, self.spelled))
        layer = split_layer(name, {s.prefix for c in self.compilation.checkpoints.values() for s in c.stacks})
        return f"{text} at layer {layer.index}" if layer and number.op == "ramp" else text

    def _add(self, node: Node, text: str, resolved: list[str] | None = None) -> None:
        self.steps.append(Step(self.compilation.recipe.spans[node], text, tuple(resolved or ())))


def _block(compilation: Compilation, tensor: OutputTensor) -> Iterator[str]:
    save = compilation.recipe.saves[tensor.save]
    yield f"{escape(tensor.name)} of {escape(save.path)}: {tensor.root.type}"
    shown: tuple[str, int] | None = None
    for step in steps(compilation, tensor):
        shown = yield from _line(step.span, shown)
        yield f"      {step.text}"
        yield from (f"        {text}" for text in step.resolved)
    yield from _line(save.span, shown)
    yield f"      {_written(save, tensor)}"


def _line(span: Span, shown: tuple[str, int] | None) -> Generator[str, None, tuple[str, int]]:
    """Yield the line of the recipe that a step is written in, unless it was shown just before; return its place."""
    number, _ = span.source.place(span.start)
    place = span.source.name, number
    if place != shown:
        yield f"{escape(span.source.name)}:{number} │ {escape(span.source.line(number)).strip()}"
    return place


def _written(save: Save, tensor: OutputTensor) -> str:
    why = "as asked" if save.dtype == tensor.root.tensor.dtype.name else "as the inputs are"
    return f"written as {tensor.root.tensor.dtype}, {why}"


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "file": step.span.source.name,
        "line": step.span.source.place(step.span.start)[0],
        "text": step.text,
        "resolved": list(step.resolved),
    }


def _type(tensor: Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"
