"""Give the expression of a family of tensors to the page: its operations, and the numbers that it is computed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mergegraph.diagnostics import escape
from mergegraph.ir.graph import InputRef, OutputTensor, const_value, is_leaf, leaf_index
from mergegraph.ir.node import Node, intern, postorder
from mergegraph.ops import OPS
from mergegraph.report.families import Family, operands
from mergegraph.report.fates import Fates
from mergegraph.report.labels import edge_labels, operation_lines
from mergegraph.report.picture import node_kind
from mergegraph.report.spelling import spell_number

LEAVES = {"key": ("random bits", "by seed and name"), "table": ("rows of tokens", "by what tokens mean")}
"""What is said of the leaves that are no tensors of a model."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the operations of a stage: all over leaves that are numbered alike for all tensors.

    `origins` are numbers of nodes of the Recipe, `outputs` counts the outputs that an operation is needed for.
    """

    fates: Fates
    origins: Mapping[Node, int]
    outputs: Mapping[Node, int]
    optimized: bool


def expression_json(family: Family, bound: Node, kept: OutputTensor, context: Context) -> list[dict[str, Any]]:
    """Return the operations of a family, inputs first. `kept` is the same tensor after the passes."""
    root = family.tensors[0].root
    shown = _shown(family)
    numbers = {node: i for i, node in enumerate(n for n in postorder([root]) if const_value(n) is None)}
    pairs = zip(postorder([root]), postorder([bound]), strict=True)
    return [
        _leaf(node, family, kept) if is_leaf(node) else _operation(shown[node], node, twin, numbers, context)
        for node, twin in pairs
        if const_value(node) is None
    ]


def parameters_json(family: Family) -> list[dict[str, Any]]:
    """Return the numbers in a family's expression: what each is for, and its values in runs of equal ones."""
    places = operands(family.tensors[0].root)
    return [
        {"node": _number(family, node), "label": parameter_label(node, i), "values": _runs(values)}
        for (node, i, _), values in zip(places, _values(family), strict=True)
    ]


def parameter_label(node: Node, index: int) -> str:
    """Return what an input of an operation is for: its parameter, with a number where that takes many."""
    for name, places in OPS[node.op].group(range(len(node.inputs))).items():
        if isinstance(places, list) and index in places:
            return f"{name} {places.index(index) + 1}"
        if places == index:
            return name
    raise IndexError(index)


def _values(family: Family) -> list[list[float]]:
    """Return the values of each constant for all tensors of a family."""
    known: dict[Node, list[float]] = {}
    for tensor in family.tensors:
        if tensor.root not in known:
            known[tensor.root] = [value for *_, c in operands(tensor.root) if (value := const_value(c)) is not None]
    return [list(column) for column in zip(*(known[tensor.root] for tensor in family.tensors), strict=True)]


def _runs(values: Sequence[float]) -> list[tuple[str, int]]:
    return [(text, len(list(run))) for text, run in groupby(map(spell_number, values))]


def _number(family: Family, node: Node) -> int:
    return [n for n in postorder([family.tensors[0].root]) if const_value(n) is None].index(node)


def _shown(family: Family) -> Mapping[Node, Node]:
    """Return the operations with texts in place of the constants, which differ from tensor to tensor."""
    root = family.tensors[0].root
    inputs = {node: list(node.inputs) for node in postorder([root])}
    for (node, i, constant), values in zip(operands(root), _values(family), strict=True):
        ends = dict.fromkeys((spell_number(values[0]), spell_number(values[-1]) if len(set(values)) > 1 else ""))
        text = " … ".join(filter(None, ends))
        inputs[node][i] = intern("const", (), (("value", text),), constant.type)
    return {node: intern(node.op, found, node.attributes, node.type) for node, found in inputs.items()}


def _inline(node: Node) -> str | None:
    return str(node.attribute("value")) if node.op == "const" else None


def _leaf(node: Node, family: Family, kept: OutputTensor) -> dict[str, Any]:
    binding = family.tensors[0].bindings[leaf_index(node)]
    return {
        "leaf": leaf_index(node),
        "lines": LEAVES.get(node.op, (node.op,)),
        "kind": "checkpoint" if isinstance(binding, InputRef) else "key",
        **_type(node),
        "inputs": [],
        **({} if binding in kept.bindings else {"fate": {"kind": "unread", "step": "prune"}}),
    }


def _operation(shown: Node, node: Node, bound: Node, numbers: Mapping[Node, int], context: Context) -> dict[str, Any]:
    inputs = [
        (numbers[child], escape(label))
        for child, label in zip(node.inputs, edge_labels(shown, _inline), strict=True)
        if child in numbers
    ]
    return {
        "op": node.op,
        "lines": [escape(line) for line in operation_lines(shown, _inline)],
        "kind": node_kind(node),
        **_type(node),
        "inputs": inputs,
        **dict(_facts(bound, context)),
    }


def _type(node: Node) -> dict[str, Any]:
    return {"type": str(node.type), "bytes": node.tensor.nbytes}


def _facts(bound: Node, context: Context) -> Iterator[tuple[str, Any]]:
    source = context.fates.owners.get(bound) if context.optimized else bound
    if source is not None and source in context.origins:
        yield "origin", context.origins[source]
    if context.outputs[bound] > 1:
        yield "outputs", context.outputs[bound]
    if not context.optimized:
        fate = context.fates.fates[bound]
        yield "fate", {"kind": fate.kind, "step": fate.step, "into": [n.op for n in fate.into]}
    elif source is not None and context.fates.fates[source].kind != "kept":
        yield "from", source.op
