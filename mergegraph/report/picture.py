"""Make the one picture that every format draws: of a Recipe, or of the expressions of chosen tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.ir.graph import (
    Binding,
    Graph,
    Key,
    Number,
    OutputTensor,
    Table,
    Total,
    const_value,
    is_leaf,
    leaf_index,
    renumber,
)
from mergegraph.ir.node import Node, postorder
from mergegraph.ops import OPS
from mergegraph.recipe.anchors import SOURCES
from mergegraph.recipe.recipe import Recipe, Save, text_attribute
from mergegraph.report.labels import Inline, edge_labels, operation_lines
from mergegraph.report.recipe_text import node_names
from mergegraph.report.select import select_tensors
from mergegraph.report.spelling import spell_number

MOST_NODES = 400
LONGEST_LINE = 44


@dataclass(frozen=True, slots=True)
class PictureNode:
    """A box: its first line is its title. `kind` decides its colours; `group` is `inputs`, `outputs` or empty."""

    id: str
    lines: tuple[str, ...]
    kind: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """An arrow from what is computed first to what uses it."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be drawn, inputs before users. All text is printable, and otherwise as hostile as names can be."""

    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]


def recipe_picture(recipe: Recipe, saves: Sequence[Save] | None = None) -> Picture:
    """Return the picture of a recipe, or of what some of its saves need."""
    chosen = recipe.saves if saves is None else tuple(saves)
    names = node_names(recipe)

    def inline(node: Node) -> str | None:
        return names[node] if _within(recipe, node) else None

    ids = recipe_ids(recipe, chosen)
    boxes = [_recipe_node(recipe, node, ids[node], inline) for node in ids]
    edges = [edge for node in ids for edge in _edges(node, ids, inline)]
    for i, save in enumerate(chosen):
        lines = (save.path, save.dtype) if save.dtype else (save.path,)
        boxes.append(_node(f"s{i}", lines, "save", "outputs"))
        edges.append(PictureEdge(ids[save.value], f"s{i}"))
    return Picture(tuple(boxes), tuple(edges))


def recipe_ids(recipe: Recipe, saves: Sequence[Save]) -> dict[Node, str]:
    """Return the nodes that the picture of some saves has boxes for, and their ids; a save's is `s` and its index."""
    drawn = (node for node in postorder(save.value for save in saves) if not _within(recipe, node))
    return {node: f"n{i}" for i, node in enumerate(drawn)}


def _within(recipe: Recipe, node: Node) -> bool:
    """Tell whether a node is shown inside those that use it."""
    return node.op == "number" or (node.op == "ramp" and node not in recipe.names)


def tensor_picture(graph: Graph, glob: str) -> Picture:
    """Return the picture of the expressions of the output tensors whose names match; what they share is drawn once.

    MergeGraphError if there are none (MG380), or if they have more than `MOST_NODES` nodes (MG381).
    """
    return graph_picture(select_tensors(graph, glob))


def graph_picture(graph: Graph) -> Picture:
    """Return the picture of all expressions of a graph. MergeGraphError (MG381) if that has too many nodes."""
    numbers: dict[Binding, int] = {}
    roots = [_bound(tensor, numbers) for tensor in graph.tensors]
    bindings = list(numbers)
    ids = {node: f"n{i}" for i, node in enumerate(n for n in postorder(roots) if const_value(n) is None)}
    _refuse(len(ids) + len(roots))

    def inline(node: Node) -> str | None:
        value = const_value(node)
        return None if value is None else spell_number(value)

    boxes = [_tensor_node(graph, node, bindings, ids[node], inline) for node in ids]
    edges = [edge for node in ids for edge in _edges(node, ids, inline)]
    for i, (tensor, root) in enumerate(zip(graph.tensors, roots, strict=True)):
        boxes.append(_node(f"s{i}", (tensor.name, f"{graph.saves[tensor.save]}: {root.type}"), "save", "outputs"))
        edges += [PictureEdge(ids[root], f"s{i}")] if root in ids else []
    return Picture(tuple(boxes), tuple(edges))


def _bound(tensor: OutputTensor, numbers: dict[Binding, int]) -> Node:
    """Return the expression of a tensor over leaves that are numbered alike for all tensors."""
    places = {i: numbers.setdefault(binding, len(numbers)) for i, binding in enumerate(tensor.bindings)}
    return renumber(tensor.root, places)


def _refuse(count: int) -> None:
    if count > MOST_NODES:
        message = f"this picture would have {count:,} nodes, and at most {MOST_NODES} can be told apart"
        help = ("choose fewer tensors: `--tensor GLOB`", "or draw the recipe: its nodes are whole models")
        raise MergeGraphError(Diagnostic("MG381", message, help=help))


def _recipe_node(recipe: Recipe, node: Node, id: str, inline: Inline) -> PictureNode:
    name = [recipe.names[node]] if node in recipe.names else []
    if node.op in SOURCES:
        return _node(id, [*name, text_attribute(node, "source")], "checkpoint", "inputs")
    lines = [*name, *operation_lines(node, inline)]
    return _node(id, lines, str(node.type).lower())


def _tensor_node(graph: Graph, node: Node, bindings: Sequence[Binding], id: str, inline: Inline) -> PictureNode:
    if not is_leaf(node):
        return _node(id, operation_lines(node, inline), node_kind(node))
    binding = bindings[leaf_index(node)]
    if isinstance(binding, Key):
        return _node(id, ("random key", f"0x{binding.value:016x}"), "key", "inputs")
    if isinstance(binding, Number):
        return _node(id, ("number", f"{binding.value:g}"), "scalar", "inputs")
    if isinstance(binding, Table):
        return _node(id, ("rows of tokens", binding.name), "key", "inputs")
    assert not isinstance(binding, Total)
    return _node(id, (binding.name, f"{graph.models[binding.model]}: {node.type}"), "checkpoint", "inputs")


def node_kind(node: Node) -> str:
    """Return how much of its inputs an operation needs, `scalar` for arithmetic on numbers."""
    tensors = any(child.tensor.shape != () for child in node.inputs)
    return OPS[node.op].locality.value if tensors or node.tensor.shape != () else "scalar"


def _node(id: str, lines: Iterable[str], kind: str, group: str = "") -> PictureNode:
    return PictureNode(id, tuple(_short(escape(line)) for line in lines), kind, group)


def _short(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    kept = (LONGEST_LINE - 1) // 2
    return f"{line[:kept]}…{line[-kept:]}"


def _edges(node: Node, ids: dict[Node, str], inline: Inline) -> Iterator[PictureEdge]:
    for child, label in zip(node.inputs, edge_labels(node, inline), strict=True):
        if inline(child) is None:
            yield PictureEdge(ids[child], ids[node], _short(escape(label)))
