"""Print a Graph as text. The language is `grammar/graph.lark`; `text.parse_graph` reads it back."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from mergegraph.ir.graph import (
    Binding,
    Graph,
    Key,
    Number,
    OutputTensor,
    RowsRef,
    Table,
    Total,
    const,
    const_value,
    input_leaf,
    is_leaf,
    key_leaf,
    leaf_index,
    matrix_leaf,
    number_leaf,
    table_leaf,
)
from mergegraph.ir.node import Attribute, Node, postorder

_WORD = re.compile(r"(?!(?:inf|nan)\Z)[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def print_graph(graph: Graph, *, limit: int | None = None) -> str:
    """Return the text of a graph, template by template.

    With a `limit`, at most so many tensors of each template are listed. Such a text is for people: it can't be parsed.
    """
    names = reference_names(graph.models)
    places = _places(graph) if limit is None else {}
    lines = [_heading("models", graph.models), _heading("saves", graph.saves)]
    for root, tensors in graph.templates().items():
        shown = tensors[:limit]
        lines += ["", f"template of {counted(len(tensors))}", *expression_lines(root)]
        lines += [f"  {places.get(id(tensor), '')}{_tensor_text(tensor, names)}" for tensor in shown]
        lines += [f"  … and {len(tensors) - len(shown)} more"] if len(shown) < len(tensors) else []
    return "\n".join(lines) + "\n"


def expression_lines(root: Node, leaf: Callable[[Node], str] | None = None) -> Iterator[str]:
    """Yield an expression as text, one operation a line; `leaf` says what leaves are bound to, instead of a number.

    Numbers of a layer are then written where they are used, as constants are.
    """
    numbers: dict[Node, str] = {}
    count = 0
    for node in postorder([root]):
        if leaf and node.op == "number":
            numbers[node] = leaf(node)
        elif not _inline(node):
            call = leaf(node) if leaf and is_leaf(node) else _call(node, numbers)
            numbers[node] = f"%{count}"
            count += 1
            yield f"  {numbers[node]} = {call} : {node.type}"
    yield f"  return {_operand(root, numbers)}"


def reference_names(labels: Sequence[str]) -> list[str]:
    """Return how each label is written before a tensor's name; one that several models have, by the model's number."""
    counts = Counter(labels)
    return [_word(label) if counts[label] == 1 else str(i) for i, label in enumerate(labels)]


def binding_text(binding: Binding, names: Sequence[str], name: str | None = None) -> str:
    """Return `model/tensor`, `model` alone for a tensor `name`; a key in hexadecimal digits; the name of a table."""
    if isinstance(binding, Key):
        return f"key:0x{binding.value:016x}"
    if isinstance(binding, Number):
        return f"number:{binding.value!r}"
    if isinstance(binding, Total):
        return f"total:{path_text(binding.name)}"
    if isinstance(binding, Table):
        return f"table:{binding.name}"
    rows = f" rows:{binding.table}.{binding.part}" if isinstance(binding, RowsRef) else ""
    return names[binding.model] + ("" if binding.name == name else f"/{path_text(binding.name)}") + rows


def bound_text(tensor: OutputTensor, leaf: Node, names: Sequence[str]) -> str:
    """Return what a leaf of a tensor's expression stands for, as people read it: numbers alone are without a mark."""
    binding = tensor.bindings[leaf_index(leaf)]
    return repr(binding.value) if isinstance(binding, Number) else binding_text(binding, names, tensor.name)


def path_text(name: str) -> str:
    """Return a tensor's name, as a JSON string if it has unusual characters."""
    return name if _PATH.fullmatch(name) else json.dumps(name)


def _heading(title: str, labels: Sequence[str]) -> str:
    return f"{title}: {', '.join(map(_word, labels))}".rstrip()


def _word(name: str) -> str:
    return name if _WORD.fullmatch(name) else json.dumps(name)


def counted(count: int) -> str:
    """Return `1 tensor` or `2 tensors`."""
    return f"{count} tensor{'s' if count != 1 else ''}"


def _places(graph: Graph) -> Mapping[int, str]:
    """Return the places of tensors by identity, if they are not written one template after the other."""
    printed = [tensor for tensors in graph.templates().values() for tensor in tensors]
    if all(one is other for one, other in zip(printed, graph.tensors, strict=True)):
        return {}
    return {id(tensor): f"@{place} " for place, tensor in enumerate(graph.tensors)}


def _tensor_text(tensor: OutputTensor, names: Sequence[str]) -> str:
    bindings = ", ".join(binding_text(binding, names, tensor.name) for binding in tensor.bindings)
    return f"{tensor.save}/{path_text(tensor.name)}" + (f" = {bindings}" if bindings else "")


def _inline(node: Node) -> bool:
    value = const_value(node)
    return value is not None and const(value) is node


def _call(node: Node, numbers: Mapping[Node, str]) -> str:
    if _plain_leaf(node):
        return f"{node.op}({leaf_index(node)})"
    settings = [f"{_word(name)}={_value(value)}" for name, value in node.attributes]
    return f"{_word(node.op)}({', '.join([*(_operand(child, numbers) for child in node.inputs), *settings])})"


def _operand(node: Node, numbers: Mapping[Node, str]) -> str:
    return numbers[node] if node in numbers else repr(const_value(node))


def _value(value: Attribute) -> str:
    match value:
        case None | bool():
            return {None: "none", True: "true", False: "false"}[value]
        case str():
            return json.dumps(value)
        case tuple():
            return f"({', '.join(map(_value, value))}{',' if len(value) == 1 else ''})"
        case _:
            return repr(value)


def _plain_leaf(node: Node) -> bool:
    if not is_leaf(node):
        return False
    index = leaf_index(node)
    given = (key_leaf(index), number_leaf(index), table_leaf(index))
    return node in (input_leaf(index, node.tensor), matrix_leaf(index, node.tensor), *given)
