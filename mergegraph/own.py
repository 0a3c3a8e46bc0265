"""Operations of one's own, written in Python with torch."""

from __future__ import annotations

import ast
import inspect
import runpy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.ir.node import Node
from mergegraph.ops import OPS, Locality
from mergegraph.ops.declaration import op as declare
from mergegraph.ops.declaration import primitive
from mergegraph.recipe.prelude import prelude_functions

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

TENSORS = ("Point", "Model", "Delta", "Mask")
INPUTS = (*TENSORS, "Tensor", "Scalar", "Fraction")
SETTINGS = ("bool", "str", "int", "float")


def op(
    signature: str, *, locality: Literal["pointwise", "rowwise"] = "pointwise", paper: str = ""
) -> Callable[[Kernel], Kernel]:
    """Declare the decorated function as an operation that recipes can call.

    The signature says what the operation is for a recipe, as in `shrink(d: Delta, limit: Scalar = 0.001) -> Delta`.
    Kinds of inputs are Model, Delta, Point (either), Mask, Tensor (any of these, or a number), Scalar and Fraction (a
    number from 0 to 1), or in the plural one per model; parameters after a `*` are settings: bool, str, int or float.
    The result is a Point, Model, Delta or Mask.

    The function is the kernel: it gets float32 tensors and Python floats in the order of the signature, settings by
    name, and returns a float32 tensor of the shape of the first; it must not change what it gets. A `pointwise` kernel
    sees arbitrary pieces of the flattened tensors, so an element of its result may depend on the same elements of its
    inputs only. A `rowwise` one sees matrices of whole rows, the vectors along the last axis. The docstring is what
    `mergegraph methods` shows. ValueError if the signature can't be read, or the name is taken.
    """
    definition = _definition(signature)
    if definition.__name__ in prelude_functions():
        raise ValueError(f"the prelude has a method named {definition.__name__!r} already")

    def register(kernel: Kernel) -> Kernel:
        definition.__doc__ = inspect.getdoc(kernel)
        declare(locality=Locality(locality), paper=paper, primitive=True, kernel=kernel)(definition)
        return kernel

    return register


def load(path: Path) -> None:
    """Run a Python file that declares operations. MergeGraphError (MG290) if it can't be run."""
    try:
        runpy.run_path(str(path))
    except Exception as error:
        raise MergeGraphError(
            Diagnostic("MG290", f"these operations can't be loaded: {type(error).__name__}: {error}", place=str(path))
        ) from error


def own_sources(names: Iterable[str]) -> str:
    """Return the source text of the kernels of own operations among `names`: what decides their results."""
    kernels = [(name, OPS[name].kernel) for name in sorted(set(names)) if name in OPS]
    return "".join(f"\0{name}\0{inspect.getsource(kernel)}" for name, kernel in kernels if kernel is not None)


def _definition(signature: str) -> Callable[..., Node]:
    """Return a function of this signature that stands for the definition of a primitive."""
    try:
        (parsed,) = ast.parse(f"def {signature}: ...").body
    except (SyntaxError, ValueError):
        raise ValueError(f"this is no signature: {signature}") from None
    if not isinstance(parsed, ast.FunctionDef) or parsed.args.vararg or parsed.args.kwarg or parsed.args.posonlyargs:
        raise ValueError(f"this is no signature: {signature}")
    returns = ast.unparse(parsed.returns) if parsed.returns else ""
    if returns not in TENSORS:
        raise ValueError(f"the result must be one of {', '.join(TENSORS)}, not {returns or 'nothing'}: {signature}")

    def definition(*_: Any, **__: Any) -> Node:
        return primitive()

    definition.__name__ = parsed.name
    definition.__annotations__ = {"return": returns}
    definition.__signature__ = inspect.Signature([*_parameters(parsed.args)])  # type: ignore[attr-defined]
    return definition


def _parameters(arguments: ast.arguments) -> Iterator[inspect.Parameter]:
    missing = [None] * (len(arguments.args) - len(arguments.defaults))
    for argument, default in zip(arguments.args, [*missing, *arguments.defaults], strict=True):
        yield _parameter(argument, default, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default, inspect.Parameter.KEYWORD_ONLY)


def _parameter(argument: ast.arg, default: ast.expr | None, kind: Any) -> inspect.Parameter:
    """Return a parameter; ValueError if it is not of a kind that its place allows."""
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    known = SETTINGS if kind is inspect.Parameter.KEYWORD_ONLY else INPUTS
    if annotation.removesuffix("s") not in known:
        raise ValueError(f"`{argument.arg}` must be one of {', '.join(known)}, not {annotation or 'nothing'}")
    value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
    return inspect.Parameter(argument.arg, kind, default=value, annotation=annotation)
