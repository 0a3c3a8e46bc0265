"""Expressions in Python: each is evaluated as the language would, and written in it when a recipe is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import TypeAlias, Union

from mergegraph.api.places import caller
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Span
from mergegraph.ir.node import Node
from mergegraph.recipe.evaluate import Evaluator
from mergegraph.recipe.prelude import prelude_functions
from mergegraph.recipe.recipe import text_attribute
from mergegraph.recipe.scope import Bound, Findings, Scope
from mergegraph.recipe.values import Value, kind
from mergegraph.syntax import nodes as s
from mergegraph.syntax.inline import inline

Operand: TypeAlias = Union["Expression", float, str, bool, Sequence["Operand"], None]
"""What a function of the language takes from Python: expressions, numbers, strings, lists of them."""

Refer: TypeAlias = "Callable[[Expression], s.Expression]"
"""Says how an expression is written inside another."""

Shape: TypeAlias = "Callable[[Refer, Span], s.Expression]"
"""Writes an expression in the language."""


class Expression:
    """A value of a recipe: a model, a delta, a mask, a number that depends on the layer, or a list of these.

    `+`, `-`, `*`, `/` and the comparisons `<`, `<=`, `>`, `>=` mean what they mean in a recipe; every function of the
    language is one of this package: `mergegraph.ties(a, b, base=base)`. Nothing is read before a recipe is run.
    MergeGraphError, with the place in Python, where values do not go together.
    """

    __slots__ = ("_parts", "_shape", "_span", "_value")

    def __init__(self, shape: Shape, parts: Sequence[Expression], span: Span) -> None:
        self._shape = shape
        self._parts = tuple(parts)
        self._span = span
        self._value = _evaluated(shape, self._parts, span)

    @property
    def layers(self) -> Layers:
        """The layers of a model, of which `[0:16]` takes a range."""
        return Layers(self, None)

    def __add__(self, other: Operand) -> Expression:
        return _binary("+", self, other)

    def __radd__(self, other: Operand) -> Expression:
        return _binary("+", other, self)

    def __sub__(self, other: Operand) -> Expression:
        return _binary("-", self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return _binary("-", other, self)

    def __mul__(self, other: Operand) -> Expression:
        return _binary("*", self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return _binary("*", other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return _binary("/", self, other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return _binary("/", other, self)

    def __lt__(self, other: Operand) -> Expression:
        return _binary("<", self, other)

    def __le__(self, other: Operand) -> Expression:
        return _binary("<=", self, other)

    def __gt__(self, other: Operand) -> Expression:
        return _binary(">", self, other)

    def __ge__(self, other: Operand) -> Expression:
        return _binary(">=", self, other)

    def __neg__(self) -> Expression:
        span = caller()
        return Expression(lambda refer, place: s.Negative(refer(self), place), [self], span)

    def __bool__(self) -> bool:
        raise TypeError("an expression of a recipe is neither true nor false: nothing is computed yet; see `where`")

    def __repr__(self) -> str:
        return f"<{kind(self._value)}: {inline(self._shape(_short, self._span))}>"


class Layers:
    """The layers of a model; `model.layers("prefix")` names the stack where there are several."""

    __slots__ = ("_model", "_stack")

    def __init__(self, model: Expression, stack: str | None) -> None:
        self._model = model
        self._stack = stack

    def __call__(self, stack: str) -> Layers:
        """Return the layers of the stack with this prefix."""
        return Layers(self._model, stack)

    def __getitem__(self, chosen: slice) -> Expression:
        """Return a half-open range of layers, as in `model.layers[0:16]`, for `stack`."""
        if not isinstance(chosen, slice) or chosen.step is not None or not isinstance(chosen.stop, int):
            raise TypeError("layers are chosen by a range with an end: `model.layers[0:16]`")
        model, stack, start, stop = self._model, self._stack, chosen.start or 0, chosen.stop

        def shape(refer: Refer, place: Span) -> s.Expression:
            prefix = None if stack is None else s.String(stack, place)
            return s.LayerRange(refer(model), prefix, _number(start, place), _number(stop, place), place)

        return Expression(shape, [model], caller())


def call(name: str, arguments: Sequence[Operand], named: Mapping[str, Operand]) -> Expression:
    """Return the call of a function of the language. A name that Python reserves ends in `_`: `lambda_=0.5`."""
    span = caller()

    def shape(refer: Refer, place: Span) -> s.Expression:
        given = [s.Argument(None, literal(value, refer, place), place) for value in arguments]
        given += [
            s.Argument(s.Name(key.removesuffix("_"), place), literal(value, refer, place), place)
            for key, value in named.items()
        ]
        return s.Call(s.Name(name, place), tuple(given), place)

    return Expression(shape, _expressions([*arguments, *named.values()]), span)


def select(cases: Mapping[str, Operand], *, optional: Sequence[str] = ()) -> Expression:
    """Choose by the name of the tensor: the value of the first glob that matches, `"_"` for all others.

    The globs in `optional` may match no tensor; any other must match one.
    """
    span = caller()
    globs = [*(glob for glob in cases if glob != "_"), *(["_"] if "_" in cases else [])]

    def shape(refer: Refer, place: Span) -> s.Expression:
        written = [
            s.Case(
                None if glob == "_" else s.String(glob, place),
                literal(cases[glob], refer, place),
                place,
                glob in optional,
            )
            for glob in globs
        ]
        return s.Select(tuple(written), place)

    return Expression(shape, _expressions(list(cases.values())), span)


def literal(value: Operand, refer: Refer, place: Span) -> s.Expression:
    """Return how a value of Python is written in the language. MergeGraphError (MG291) if it can't be."""
    match value:
        case Expression():
            return refer(value)
        case None | bool():
            return s.Constant(value, place)
        case Real() if math.isfinite(float(value)):
            number = _number(abs(float(value)), place)
            return s.Negative(number, place) if math.copysign(1.0, float(value)) < 0 else number
        case str():
            return s.String(value, place)
        case list() | tuple():
            return s.List(tuple(literal(item, refer, place) for item in value), place)
    message = f"a recipe can't hold this {type(value).__name__}: {value!r:.60}"
    help = ("give an expression, a finite number, a string, or a list of these",)
    if isinstance(value, Mapping):
        help = ("for a choice by the names of tensors write `mergegraph.select({…})`",)
    raise MergeGraphError(Diagnostic("MG291", message, (Label(place),), help))


def is_model(expression: Expression) -> bool:
    """Tell whether an expression is a checkpoint itself."""
    return isinstance(expression._value, Node) and expression._value.op == "model"


def _short(child: Expression) -> s.Expression:
    """Return a word for what an expression is made of: the source of a model, the type of anything else."""
    if is_model(child):
        assert isinstance(child._value, Node)
        return s.Name(text_attribute(child._value, "source"), child._span)
    return s.Name(kind(child._value), child._span)


def _binary(operator: s.BinaryOperator, left: Operand, right: Operand) -> Expression:
    span = caller()

    def shape(refer: Refer, place: Span) -> s.Expression:
        return s.Binary(operator, literal(left, refer, place), literal(right, refer, place), place)

    return Expression(shape, _expressions([left, right]), span)


def _number(value: float, place: Span) -> s.Number:
    return s.Number(float(value), repr(float(value)).removesuffix(".0"), place)


def _expressions(values: Sequence[Operand]) -> list[Expression]:
    return [*_found(values)]


def _found(values: Sequence[Operand]) -> Iterator[Expression]:
    for value in values:
        if isinstance(value, Expression):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _found(value)


def _evaluated(shape: Shape, parts: Sequence[Expression], span: Span) -> Value:
    """Return the value of an expression. MergeGraphError with what is wrong in it."""
    findings, scope = Findings(), Scope()
    names: dict[Expression, s.Name] = {}
    for part in parts:
        if part not in names:
            names[part] = s.Name(f"%{len(names)}", span)
            scope.values[names[part].name] = Bound(part._value, span)
    evaluator = Evaluator(findings, prelude_functions(), lambda _: False)
    value = evaluator.evaluate(shape(lambda part: names[part], span), scope)
    errors = [found for found in findings.diagnostics if found.severity == "error"]
    if errors:
        raise MergeGraphError(*errors)
    return value
