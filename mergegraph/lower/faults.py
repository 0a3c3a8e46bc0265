"""Faults of shapes, names and types, gathered over all tensors and reported once per cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, did_you_mean, listed
from mergegraph.dtypes import Dtype
from mergegraph.ir.graph import Binding
from mergegraph.ir.node import Node
from mergegraph.recipe.recipe import Recipe, Save


class Faults:
    """Gathers what is wrong while the tensors of a recipe are lowered."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._found: list[Diagnostic] = []
        self._missing: dict[tuple[Node, Save], list[str]] = defaultdict(list)
        self._left_out: dict[tuple[Node, Save], list[str]] = defaultdict(list)
        self._kept: dict[tuple[Save, Dtype], list[str]] = defaultdict(list)
        self._shapes: dict[Node, list[str]] = defaultdict(list)
        self._outside: dict[Node, list[str]] = defaultdict(list)
        self._arithmetic: dict[Node, list[str]] = defaultdict(list)
        self._problems: dict[tuple[Node, str], str] = {}

    def missing(self, model: Node, name: str, save: Save) -> None:
        """Record that a model lacks a tensor that others have."""
        self._missing[model, save].append(name)

    def left_out(self, model: Node, name: str, save: Save) -> None:
        """Record that a tensor is left out, since the model named by `missing` lacks it too."""
        self._left_out[model, save].append(name)

    def kept(self, name: str, dtype: Dtype, save: Save) -> None:
        """Record that a tensor keeps its dtype, since no other can be made of it."""
        self._kept[save, dtype].append(name)

    def shapes(self, node: Node, name: str, inputs: Sequence[Node], bindings: Mapping[Binding, int]) -> None:
        """Record that the inputs of an operation have different shapes."""
        shapes = " and ".join(sorted({str(list(n.tensor.shape)) for n in inputs}))
        self._shapes[node].append(f"{name}: {shapes}")

    def outside(self, ramp: Node, name: str) -> None:
        """Record that a ramp has no value for a tensor."""
        self._outside[ramp].append(name)

    def arithmetic(self, node: Node, name: str, inputs: Sequence[Node]) -> None:
        """Record that a tensor has a type that no arithmetic is defined on."""
        kinds = " and ".join(sorted({str(n.tensor.dtype) for n in inputs}))
        self._arithmetic[node].append(f"{name}: {kinds}")

    def problem(self, node: Node, name: str, message: str) -> None:
        """Record that the parameters of an operation make no sense for a tensor."""
        self._problems.setdefault((node, message), name)

    def glob(self, select: Node, glob: str, names: Iterable[str]) -> None:
        """Record that a glob matches no tensor."""
        help = (*did_you_mean(glob, names), "`*` stands for any characters, dots too")
        self._found.append(self._at(select, "MG321", f'no tensor is named like "{glob}"', help))

    def check(self) -> None:
        """Raise MergeGraphError if anything was recorded that is an error."""
        found = [*self._found, *self._all()]
        if found:
            raise MergeGraphError(*sorted(found, key=lambda d: d.labels[0].span.start))

    def warnings(self) -> Iterator[Diagnostic]:
        """Yield what was recorded that is no error."""
        for (model, save), names in self._left_out.items():
            verb = "are" if len(names) > 1 else "is"
            message = f"{_count(names)} {verb} left out: `{self.recipe.name(model)}` lacks {listed(names)}"
            yield Diagnostic("MG305", message, (Label(save.span),), severity="warning")
        for (save, dtype), names in self._kept.items():
            verb = "stay" if len(names) > 1 else "stays"
            message = f"{_count(names)} {verb} {dtype}, which nothing can be computed from: {listed(names)}"
            yield Diagnostic("MG306", message, (Label(save.span),), severity="warning")

    def _all(self) -> Iterable[Diagnostic]:
        for (model, save), names in self._missing.items():
            yield self._lacking(model, save, names)
        for (node, message), name in self._problems.items():
            yield self._at(node, "MG323", message, (f"first for the tensor {listed([name])}",))
        for node, names in self._shapes.items():
            help = (
                'leave these tensors out: `select { "glob": base, _: … }`',
                "if the vocabularies differ, the models need one tokenizer first",
            )
            message = f"the shapes of {_count(names)} differ: {listed(names)}"
            yield self._at(node, "MG301", message, help)
        for node, names in self._arithmetic.items():
            help = ("convert the model to float16, bfloat16 or float32 first", "or copy these tensors with `select`")
            yield self._at(node, "MG303", f"no arithmetic is defined on {_count(names)}: {listed(names)}", help)
        for ramp, names in self._outside.items():
            help = ("give them a value: `ramp(…, outside=0.5)`", "or a case of their own in a `select`")
            yield self._at(
                ramp, "MG322", f"`ramp` has no value for {_count(names)} outside layers: {listed(names)}", help
            )

    def _lacking(self, model: Node, save: Save, names: Sequence[str]) -> Diagnostic:
        message = f"`{self.recipe.name(model)}` lacks {_count(names)} that other inputs have: {listed(names)}"
        labels = (Label(self.recipe.spans[model], "this model"), Label(save.span, "is needed here"))
        return Diagnostic("MG302", message, labels, ('take them from one model: `save … with missing="base"`',))

    def _at(self, node: Node, code: str, message: str, help: tuple[str, ...]) -> Diagnostic:
        return Diagnostic(code, message, (Label(self.recipe.spans[node]),), help)


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} tensors" if len(names) > 1 else "a tensor"
