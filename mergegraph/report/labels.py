"""Say what stands in the boxes of a picture and at its arrows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TypeAlias

from mergegraph.ir.node import Node
from mergegraph.ops import OPS
from mergegraph.report.recipe_text import SIGNS, expression
from mergegraph.report.spelling import spell

Inline: TypeAlias = Callable[[Node], "str | None"]
"""Gives the text of a node that is shown inside those that use it, None for one that is drawn."""

MOST_CASES = 5
MINUS: Mapping[str, str] = {"subtract": "−", "divide": "÷"}
SYMMETRIC = frozenset(("add", "multiply", "min", "max", "equal", "not_equal", "dot", "identical"))
OPERAND = frozenset(("x", "d"))
HIDDEN = frozenset(("patterns", "shape", "seed"))


def operation_lines(node: Node, inline: Inline) -> Iterator[str]:
    """Yield the title of an operation, then the arguments that are not drawn as arrows."""
    texts = [inline(child) for child in node.inputs]
    if node.op in ("layers", "ramp"):
        yield expression(node, dict.fromkeys(node.inputs, ""))
    elif node.op == "select":
        yield node.op
        yield from islice(_cases(node, texts), MOST_CASES)
    elif node.op == "cast":
        yield f"cast to {node.attribute('dtype')}"
    elif texts.count(None) < 2 and texts != [None] and [*OPS[node.op].group(node.inputs)] == ["x", "y"]:
        yield _formula(node.op, [text or "x" for text in texts])
    else:
        yield node.op
        yield from _settings(node, inline)


def _formula(op: str, operands: list[str]) -> str:
    return f" {SIGNS[op]} ".join(operands) if op in SIGNS else f"{op}({', '.join(operands)})"


def _cases(select: Node, texts: list[str | None]) -> Iterator[str]:
    return (f"{label}: {text}" for label, text in zip(_globs(select), texts, strict=True) if text is not None)


def _globs(select: Node) -> list[str]:
    patterns = select.attribute("patterns")
    assert isinstance(patterns, tuple)
    return [*map(str, patterns), "all others"]


def _settings(node: Node, inline: Inline) -> Iterator[str]:
    """Yield the inputs that are one number for all, and the attributes that are not as usual."""
    op = OPS[node.op]
    usual = {parameter.name: parameter.default for parameter in op.parameters if not parameter.required}
    for name, value in op.group(node.inputs).items():
        texts = {inline(child) for child in (value if isinstance(value, list) else [value])}
        if len(texts) == 1 and texts not in ({None}, {"1"} if name in usual else {None}):
            yield f"{name} {texts.pop()}"
    for name, setting in node.attributes:
        if name not in HIDDEN and setting != usual.get(name, ...):
            yield f"{name} {setting if isinstance(setting, str) else spell(setting)}"


def edge_labels(node: Node, inline: Inline) -> list[str]:
    """Return what is written at the arrow of each input: what it is for, where that is not plain."""
    if node.op == "select":
        return _globs(node)
    if node.op in MINUS:
        return ["", MINUS[node.op]]
    drawn = sum(inline(child) is None for child in node.inputs)
    if drawn < 2 or node.op in SYMMETRIC:
        return [""] * len(node.inputs)
    return [label for labels in _by_parameter(node, inline) for label in labels]


def _by_parameter(node: Node, inline: Inline) -> Iterator[list[str]]:
    """Yield the labels of the inputs, parameter by parameter; members of a group are told apart by their weights."""
    groups = OPS[node.op].group(node.inputs)
    weights = [inline(child) or "" for child in groups.get("weight", ())]
    for name, value in groups.items():
        if not isinstance(value, list):
            yield ["" if name in OPERAND else name]
        elif name == "weight":
            yield [name] * len(value)
        else:
            yield weights if len(set(weights)) > 1 else [""] * len(value)
