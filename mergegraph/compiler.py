"""Compile a recipe, stage by stage: each stage is a property, computed when it is first asked for.

Its code is loaded then, too, after that of the stages before: a recipe with an error in its text needs no planner.
"""

from __future__ import annotations

import os
import shlex
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mergegraph.collector import paused_collection
from mergegraph.diagnostics import Diagnostic, MergeGraphError, Source, did_you_mean, escape, listed
from mergegraph.machine import available_bytes, processors, resident_bytes
from mergegraph.syntax.read import YAML_SUFFIXES, Read, read

if TYPE_CHECKING:
    from mergegraph.checkpoint.adapter import Adapter
    from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
    from mergegraph.ir.graph import Graph, InputRef
    from mergegraph.ir.node import Node
    from mergegraph.lower.extract import Decisions, Extracted
    from mergegraph.lower.lower import Lowered
    from mergegraph.optimize.pipeline import Applied
    from mergegraph.plan.plan import Plan
    from mergegraph.plan.planner import Resources, Stage
    from mergegraph.recipe.models import Opened
    from mergegraph.recipe.recipe import Recipe
    from mergegraph.syntax import nodes as s
    from mergegraph.vocabulary.align import Alignments

RUNTIME_BYTES = 12_000_000
"""What the executor takes once it is loaded, with dask: measured, as the others."""

KERNELS_BYTES = 195_000_000
"""What the kernels take once they are loaded, with torch."""

MARGIN_BYTES = 4_000_000
"""What threads, open files and dask may add while a merge runs."""

KERNELS_MARGIN_BYTES = 22_000_000
"""What the kernels may add to that."""

ROUNDED_BYTES = 4_000_000
"""A plan that is only shown counts what the process has in steps of so many bytes, to be the same each time."""

MAX_RECIPE_BYTES = 1 << 20

STANDARD_INPUT = ("-", "/dev/stdin")
"""What stands for standard input in the place of a recipe's path."""

RECIPE_SUFFIXES = (".merge", *YAML_SUFFIXES)
"""How the names of recipes end."""


@dataclass(frozen=True)
class Compilation:
    """A recipe on its way to a plan. Paths of its models begin at `folder`.

    Every property raises MergeGraphError with all errors that its stage can find. `exact` False leaves out the passes
    that only make a merge cheaper. `written` is the syntax of a recipe that was not read from its text. `decisions`
    tell what adapters that are written hold, once the models have been read for that.
    """

    source: Source
    folder: Path
    exact: bool = True
    written: s.Recipe | None = None
    decisions: Decisions | None = None

    @cached_property
    def _read(self) -> Read:
        return Read(self.written) if self.written is not None else read(self.source)

    @property
    def syntax(self) -> s.Recipe:
        """The text, parsed."""
        return self._read.syntax

    @property
    def text_warnings(self) -> tuple[Diagnostic, ...]:
        """What is allowed in the text and probably not meant."""
        return self._read.warnings

    @cached_property
    def recipe(self) -> Recipe:
        """The graph of models: names bound, types checked, methods expanded."""
        syntax = self.syntax
        from mergegraph.recipe.resolve import resolve

        return resolve(syntax, self._read_import, self._exists)

    @property
    def adapters(self) -> Mapping[Node, Adapter]:
        """The adapters, their configurations and headers read."""
        return self._opened.adapters

    @property
    def checkpoints(self) -> Mapping[Node, Checkpoint]:
        """The models and the tensors of adapters, their headers read."""
        return self._opened.checkpoints

    @cached_property
    @paused_collection()
    def _opened(self) -> Opened:
        recipe = self.recipe
        from mergegraph.recipe.models import open_models

        return open_models(recipe, self.folder)

    @cached_property
    def alignments(self) -> Alignments:
        """How the vocabularies of the models become those of the outputs."""
        return self._aligned(None)

    def read_tokenizers(self, memory: int | None) -> None:
        """Read the tokenizers, unless they are. MergeGraphError (MG402) if `memory` bytes are too few; see `plan`."""
        if "alignments" not in self.__dict__:
            self.__dict__["alignments"] = self._aligned(_limit(memory))

    def _aligned(self, memory: int | None) -> Alignments:
        recipe, opened = self.recipe, self._opened
        from mergegraph.vocabulary.align import align
        from mergegraph.vocabulary.room import Room

        room = None if memory is None else Room(memory, resident_bytes())
        return align(recipe, opened.checkpoints, opened.adapters, room)

    @cached_property
    @paused_collection()
    def _lowered(self) -> Lowered:
        alignments = self.alignments
        from mergegraph.lower.lower import lower

        return lower(self.recipe, self.checkpoints, self.adapters, alignments.saves, self.decisions)

    @property
    def graph(self) -> Graph:
        """One expression per output tensor."""
        return self._lowered.graph

    @property
    def extracted(self) -> Mapping[int, Extracted]:
        """What the outputs that are adapters hold, by number: all that they may before that is decided."""
        return self._lowered.extracted

    def decided(self, decisions: Decisions) -> Compilation:
        """Return the same compilation with what was found to decide what adapters hold."""
        found = replace(self, decisions=decisions)
        found.__dict__.update({name: getattr(self, name) for name in ("_read", "recipe", "_opened", "alignments")})
        return found

    @cached_property
    @paused_collection()
    def _optimized(self) -> tuple[Graph, tuple[Applied, ...]]:
        graph = self.graph
        from mergegraph.optimize.pipeline import optimize

        return optimize(graph, exact=self.exact)

    @property
    def optimized(self) -> Graph:
        """The graph after all passes."""
        return self._optimized[0]

    @property
    def passes(self) -> tuple[Applied, ...]:
        """What each pass did."""
        return self._optimized[1]

    @cached_property
    def needed(self) -> Mapping[Checkpoint, frozenset[int]]:
        """The numbers of the weights files that hold what the merge reads, by model."""
        from mergegraph.ir.graph import RowsRef, TensorRef

        found: dict[Checkpoint, set[int]] = {}
        for tensor in self.optimized.tensors:
            for ref in tensor.bindings:
                if isinstance(ref, TensorRef | RowsRef):
                    model = self.checkpoints[self.recipe.models[ref.model]]
                    found.setdefault(model, set()).add(model.tensors[ref.name].file)
        return {model: frozenset(files) for model, files in found.items()}

    def tensor(self, ref: InputRef) -> Tensor:
        """Return where an input tensor lies; of one that is read row by row, `nbytes` counts the rows that are read."""
        from mergegraph.ir.graph import TensorRef

        found = self._tensors[ref.model][ref.name]
        if isinstance(ref, TensorRef):
            return found
        rows = int((self.alignments.tables[ref.table][ref.part] >= 0).sum())
        return found._replace(nbytes=found.nbytes // found.shape[0] * rows)

    @cached_property
    def _tensors(self) -> Sequence[Mapping[str, Tensor]]:
        return tuple(self.checkpoints[model].tensors for model in self.recipe.models)

    @paused_collection()
    def plan(self, memory: int | None = None, workers: int | None = None, *, within: Resources | None = None) -> Plan:
        """Return the plan within `memory` bytes for the whole process, by default four fifths of what is free.

        Or `within` what was found that a run may use when everything it needs was in memory.
        """
        found = self.stages(within.memory if within else memory)
        from mergegraph.plan.planner import plan

        if within:
            return plan(found, self.tensor, within)
        from mergegraph.execute.compiled import needs_kernels
        from mergegraph.vocabulary.room import READ_BYTES

        tokens = {found for found in self.alignments.tokens.values() if found is not None}
        read = READ_BYTES * sum(len(found.data) for found in tokens)
        return plan(found, self.tensor, resources(memory, workers, kernels=needs_kernels(found), read=read))

    def stages(self, memory: int | None = None) -> tuple[Stage, ...]:
        """Return what is run, in the order of its stages. MergeGraphError (MG402) as `plan`."""
        self.read_tokenizers(memory)
        return self._arranged

    @cached_property
    @paused_collection()
    def _arranged(self) -> tuple[Stage, ...]:
        graph = self.optimized
        from mergegraph.plan.planner import arrange

        return arrange(graph)

    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return what is allowed and probably not meant, of the recipe and of its models."""
        from mergegraph.recipe.models import warnings

        found = (*warnings(self.recipe, self._opened), *self.alignments.warnings, *self._lowered.warnings)
        return (*self.text_warnings, *self.recipe.warnings, *found)

    def _read_import(self, path: str) -> Source:
        place = self.folder / os.path.expanduser(path)
        if not place.is_file() and os.path.lexists(place):
            raise OSError(0, "this is a folder" if place.is_dir() else "this is no file")
        return read_source(place)

    def _exists(self, path: str) -> bool:
        return os.path.lexists(self.folder / os.path.expanduser(path))


def resources(memory: int | None, workers: int | None, *, kernels: bool | None = None, read: int = 0) -> Resources:
    """Return what a run may use: `memory` bytes, by default four fifths of what is free; see `Compilation.plan`.

    Where `kernels` tells that a run will need them, or won't, what it needs is not all loaded yet. `read` are the bytes
    that tokenizers take, which are in memory beside the libraries.
    """
    from mergegraph.plan.planner import Resources

    baseline = resident_bytes() + MARGIN_BYTES + read
    if kernels is not None and "dask" not in sys.modules:
        baseline = -(-baseline // ROUNDED_BYTES) * ROUNDED_BYTES + RUNTIME_BYTES
    loaded = "torch" in sys.modules
    if kernels and not loaded:
        baseline += KERNELS_BYTES
    if kernels or loaded:
        baseline += KERNELS_MARGIN_BYTES
    limit = _limit(memory)
    spare = max(0, available_bytes() - limit)
    return Resources(limit, workers or processors(), baseline, spare, bool(kernels or loaded))


def _limit(memory: int | None) -> int:
    return memory if memory is not None else available_bytes() * 4 // 5


def read_recipe(path: Path, *, exact: bool = True) -> Compilation:
    """Return the compilation of a recipe file, or with `-` of standard input.

    MergeGraphError (MG540) if it can't be read. Paths of models begin at the folder of the file, at the current folder
    for standard input.
    """
    try:
        if str(path) in STANDARD_INPUT:
            return Compilation(_decoded("<stdin>", sys.stdin.buffer.read(MAX_RECIPE_BYTES + 1)), Path(), exact)
        return Compilation(read_source(path), path.parent, exact)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MergeGraphError(
            Diagnostic("MG540", f"the recipe can't be read: {reason}", place=str(path), help=_beside(path), status=2)
        ) from None


def _beside(path: Path) -> tuple[str, ...]:
    """Return the help line of a path that leads to no recipe: the one of a similar name, or those that there are."""
    if path.exists() and not path.is_dir():
        return ()
    if (path / "config.json").exists():
        return (f"it is a model, which `mergegraph inspect {escape(shlex.quote(str(path)))}` shows",)
    folder = path if path.is_dir() else path.parent
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(RECIPE_SUFFIXES))
    except OSError:
        return ("there is no such folder either",)
    if not path.is_dir() and (meant := did_you_mean(path.name, names)):
        return meant
    return (f"recipes in this folder: {listed(names)}",) if names else ("a recipe is a file `NAME.merge`",)


def read_source(path: Path) -> Source:
    """Return the text of a file. OSError if it can't be read or is no text."""
    with path.open("rb") as file:
        return _decoded(str(path), file.read(MAX_RECIPE_BYTES + 1))


def _decoded(name: str, data: bytes) -> Source:
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            raise OSError(0, "it is UTF-16 text; save it as UTF-8") from None
        raise OSError(0, f"it is not UTF-8 text, at byte {error.start}") from None
