"""Apply operations to resolved values: lists broadcast, numbers become nodes, types are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mergegraph.diagnostics import Label, Span, did_you_mean, escape
from mergegraph.ir.node import Attribute, Node, intern
from mergegraph.ir.types import Type
from mergegraph.ops import OPS, Op, Parameter
from mergegraph.ops.declaration import ACCEPTS
from mergegraph.ops.typing import OperandError
from mergegraph.recipe.arguments import Given, Slot
from mergegraph.recipe.recipe import number
from mergegraph.recipe.scope import Findings
from mergegraph.recipe.values import FAILED, Value, Weighted, failed, is_numeral, kind, with_article

DEEPEST = 200
"""How many operations may stand on top of each other; what walks a recipe recursively relies on it."""


class Rejected(Exception):
    """Leave an application whose error has been reported."""


def slots(op: Op[Any]) -> list[Slot]:
    """Return the parameters of an operation as a caller sees them."""
    visible = [p for p in op.parameters if p.kind != "Key"]
    return [Slot(p.name, p.required, p.many and p is visible[0], not p.is_input) for p in visible]


class Applier:
    """Builds the nodes of a recipe and remembers where each was written."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._depth: dict[Node, int] = {}

    def apply(self, op: Op[Any], given: Mapping[str, Given], span: Span) -> Value:
        """Return the application of `op`; FAILED, with the error reported, if the values do not fit."""
        if any(failed(g.value) for g in given.values()):
            return FAILED
        try:
            lists = self._broadcast(op, given, span)
            if lists is None:
                return self._single(op, given, span)
            return tuple(self._single(op, each, span) for each in lists)
        except Rejected:
            return FAILED

    def operator(self, name: str, values: list[tuple[Value, Span]], span: Span) -> Value:
        """Return an operator of the language applied to its operands."""
        op = OPS[name]
        return self.apply(op, {p.name: Given(v, s) for p, (v, s) in zip(op.parameters, values, strict=True)}, span)

    def point(self, value: Value, span: Span) -> Value:
        """Return a weighted sum of models as the node it stands for; any other value as it is."""
        if isinstance(value, tuple):
            return tuple(self.point(v, span) for v in value)
        if not isinstance(value, Weighted):
            return value
        models, weights = [m for m, _ in value.terms], [w for _, w in value.terms]
        if abs(value.total - 1.0) < 1e-9:
            return self._build(OPS["mean"], [*models, *map(number, weights)], [("normalize", False)], span)
        self.findings.error(
            "MG224",
            "a weighted sum of models must have weights that sum to 1",
            span,
            f"they sum to {value.total:.6g}",
            help=(
                "for a weighted average write `mean(a, b, weight=[…])`",
                "to add what a model learned write `a + 0.5 * (b - base)`",
            ),
        )
        raise Rejected

    def _broadcast(self, op: Op[Any], given: Mapping[str, Given], span: Span) -> list[dict[str, Given]] | None:
        """Return one set of arguments per element of the lists that stand where one value is expected."""
        single = [p.name for p in op.parameters if p.is_input and not p.many]
        lists = {n: g for n, g in given.items() if n in single and isinstance(g.value, tuple)}
        if not lists:
            return None
        lengths = {n: len(g.value) for n, g in lists.items() if isinstance(g.value, tuple)}
        first = next(iter(lengths))
        for name, length in lengths.items():
            if length != lengths[first]:
                self._lengths(lists[name], length, lists[first], lengths[first])
        return [
            {n: Given(g.value[i], g.span) if n in lists and isinstance(g.value, tuple) else g for n, g in given.items()}
            for i in range(lengths[first])
        ]

    def _single(self, op: Op[Any], given: Mapping[str, Given], span: Span) -> Value:
        folded = _folded(op, given)
        if folded is not None:
            return folded
        inputs: list[Node] = []
        attributes: list[tuple[str, Attribute]] = []
        count, group = 0, None
        for parameter in op.parameters:
            if parameter.kind == "Key":
                continue
            argument = given.get(parameter.name)
            if not parameter.is_input:
                attributes.append((parameter.name, self._attribute(op, parameter, argument)))
            elif parameter.many:
                nodes = self._group(op, parameter, argument, count, group, span)
                count, group = (count, group) if group else (len(nodes), argument)
                inputs.extend(nodes)
            else:
                inputs.append(self._input(op, parameter, argument, span))
        return self._build(op, inputs, attributes, span)

    def _build(self, op: Op[Any], inputs: list[Node], attributes: list[tuple[str, Attribute]], span: Span) -> Node:
        try:
            node = op.apply(inputs, attributes)
        except OperandError as error:
            self.findings.error("MG221", error.message, span, help=error.help)
            raise Rejected from None
        caution = _caution(op, node)
        if caution:
            self.findings.warn("MG262", caution, span)
        return self.placed(node, span)

    def placed(self, node: Node, span: Span) -> Node:
        """Remember where a node was first written, and that it does not lie too deep."""
        self.findings.spans.setdefault(node, span)
        depth = 1 + max((self._depth.get(child, 0) for child in node.inputs), default=0)
        self._depth[node] = depth
        if depth > DEEPEST:
            self.findings.error(
                "MG270",
                f"more than {DEEPEST} operations stand on top of each other",
                span,
                help=("save an intermediate model and go on from it in another recipe",),
            )
            raise Rejected
        return node

    def _group(
        self, op: Op[Any], parameter: Parameter, argument: Given | None, count: int, group: Given | None, span: Span
    ) -> list[Node]:
        value = argument.value if argument else parameter.default
        place = argument.span if argument else span
        if isinstance(value, tuple) and argument and group and len(value) != count:
            self._lengths(argument, len(value), group, count)
        if not isinstance(value, tuple):
            value = (value,) * count if group else (value,)
        elif argument is None and group:
            value = value * count
        if not value:
            help = (f"write `{op.name}(a, b, …)`",)
            self.findings.error("MG214", f"`{op.name}` needs at least one model", place, "nothing is given", help=help)
            raise Rejected
        return [self._input(op, parameter, Given(v, place), span) for v in value]

    def _input(self, op: Op[Any], parameter: Parameter, argument: Given | None, span: Span) -> Node:
        value: Value = argument.value if argument else parameter.default
        place = argument.span if argument else span
        value = self.point(value, place)
        if isinstance(value, (bool, float, int)):
            self._in_range(parameter, float(value), place)
            value = number(float(value))
        if isinstance(value, Node) and value.type in ACCEPTS[parameter.kind]:
            return value
        self.findings.error(
            "MG220",
            f"`{parameter.name}` of `{op.name}` must be {_wanted(parameter)}",
            place,
            f"this is {with_article(kind(value))}",
            help=self._advice(parameter, value),
        )
        raise Rejected

    def _advice(self, parameter: Parameter, value: Value) -> tuple[str, ...]:
        if isinstance(value, str) and value in self.findings.names.values():
            return (f"`{escape(value)}` is a name here: write it without quotes",)
        if isinstance(value, str) and is_numeral(value):
            return (f"a number has no quotes: `{escape(value)}`",)
        if parameter.kind in ("Model", "Point", "Tensor") and isinstance(value, str):
            return (f'a path alone is a string; write `model("{escape(value)}")`',)
        if parameter.kind == "Delta" and kind(value) == "Model":
            return ("subtract a base to get a delta: `a - base`",)
        if parameter.kind == "Model" and kind(value) == "Delta":
            return ("add the delta to a model: `base + delta`",)
        return (f"`{parameter.name}` takes {_wanted(parameter)}",)

    def _in_range(self, parameter: Parameter, value: float, span: Span) -> None:
        if not math.isfinite(value):
            message, help = f"`{parameter.name}` must be a finite number", ("nothing above 1.8e308 or divided by 0 is",)
            self.findings.error("MG226", message, span, f"this is {value}", help=help)
            raise Rejected
        if parameter.kind != "Fraction" or 0.0 <= value <= 1.0:
            return
        self.findings.error(
            "MG223",
            f"`{parameter.name}` must lie between 0 and 1",
            span,
            f"this is {value:.6g}",
            help=("0.3 keeps three elements of ten",),
        )
        raise Rejected

    def _attribute(self, op: Op[Any], parameter: Parameter, argument: Given | None) -> Attribute:
        if argument is None:
            default: Attribute = parameter.default
            return default
        value = argument.value
        if value is None and "None" in parameter.annotation.split(" | "):
            return None
        if isinstance(value, float) and "bool" in parameter.annotation and value in (0.0, 1.0):
            return bool(value)
        if isinstance(value, bool) and "bool" in parameter.annotation:
            return value
        if isinstance(value, str) and (value in parameter.choices or "str" in parameter.annotation.split(" | ")):
            return value
        if isinstance(value, float) and "int" in parameter.annotation.split(" | ") and value.is_integer():
            return int(value)
        if isinstance(value, float) and "float" in parameter.annotation.split(" | "):
            return value
        allowed = [f'"{choice}"' for choice in parameter.choices]
        allowed += ["true", "false"] if "bool" in parameter.annotation else []
        allowed += ["a whole number"] if "int" in parameter.annotation.split(" | ") else []
        meant = did_you_mean(value, parameter.choices) if isinstance(value, str) else ()
        self.findings.error(
            "MG225",
            f"`{parameter.name}` of `{op.name}` can't have this value",
            argument.span,
            help=(*meant, f"it is one of: {', '.join(allowed)}"),
        )
        raise Rejected

    def _lengths(self, one: Given, length: int, other: Given, expected: int) -> None:
        self.findings.error(
            "MG222",
            f"{length} values where {expected} are needed",
            one.span,
            f"{length} here",
            Label(other.span, f"{expected} here"),
            help=("give one value for all, or as many as there are models",),
        )
        raise Rejected


def _caution(op: Op[Any], node: Node) -> str | None:
    """Return what an operation has to say of the numbers it is given, None where it has nothing to say."""
    if op.caution is None:
        return None
    given = {n: [*map(_stated, v)] if isinstance(v, list) else _stated(v) for n, v in op.group(node.inputs).items()}
    return op.caution(**given, **dict(node.attributes))


def _stated(node: Node) -> float | None:
    value = node.attribute("value") if node.op == "number" else None
    return value if isinstance(value, float) else None


def _wanted(parameter: Parameter) -> str:
    """Return the types that a parameter takes in words: `a Model or Delta`, `a number`."""
    accepted = ACCEPTS[parameter.kind]
    names = [str(t) for t in (Type.MODEL, Type.DELTA, Type.MASK, Type.LAYERS) if t in accepted]
    names += ["number"] if Type.NUMBER in accepted else ["Stat"] if Type.STAT in accepted else []
    return with_article(" or ".join(names)) + (", or a list of them" if parameter.many else "")


def _folded(op: Op[Any], given: Mapping[str, Given]) -> Value:
    """Return arithmetic on plain numbers as a number; None where there is something else."""
    values = [g.value for g in given.values()]
    if op.scalar is None or not values or not all(isinstance(v, float) for v in values):
        return None
    return float(op.scalar(*values))


def weighted(value: Value, factor: float) -> Weighted | None:
    """Return a model, or a weighted sum of models, times a number; None for anything else."""
    if isinstance(value, Node) and value.type is Type.MODEL:
        return Weighted(((value, factor),))
    if isinstance(value, Weighted):
        return Weighted(tuple((m, w * factor) for m, w in value.terms))
    return None


def field_select(cases: list[Node], patterns: tuple[str, ...]) -> Node:
    """Return a `select` of these cases; OperandError if their types differ."""
    return OPS["select"].apply(cases, [("patterns", patterns)])


def ramp_field(values: tuple[float, ...], outside: float | None) -> Node:
    """Return a `ramp` through these values."""
    return intern("ramp", (), (("outside", outside), ("values", values)), Type.FIELD)
