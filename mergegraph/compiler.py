"""Compile a recipe, stage by stage: each stage is a property, computed when it is first asked for."""

from __future__ import annotations

import os
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mergegraph.checkpoint.adapter import Adapter, open_adapter
from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor, open_checkpoint
from mergegraph.collector import paused_collection
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Source, escape
from mergegraph.ir.graph import Graph, InputRef, RowsRef, TensorRef
from mergegraph.ir.node import Node
from mergegraph.lower.extract import Decisions, Extracted
from mergegraph.lower.lower import Lowered, lower
from mergegraph.machine import available_bytes, processors, resident_bytes
from mergegraph.optimize.pipeline import Applied, optimize
from mergegraph.plan.plan import Plan
from mergegraph.plan.planner import Resources, plan
from mergegraph.recipe.recipe import Recipe, donor, text_attribute
from mergegraph.recipe.resolve import resolve
from mergegraph.syntax import nodes as s
from mergegraph.syntax.parse import parse
from mergegraph.syntax.yaml.recipe import YAML_SUFFIXES, Read, read_yaml
from mergegraph.vocabulary.align import Alignments, align

RUNTIME_BYTES = 330_000_000
"""What Python, torch and dask take before a merge starts, where they are not loaded yet: measured, with a margin."""

TOKENIZER_BYTES = 5
"""What a byte of a tokenizer takes in memory that has been read: measured, with a margin."""

MARGIN_BYTES = 40_000_000
"""What threads, open files and dask's own bookkeeping may add while a merge runs."""

COMPILING_BYTES = 12_000_000
"""What compiling leaves in the process, the compiler being another one: measured, with a margin."""

MAX_RECIPE_BYTES = 1 << 20

STANDARD_INPUT = "-"
"""What stands for standard input in the place of a recipe's path."""


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
        if self.written is not None:
            return Read(self.written)
        if self.source.name.endswith(YAML_SUFFIXES):
            return read_yaml(self.source)
        return Read(parse(self.source.text, self.source.name))

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
        return resolve(self.syntax, self._read_import, self._exists)

    @cached_property
    def adapters(self) -> Mapping[Node, Adapter]:
        """The adapters, their configurations and headers read."""
        return {node: found for node, found in self._opened.items() if isinstance(found, Adapter)}

    @cached_property
    def checkpoints(self) -> Mapping[Node, Checkpoint]:
        """The models and the tensors of adapters, their headers read."""
        return {n: found.checkpoint if isinstance(found, Adapter) else found for n, found in self._opened.items()}

    @cached_property
    @paused_collection()
    def _opened(self) -> Mapping[Node, Checkpoint | Adapter]:
        found: dict[Node, Checkpoint | Adapter] = {}
        errors: list[Diagnostic] = []
        for model in self.recipe.models:
            try:
                found[model] = self._open(model)
            except MergeGraphError as error:
                place = Label(self.recipe.spans[model])
                errors += [_labelled(diagnostic, place) for diagnostic in error.diagnostics]
        if errors:
            raise MergeGraphError(*errors)
        return found

    @cached_property
    def alignments(self) -> Alignments:
        """How the vocabularies of the models become those of the outputs."""
        return align(self.recipe, self.checkpoints, self.adapters)

    @cached_property
    @paused_collection()
    def _lowered(self) -> Lowered:
        return lower(self.recipe, self.checkpoints, self.adapters, self.alignments.saves, self.decisions)

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
        return optimize(self.graph, exact=self.exact)

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
        found: dict[Checkpoint, set[int]] = {}
        for tensor in self.optimized.tensors:
            for ref in tensor.bindings:
                if isinstance(ref, TensorRef | RowsRef):
                    model = self.checkpoints[self.recipe.models[ref.model]]
                    found.setdefault(model, set()).add(model.tensors[ref.name].file)
        return {model: frozenset(files) for model, files in found.items()}

    def tensor(self, ref: InputRef) -> Tensor:
        """Return where an input tensor lies; of one that is read row by row, `nbytes` counts the rows that are read."""
        found = self._tensors[ref.model][ref.name]
        if isinstance(ref, TensorRef):
            return found
        rows = int((self.alignments.tables[ref.table][ref.part] >= 0).sum())
        return found._replace(nbytes=found.nbytes // found.shape[0] * rows)

    @cached_property
    def _tensors(self) -> Sequence[Mapping[str, Tensor]]:
        return tuple(self.checkpoints[model].tensors for model in self.recipe.models)

    @paused_collection()
    def plan(
        self, memory: int | None = None, workers: int | None = None, *, loaded: bool = False, compile: bool = False
    ) -> Plan:
        """Return the plan within `memory` bytes for the whole process, by default four fifths of what is free.

        `loaded` tells that everything a run needs is in memory already, so that what it takes can be measured; with
        `compile` there is room for compiling.
        """
        graph = self.optimized
        tokens = {found for found in self.alignments.tokens.values() if found is not None}
        read = TOKENIZER_BYTES * sum(len(found.data) for found in tokens)
        return plan(graph, self.tensor, resources(memory, workers, loaded=loaded, compile=compile, read=read))

    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return what is allowed and probably not meant, of the recipe and of its models."""
        found = [w for checkpoint in self.checkpoints.values() for w in checkpoint.warnings]
        strangers = (self._stranger(node, adapter) for node, adapter in self.adapters.items())
        found += [*filter(None, strangers), *self.alignments.warnings, *self._lowered.warnings]
        return (*self.text_warnings, *self.recipe.warnings, *found)

    def _stranger(self, node: Node, adapter: Adapter) -> Diagnostic | None:
        """Return a warning where an adapter says that it was trained on another model than it is added to."""
        base = self.checkpoints[donor(self.recipe.anchors[node])]
        stated, known = adapter.config.base, (base.source, base.config.get("_name_or_path"))
        if not stated or any(isinstance(name, str) and _last(name) == _last(stated) for name in known):
            return None
        message = f"this adapter was trained on `{escape(stated)}`, and is added to `{escape(base.source)}`"
        return Diagnostic("MG386", message, (Label(self.recipe.spans[node]),), severity="warning")

    def _open(self, model: Node) -> Checkpoint | Adapter:
        source, revision = text_attribute(model, "source"), model.attribute("revision")
        assert revision is None or isinstance(revision, str)
        if model.op == "lora":
            return open_adapter(source, relative_to=self.folder, revision=revision)
        checkpoint = open_checkpoint(source, relative_to=self.folder, revision=revision)
        if checkpoint.quantized:
            raise MergeGraphError(
                Diagnostic(
                    "MG304",
                    "this model is quantized: its numbers are codes that can't be averaged",
                    place=checkpoint.source,
                    help=("merge the model it was quantized from",),
                )
            )
        return checkpoint

    def _read_import(self, path: str) -> Source:
        place = self.folder / os.path.expanduser(path)
        if not place.is_file() and os.path.lexists(place):
            raise OSError(0, "this is a folder" if place.is_dir() else "this is no file")
        return read_source(place)

    def _exists(self, path: str) -> bool:
        return os.path.lexists(self.folder / os.path.expanduser(path))


def resources(
    memory: int | None, workers: int | None, *, loaded: bool, compile: bool = False, read: int = 0
) -> Resources:
    """Return what a run may use: `memory` bytes, by default four fifths of what is free; see `Compilation.plan`.

    `read` are the bytes that tokenizers take, which are in memory beside the libraries.
    """
    baseline = resident_bytes() + MARGIN_BYTES if loaded else max(RUNTIME_BYTES, resident_bytes()) + read
    baseline += COMPILING_BYTES if compile else 0
    return Resources(memory if memory is not None else available_bytes() * 4 // 5, workers or processors(), baseline)


def read_recipe(path: Path, *, exact: bool = True) -> Compilation:
    """Return the compilation of a recipe file, or with `-` of standard input.

    MergeGraphError (MG540) if it can't be read. Paths of models begin at the folder of the file, at the current folder
    for standard input.
    """
    try:
        if str(path) == STANDARD_INPUT:
            return Compilation(_decoded("<stdin>", sys.stdin.buffer.read(MAX_RECIPE_BYTES + 1)), Path(), exact)
        return Compilation(read_source(path), path.parent, exact)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MergeGraphError(
            Diagnostic("MG540", f"the recipe can't be read: {reason}", place=str(path), status=2)
        ) from None


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


def _last(name: str) -> str:
    """Return the last part of a path or of an id on the Hub."""
    return name.rstrip("/").rpartition("/")[2].lower()


def _labelled(diagnostic: Diagnostic, label: Label) -> Diagnostic:
    return replace(diagnostic, labels=(label, *diagnostic.labels))
