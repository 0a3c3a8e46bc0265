"""Nodes: operations applied to nodes, frozen and interned by content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakValueDictionary

from mergegraph.ir.types import TensorType, Type

Attribute: TypeAlias = "str | int | float | bool | tuple[Attribute, ...] | None"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Node:
    """Apply `op` to `inputs`. Equal expressions are one object, so `is` compares and sharing is automatic.

    At the level of models `type` is a `Type`, at the level of tensors a `TensorType`. Where a node came from is
    kept beside the graph, never in it: a place in the text must not make two equal expressions differ.
    """

    op: str
    inputs: tuple[Node, ...]
    attributes: tuple[tuple[str, Attribute], ...]
    type: Type | TensorType

    def attribute(self, name: str) -> Attribute:
        """Return the value of an attribute; KeyError if the operation has none of that name."""
        for key, value in self.attributes:
            if key == name:
                return value
        raise KeyError(name)

    @property
    def tensor(self) -> TensorType:
        """The type of a node at the level of tensors."""
        if not isinstance(self.type, TensorType):
            raise TypeError(f"{self.op} is a node of the Recipe, not of the Graph")
        return self.type


_INTERNED: WeakValueDictionary[tuple[object, ...], Node] = WeakValueDictionary()


def intern(
    op: str,
    inputs: Iterable[Node],
    attributes: Iterable[tuple[str, Attribute]],
    type: Type | TensorType,
) -> Node:
    """Return the one node of this content.

    Attributes are compared by spelling: 1, 1.0 and True are three values, as are 0.0 and -0.0.
    """
    nodes = tuple(inputs)
    pairs = tuple(sorted(attributes))
    key = (op, tuple(map(id, nodes)), repr(pairs), type)
    found = _INTERNED.get(key)
    if found is None:
        found = _INTERNED[key] = Node(op, nodes, pairs, type)
    return found


def postorder(roots: Iterable[Node]) -> Iterator[Node]:
    """Yield every node below `roots` once, inputs before users, in a fixed order, without recursion."""
    seen: set[Node] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                yield node
                continue
            if node in seen:
                continue
            seen.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.inputs) if child not in seen)


def rewrite(root: Node, rule: Callable[[Node], Node], memo: dict[Node, Node]) -> Node:
    """Return `root` rebuilt bottom-up, with `rule` applied to each node once its inputs are rewritten.

    `memo` may be kept between roots that share nodes.
    """
    for node in postorder([root]):
        if node not in memo:
            memo[node] = rule(with_inputs(node, tuple(memo[child] for child in node.inputs)))
    return memo[root]


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """Return the same operation on other inputs of the same types."""
    if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
        return node
    return intern(node.op, inputs, node.attributes, node.type)
