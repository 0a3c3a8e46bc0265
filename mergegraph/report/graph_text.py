"""Print the Graph for people: what each template computes, and for how many tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mergegraph.diagnostics import escape, listed
from mergegraph.ir.graph import Binding, Graph, Key, Number, OutputTensor, RowsRef, Table, Total
from mergegraph.ir.node import Node, postorder
from mergegraph.ir.print import bound_text, expression_lines, print_graph, reference_names
from mergegraph.report.select import select_tensors
from mergegraph.report.spelling import counted, plain

MOST_TEMPLATES = 8
MOST_TENSORS = 3


def graph_text(graph: Graph, tensor: str | None = None) -> str:
    """Return a graph as text, each template with a few tensors; or what is computed for the tensors of a glob."""
    if tensor is not None:
        return _tensors_text(select_tensors(graph, tensor))
    templates = list(graph.templates().values())
    shown = [found for template in templates[:MOST_TEMPLATES] for found in template]
    text = f"{_summary(graph)}\n\n{print_graph(replace(graph, tensors=tuple(shown)), limit=MOST_TENSORS)}"
    hidden = len(templates) - MOST_TEMPLATES
    return text if hidden <= 0 else f"{text}\n… and {counted(hidden, 'more template')}: `--tensor GLOB` chooses\n"


def graph_json(graph: Graph, tensor: str | None = None) -> dict[str, Any]:
    """Return a graph as plain data: each template's nodes, and the bindings of each tensor it is for."""
    chosen = graph if tensor is None else select_tensors(graph, tensor)
    return {
        "models": list(graph.models),
        "saves": list(graph.saves),
        "templates": [_template_json(root, tensors) for root, tensors in chosen.templates().items()],
    }


def _summary(graph: Graph) -> str:
    return ", ".join(
        [
            f"{counted(len(graph.tensors), 'tensor')} of {counted(len(graph.saves), 'output')}",
            f"from {counted(len(graph.models), 'model')}",
            counted(len(graph.templates()), "template"),
            counted(len(graph.nodes()), "node"),
        ]
    )


def _tensors_text(graph: Graph) -> str:
    names = reference_names(graph.models)
    blocks = ["\n".join(_block(graph, tensors, names)) for tensors in graph.templates().values()]
    return "\n\n".join(blocks) + "\n"


def _block(graph: Graph, tensors: Sequence[OutputTensor], names: Sequence[str]) -> Iterator[str]:
    first, *others = tensors
    yield f"{escape(first.name)} of {escape(graph.saves[first.save])}: {first.root.type}"
    yield from expression_lines(first.root, lambda leaf: bound_text(first, leaf, names))
    if others:
        titles = (f"{tensor.name} of {graph.saves[tensor.save]}" for tensor in others)
        yield f"  the same for {listed(titles)}"


def _template_json(root: Node, tensors: Sequence[OutputTensor]) -> dict[str, Any]:
    numbers = {node: i for i, node in enumerate(postorder([root]))}
    return {
        "nodes": [_node_json(node, numbers) for node in numbers],
        "result": numbers[root],
        "tensors": [
            {"save": tensor.save, "name": tensor.name, "bindings": list(map(_binding_json, tensor.bindings))}
            for tensor in tensors
        ],
    }


def _node_json(node: Node, numbers: dict[Node, int]) -> dict[str, Any]:
    return {
        "op": node.op,
        "inputs": [numbers[child] for child in node.inputs],
        "attributes": {name: plain(value) for name, value in node.attributes},
        "dtype": node.tensor.dtype.name,
        "shape": list(node.tensor.shape),
    }


def _binding_json(binding: Binding) -> dict[str, Any]:
    if isinstance(binding, Key):
        return {"key": f"0x{binding.value:016x}"}
    if isinstance(binding, Number):
        return {"number": binding.value}
    if isinstance(binding, Total):
        return {"total": binding.name}
    if isinstance(binding, Table):
        return {"table": binding.name}
    rows = {"table": binding.table, "part": binding.part} if isinstance(binding, RowsRef) else {}
    return {"model": binding.model, "name": binding.name, **rows}
