"""The Syntax: a recipe as it was written, every part with its span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mergegraph.diagnostics import Span

BinaryOperator = Literal["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True, slots=True)
class Name:
    """A use of a binding, a parameter or a function."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Number:
    """A number; `text` keeps the spelling, for the formatter and for paths such as `"out-{t}"`."""

    value: float
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class String:
    """A string in double quotes, with its escapes resolved."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Constant:
    """`true`, `false` or `none`."""

    value: bool | None
    span: Span


@dataclass(frozen=True, slots=True)
class List:
    """`[a, b, c]`."""

    items: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call; `name` is None for a positional one."""

    name: Name | None
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """`function(argument, name=argument)`. Functions are named, never computed."""

    function: Name
    arguments: tuple[Argument, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Negative:
    """`-x`."""

    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or a comparison of two values."""

    operator: BinaryOperator
    left: Expression
    right: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a `select`; `pattern` is None for `_`. An `optional` one, `"glob"?: value`, may match no tensor."""

    pattern: String | None
    value: Expression
    span: Span
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """`select { "glob": value, _: value }`."""

    cases: tuple[Case, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class LayerRange:
    """`model.layers[0..16]`, or `model.layers("stack")[0..16]` where a model has several stacks."""

    model: Expression
    stack: String | None
    start: Number
    stop: Number
    span: Span


Expression: TypeAlias = Name | Number | String | Constant | List | Call | Negative | Binary | Select | LayerRange


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a `fn`. `variadic` is written `*name`; parameters after it are named in calls."""

    name: Name
    default: Expression | None
    variadic: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Binding:
    """`name = value`."""

    name: Name
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Function:
    """`fn name(parameters) = body`; `comment` is the block of comment lines that stands right above it."""

    name: Name
    parameters: tuple[Parameter, ...]
    body: Expression
    comment: str
    span: Span


@dataclass(frozen=True, slots=True)
class Save:
    """`save value to "path" with option=value, …`."""

    value: Expression
    path: String
    options: tuple[Argument, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    """`for name in [values]: save …` — a sweep."""

    name: Name
    values: Expression
    body: Save
    span: Span


@dataclass(frozen=True, slots=True)
class Seed:
    """`seed 42`."""

    value: Number
    span: Span


@dataclass(frozen=True, slots=True)
class Import:
    """`import "other.merge"`."""

    path: String
    span: Span


Statement: TypeAlias = Binding | Function | Save | For | Seed | Import


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe, in the order it was written."""

    statements: tuple[Statement, ...]
    span: Span
