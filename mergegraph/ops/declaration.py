"""Declare an operation: an annotated function is its signature, its documentation and its definition."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, TypeAlias

from mergegraph.dtypes import FLOAT32, FLOAT64
from mergegraph.ir.graph import const
from mergegraph.ir.node import Attribute, Node, intern
from mergegraph.ir.types import TensorType, Type

P = ParamSpec("P")


class Locality(Enum):
    """How much of its inputs one element of a result needs; a `SCAN` is pointwise, but must see the tiles in order."""

    POINTWISE = "pointwise"
    SCAN = "scan"
    ROWWISE = "rowwise"
    REDUCTION = "reduction"
    WHOLE = "whole"
    MODEL = "model"
    LAYOUT = "layout"


# The vocabulary of signatures. Each alias stands for nodes of the types in ACCEPTS.
Point: TypeAlias = Node
Points: TypeAlias = Sequence[Node]
Model: TypeAlias = Node
Models: TypeAlias = Sequence[Node]
Delta: TypeAlias = Node
Adapter: TypeAlias = Node
Deltas: TypeAlias = Sequence[Node]
Mask: TypeAlias = Node
Stat: TypeAlias = Node
Stats: TypeAlias = Sequence[Node]
Tensor: TypeAlias = Node | float
Tensors: TypeAlias = Sequence[Node | float]
Scalar: TypeAlias = Node | float
Scalars: TypeAlias = Sequence[Node | float]
Fraction: TypeAlias = Node | float
Layers: TypeAlias = Sequence[Node]
Field: TypeAlias = Node | float
Key: TypeAlias = Node
Table: TypeAlias = Node

_NUMERIC = frozenset({Type.NUMBER, Type.FIELD, Type.STAT})
ACCEPTS: Mapping[str, frozenset[Type]] = MappingProxyType(
    {
        "Point": frozenset({Type.MODEL, Type.DELTA}),
        "Model": frozenset({Type.MODEL}),
        "Delta": frozenset({Type.DELTA}),
        "Mask": frozenset({Type.MASK}),
        "Stat": frozenset({Type.STAT}),
        "Tensor": frozenset({Type.MODEL, Type.DELTA, Type.MASK}) | _NUMERIC,
        "Scalar": _NUMERIC,
        "Fraction": _NUMERIC,
        "Layer": frozenset({Type.LAYERS}),
        "Key": frozenset[Type](),
        "Table": frozenset[Type](),
    }
)
"""The types of values that a parameter of each kind takes; a Fraction must lie between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: `kind` is a word of `ACCEPTS`, or `attribute` for a setting of the operation itself.

    `many` takes one value per model. `choices` are the strings an attribute may be.
    """

    name: str
    kind: str
    many: bool
    required: bool
    default: Any
    choices: tuple[str, ...] = ()
    annotation: str = ""

    @property
    def is_input(self) -> bool:
        """Tell whether its value is a node that the operation is applied to."""
        return self.kind != "attribute"


@dataclass(frozen=True, eq=False)
class Op(Generic[P]):
    """An operation. Calling it builds a node; `expand` gives its definition in simpler operations, if it has one."""

    name: str
    parameters: tuple[Parameter, ...]
    locality: Locality
    doc: str
    returns: str
    paper: str
    primitive: bool
    definition: Callable[..., Node | float]
    typing: Callable[[Sequence[Node]], Type] | None
    shape: Callable[..., TensorType] | None
    internal: bool
    check: Callable[..., str | None] | None
    caution: Callable[..., str | None] | None
    scalar: Callable[..., Any] | None
    kernel: Callable[..., Any] | None
    workspace: Callable[[Node], int] | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Node:
        """Apply the operation; numbers become constants. TypeError if the arguments do not fit the signature."""
        bound = _signature(self.definition).bind(*args, **kwargs)
        bound.apply_defaults()
        inputs: list[Node] = []
        attributes: list[tuple[str, Attribute]] = []
        count = next((len(bound.arguments[p.name]) for p in self.parameters if p.many), 0)
        for parameter in self.parameters:
            value = bound.arguments[parameter.name]
            if not parameter.is_input:
                attributes.append((parameter.name, value))
            elif parameter.many:
                inputs.extend(as_node(item) for item in spread(value, count))
            else:
                inputs.append(as_node(value))
        return self.apply(inputs, attributes)

    def apply(self, inputs: Sequence[Node], attributes: Iterable[tuple[str, Attribute]]) -> Node:
        """Build the node of these inputs, in the order of the parameters."""
        pairs = tuple(attributes)
        return intern(self.name, inputs, pairs, self._type(inputs, pairs))

    def group(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Return the inputs of a node, or what stands for them, by parameter: one, or a list where it takes many."""
        parameters = [p for p in self.parameters if p.is_input]
        many = sum(p.many for p in parameters)
        present = [p for p in parameters if p.kind != "Key" or len(inputs) >= len(parameters)]
        count = (len(inputs) - (len(present) - many)) // many if many else 0
        grouped: dict[str, Any] = {}
        rest = list(inputs)
        for parameter in present:
            if parameter.many:
                grouped[parameter.name], rest = rest[:count], rest[count:]
            else:
                grouped[parameter.name] = rest.pop(0)
        return grouped

    def expand(self, node: Node) -> Node:
        """Return the definition of a node in simpler operations."""
        return as_node(self.definition(**self.group(node.inputs), **dict(node.attributes)))

    def problem(self, node: Node) -> str | None:
        """Return what is wrong with the arguments of a node at the level of tensors, None if nothing is."""
        return self.check(**self.group(node.inputs), **dict(node.attributes)) if self.check else None

    def _type(self, inputs: Sequence[Node], attributes: tuple[tuple[str, Attribute], ...]) -> Type | TensorType:
        if any(isinstance(node.type, Type) for node in inputs) or not (inputs or self.shape):
            return self.typing(inputs) if self.typing else self._recipe_type(inputs)
        if self.shape is not None:
            return self.shape([node.tensor for node in inputs], **dict(attributes))
        if self.returns == "Stat":
            return TensorType(FLOAT64, ())
        return broadcast([node.tensor for node in inputs])

    def _recipe_type(self, inputs: Sequence[Node]) -> Type:
        if self.returns == "Point":
            return next(n.type for n in inputs if n.type in ACCEPTS["Point"])
        return Type(self.returns)


_STRINGS = re.compile(r"[\"']([^\"']*)[\"']")

OPS: dict[str, Op[Any]] = {}
"""Every operation by name, in order of declaration."""


def op(
    *,
    locality: Locality,
    paper: str = "",
    primitive: bool = False,
    typing: Callable[[Sequence[Node]], Type] | None = None,
    shape: Callable[..., TensorType] | None = None,
    internal: bool = False,
    check: Callable[..., str | None] | None = None,
    caution: Callable[..., str | None] | None = None,
    scalar: Callable[..., Any] | None = None,
    kernel: Callable[..., Any] | None = None,
    workspace: Callable[[Node], int] | None = None,
) -> Callable[[Callable[P, Node | float]], Op[P]]:
    """Declare the decorated function as an operation and register it.

    The annotations are its signature, the docstring its documentation, and the body its definition in other
    operations. A `primitive` has no definition: a kernel of its name computes it. `typing` gives the type at the
    level of models where the annotation of the result doesn't, `shape` the one at the level of tensors where it is
    not that of the inputs. An `internal` operation appears in graphs but can't be called in a recipe. `check` is called
    as the definition is, and says what is wrong with these arguments, if anything is; `caution` says what is allowed
    and hardly meant, of the numbers that a recipe states as such (None for others). `scalar` computes the operation
    where all inputs are scalars: on float64 numbers, by the rules of IEEE 754, without exceptions. `kernel` is the
    kernel of a primitive that has none in `kernels/`: it gets tiles and returns one. `workspace` gives the bytes that
    the kernel of a node keeps beside its tiles. A trailing underscore of the function's name is not part of the name.
    """

    def declare(definition: Callable[P, Node | float]) -> Op[P]:
        declared: Op[P] = Op(
            name=definition.__name__.rstrip("_"),
            parameters=tuple(_parameters(definition)),
            locality=locality,
            doc=inspect.getdoc(definition) or "",
            returns=str(definition.__annotations__["return"]),
            paper=paper,
            primitive=primitive,
            definition=definition,
            typing=typing,
            shape=shape,
            internal=internal,
            check=check,
            caution=caution,
            scalar=scalar,
            kernel=kernel,
            workspace=workspace,
        )
        if declared.name in OPS:
            raise ValueError(f"an operation named {declared.name!r} exists already")
        OPS[declared.name] = declared
        return declared

    return declare


_signature = cache(inspect.signature)


def _parameters(definition: Callable[..., Node | float]) -> Iterable[Parameter]:
    for name, parameter in inspect.signature(definition).parameters.items():
        annotation = str(parameter.annotation)
        kind = annotation.removesuffix("s")
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        if kind in ACCEPTS:
            yield Parameter(name, kind, annotation.endswith("s"), required, default)
        else:
            choices = tuple(_STRINGS.findall(annotation))
            yield Parameter(name, "attribute", False, required, default, choices, annotation)


def as_node(value: Node | float) -> Node:
    """Return a number as a constant, a node as it is."""
    return value if isinstance(value, Node) else const(value)


def spread(value: Any, count: int) -> list[Any]:
    """Return one value per model: a sequence as it is, a single value repeated."""
    return list(value) if isinstance(value, (list, tuple)) else [value] * count


def broadcast(types: Sequence[TensorType]) -> TensorType:
    """Return the type of a pointwise result: float32 in the shape of the tensors, float64 if all are scalars.

    ValueError if two tensors have different shapes; a row statistic `[rows, 1]` fits a tensor of as many rows.
    """
    shapes = {t.shape for t in types if t.shape != ()}
    if not shapes:
        return TensorType(FLOAT64, ())
    full = max(shapes, key=lambda s: (len(s), s))
    if any(not _fits(shape, full) for shape in shapes):
        raise ValueError(f"shapes differ: {' and '.join(str(list(s)) for s in sorted(shapes))}")
    return TensorType(FLOAT32, full)


def _fits(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    return shape == full or (len(shape) == len(full) and shape[:-1] == full[:-1] and shape[-1] == 1)


def primitive() -> Node:
    """Stand for the body of an operation that a kernel computes; it is never called."""
    raise TypeError("a primitive has no definition in other operations")
