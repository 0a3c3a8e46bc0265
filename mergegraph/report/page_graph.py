"""Give the graphs of a compilation to the page: outputs, folded into layers, and what is computed for each tensor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, TypeAlias

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape
from mergegraph.ir.graph import Binding, Graph, OutputTensor, renumber, with_constants
from mergegraph.ir.node import Node, postorder
from mergegraph.optimize.pipeline import passes
from mergegraph.report.families import Family, Item, Pattern, families, fold
from mergegraph.report.fates import trace
from mergegraph.report.origins import origins
from mergegraph.report.page_expression import Context, expression_json, parameters_json

Folds: TypeAlias = Mapping[int, tuple[Item, ...]]
"""The tensors of each save, folded."""

Place: TypeAlias = tuple[int, str]
"""A save and the name of a tensor in it."""


def graphs_json(compilation: Compilation, numbers: Mapping[Node, int]) -> dict[str, Any]:
    """Return the graph and the optimized graph. `numbers` are those of the nodes of the Recipe."""
    graph, optimized = with_constants(compilation.graph), with_constants(compilation.optimized)
    before, after = _by_place(graph), _by_place(optimized)
    folds = [_folds(graph), _folds(optimized)]
    shown = dict.fromkeys(place for found in folds for place in _examples(found))
    binder = _Binder()
    roots = {place: binder.bound(before[place]) for place in shown}
    steps = [step for step in passes() if step.promise == "meaning" or compilation.exact]
    context = Context(trace(roots.values(), steps), _origins(compilation, roots, numbers), {}, optimized=False)
    return {
        "graph": _stage(folds[0], context, binder, after),
        "optimized": _stage(folds[1], replace(context, optimized=True), binder, after),
    }


@dataclass(slots=True)
class _Binder:
    """Numbers the leaves of expressions alike for all tensors, so that what they share is one object."""

    numbers: dict[Binding, int] = field(default_factory=dict)

    def bound(self, tensor: OutputTensor) -> Node:
        places = [self.numbers.setdefault(binding, len(self.numbers)) for binding in tensor.bindings]
        return renumber(tensor.root, dict(enumerate(places)))


def _by_place(graph: Graph) -> dict[Place, OutputTensor]:
    return {(tensor.save, tensor.name): tensor for tensor in graph.tensors}


def _folds(graph: Graph) -> Folds:
    ordered = sorted(graph.tensors, key=lambda tensor: tensor.save)
    return {save: fold(tensors) for save, tensors in groupby(ordered, lambda tensor: tensor.save)}


def _examples(folds: Folds) -> Iterator[Place]:
    """Yield one tensor of each family."""
    return ((save, family.tensors[0].name) for save, items in folds.items() for family in families(items))


def _origins(compilation: Compilation, roots: Mapping[Place, Node], numbers: Mapping[Node, int]) -> dict[Node, int]:
    found: dict[Node, int] = {}
    for (save, _), root in roots.items():
        for node, value in origins(compilation.recipe.saves[save].value, root).items():
            found.setdefault(node, numbers[value])
    return found


def _stage(folds: Folds, context: Context, binder: _Binder, after: Mapping[Place, OutputTensor]) -> dict[str, Any]:
    outputs: Counter[Node] = Counter()
    for items in folds.values():
        outputs.update(set(postorder(binder.bound(family.tensors[0]) for family in families(items))))
    writer = _Writer(replace(context, outputs=outputs), binder, after)
    found = [{"save": save, "items": list(map(writer.item, items))} for save, items in folds.items()]
    return {"outputs": found, "expressions": list(map(json.loads, writer.expressions))}


class _Writer:
    """Writes items as plain data; equal expressions are written once."""

    def __init__(self, context: Context, binder: _Binder, after: Mapping[Place, OutputTensor]) -> None:
        self.context = context
        self.binder = binder
        self.after = after
        self.expressions: dict[str, int] = {}

    def item(self, item: Item) -> dict[str, Any]:
        if isinstance(item, Family):
            return self._family(item)
        return {"prefix": escape(item.prefix), "indices": item.indices, "items": list(map(self.item, item.items))}

    def _family(self, family: Family) -> dict[str, Any]:
        example = family.tensors[0]
        kept = self.after[example.save, example.name]
        nodes = expression_json(family, self.binder.bound(example), kept, self.context)
        number = self.expressions.setdefault(json.dumps(nodes), len(self.expressions))
        return {
            "name": escape(family.name),
            "expression": number,
            "type": str(example.root.type),
            "bytes": example.root.tensor.nbytes,
            "reads": [read and [read[0], *_pattern(read[1])] for read in family.reads],
            "parameters": parameters_json(family),
        }


def _pattern(pattern: Pattern) -> tuple[list[str], tuple[tuple[int, int], ...]]:
    return [escape(text) for text in pattern.texts], pattern.numbers
