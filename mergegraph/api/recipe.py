"""Recipes as objects: checked, explained, drawn, planned and run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mergegraph.api.expression import Expression, Operand
from mergegraph.api.places import caller
from mergegraph.api.views import Graph, Plan
from mergegraph.api.writing import Output, recipe_syntax
from mergegraph.compiler import Compilation, read_recipe
from mergegraph.diagnostics import Diagnostic, MergeGraphError, Source
from mergegraph.machine import allow_many_files
from mergegraph.plan.plan import Planned, silent
from mergegraph.report.explain import Format, Stage, explain
from mergegraph.sizes import parse_size

if TYPE_CHECKING:
    from mergegraph.merge import Result

Size = str | int | None
"""Bytes: a number, or `2GB`; None for what is free."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What is to be merged. Nothing is read before it is asked for, and nothing is written but by `run`.

    Made by `save`, `together`, `parse` or `load`. Every method raises MergeGraphError with all errors it can find.
    """

    _compilation: Compilation
    _outputs: tuple[Output, ...] = ()
    _seed: int | None = None

    @property
    def text(self) -> str:
        """The recipe in the language of MergeGraph."""
        return self._compilation.source.text

    def check(self) -> tuple[Diagnostic, ...]:
        """Look at everything that can be known from headers. Return warnings; errors are raised."""
        self._compilation.optimized  # noqa: B018 - computing a stage is what finds its errors
        return self._compilation.warnings()

    def explain(
        self,
        stage: Stage | None = None,
        *,
        tensor: str | None = None,
        format: Format = "text",
        memory: Size = None,
        workers: int | None = None,
    ) -> str:
        """Return what a stage makes of the recipe, as `mergegraph explain` prints it: by default the plan."""
        chosen: Stage = stage or ("plan" if tensor is None else "recipe")
        return explain(self._compilation, chosen, tensor=tensor, format=format, memory=_bytes(memory), workers=workers)

    def graph(self, stage: Literal["recipe", "graph", "optimized"] = "recipe", *, tensor: str | None = None) -> Graph:
        """Return the graph of models, or that of tensors before or after the passes; `tensor` is a glob."""
        return Graph(self._compilation, stage, tensor)

    def plan(self, memory: Size = None, workers: int | None = None) -> Plan:
        """Return how the recipe would run in so much memory."""
        return Plan(self._compilation, self._compilation.plan(_bytes(memory), workers))

    def run(
        self,
        out: str | os.PathLike[str] | None = None,
        *,
        memory: Size = None,
        workers: int | None = None,
        overwrite: bool = False,
        resume: bool = False,
        compile: bool | None = None,
        planned: Planned = silent,
    ) -> Result:
        """Merge, and return what was done: paths of the outputs, seconds, bytes, memory.

        `out` replaces the path of a single output, and is the folder of several. `compile` takes a C compiler, which
        makes merges faster and changes no byte: None does so where there is one, and enough to do. `planned` is called
        with the plan before anything is read, and returns what is told of every number of bytes and its tensor, from
        any thread.
        """
        from mergegraph.merge import Options, merge

        allow_many_files()
        options = Options(_bytes(memory), workers, overwrite, resume, compile=compile)
        return merge(self._compilation, None if out is None else Path(out), options, planned=planned)

    def __add__(self, other: Recipe) -> Recipe:
        """Return one recipe of both, which reads what they share once."""
        return together(self, other)

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.graph()._repr_mimebundle_()


def save(
    value: Expression,
    path: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    tokenizer: Expression | None = None,
    config: Expression | None = None,
    missing: Expression | None = None,
    shard_size: str | int | None = None,
    **options: Operand,
) -> Recipe:
    """Return the recipe that writes a model to a folder; `run` runs it. Options are those of `save` in the language."""
    given = {"dtype": dtype, "tokenizer": tokenizer, "config": config, "missing": missing, "shard_size": shard_size}
    chosen: dict[str, Operand] = {k: v for k, v in {**given, **options}.items() if v is not None}
    return _recipe([Output(value, os.fspath(path), chosen, caller())], None)


def together(*recipes: Recipe, seed: int | None = None) -> Recipe:
    """Return one recipe that writes the outputs of several made by `save`: what they share is read once.

    `seed` is that of all random masks. MergeGraphError (MG292) for recipes that were parsed or loaded.
    """
    outputs = [output for recipe in recipes for output in recipe._outputs]
    if not outputs or not all(recipe._outputs for recipe in recipes):
        help = ("a text can hold several `save`s itself",)
        raise MergeGraphError(Diagnostic("MG292", "only recipes made by `save` can be put together", help=help))
    seeds = {found for found in (seed, *(recipe._seed for recipe in recipes)) if found is not None}
    if len(seeds) > 1:
        raise MergeGraphError(Diagnostic("MG292", "these recipes have different seeds", help=("give each the same",)))
    return _recipe(outputs, next(iter(seeds), None))


def parse(text: str, *, folder: str | os.PathLike[str] = ".") -> Recipe:
    """Return the recipe that a text in the language means; paths of its models begin at `folder`."""
    return _checked(Compilation(Source("<text>", text), Path(folder)))


def load(path: str | os.PathLike[str]) -> Recipe:
    """Return the recipe in a file: text, mergekit's YAML, or YAML of MergeGraph."""
    return _checked(read_recipe(Path(path)))


def _recipe(outputs: Sequence[Output], seed: int | None) -> Recipe:
    syntax, source = recipe_syntax(outputs, seed)
    return _checked(Compilation(source, Path(), written=syntax), tuple(outputs), seed)


def _checked(compilation: Compilation, outputs: tuple[Output, ...] = (), seed: int | None = None) -> Recipe:
    compilation.recipe  # noqa: B018 - computing a stage is what finds its errors
    return Recipe(compilation, outputs, seed)


def _bytes(size: Size) -> int | None:
    return None if size is None else parse_size(size)
