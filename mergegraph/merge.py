"""Run a compiled recipe: from a plan to published model directories."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from mergegraph import __version__
from mergegraph.checkpoint.adapter import stamps
from mergegraph.checkpoint.adapter_config import CONFIG
from mergegraph.checkpoint.checkpoint import Checkpoint, download
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.hub import Downloading, unseen
from mergegraph.checkpoint.layers import split_layer
from mergegraph.checkpoint.licence import licence_of
from mergegraph.checkpoint.tied import is_head
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape, listed
from mergegraph.ir.graph import OutputTensor as GraphTensor
from mergegraph.ir.graph import TensorRef
from mergegraph.ir.node import Node
from mergegraph.ir.print import expression_lines
from mergegraph.lower.extract import Extracted
from mergegraph.lower.names import Namer
from mergegraph.own import own_sources
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Plan, Planned, Report, Unit, silent
from mergegraph.plan.planner import unit_reads, unit_writes
from mergegraph.recipe.recipe import Save
from mergegraph.recipe.recipe import donor as model_of
from mergegraph.recipe.saves import clashes
from mergegraph.report.mermaid import recipe_mermaid
from mergegraph.vocabulary.files import lost_warning, renumbered, token_files
from mergegraph.write.adapter import Adapted, adapter_config, adapter_layout
from mergegraph.write.card import Parent, model_card
from mergegraph.write.config import Stack, merged_config
from mergegraph.write.directory import OutputDirectory, commit_all
from mergegraph.write.layout import Layout, OutputTensor, plan_layout
from mergegraph.write.manifest import CARD_NAME, InputFile, InputModel, build_manifest
from mergegraph.write.os import REAL
from mergegraph.write.refusals import MANIFEST_NAME, refuse_existing

MAX_EXTRA_BYTES = 256_000_000
"""The longest file beside the weights, such as a tokenizer, that is copied."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: nothing here changes a byte of the output."""

    memory: int | None = None
    workers: int | None = None
    overwrite: bool = False
    resume: bool = False
    analyze: bool = False
    compile: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. Sizes are in bytes; peaks are of the whole process."""

    outputs: tuple[Path, ...]
    seconds: float
    bytes_read: int
    bytes_written: int
    planned_peak_bytes: int
    peak_rss_bytes: int
    units: int
    units_before: int
    """How many of the units a run that was interrupted had done."""
    warnings: tuple[Diagnostic, ...]
    extracted: tuple[Extracted, ...]
    """The outputs that are adapters."""
    plan: Plan = field(repr=False)
    analysis: tuple[Measured, ...] = field(repr=False)
    """What every unit of the plan took, stage by stage, where it was asked for."""
    compile_seconds: float = 0.0
    """What it took to compile, where that was asked for, before the `seconds` of the merge."""
    compiled_loops: int = 0


def merge(
    compilation: Compilation,
    out: Path | None,
    options: Options,
    *,
    planned: Planned = silent,
    downloading: Downloading = unseen,
) -> Result:
    """Run a recipe and publish its outputs, all of them or none.

    `out` replaces the path of a single `save`, and is the root of several; without it paths begin in the current
    folder. MergeGraphError for whatever goes wrong; what was finished can be resumed then.
    """
    # Everything that takes memory is loaded before the plan is made, so that the budget holds for all of it.
    from mergegraph.execute.compiled import compile_plan
    from mergegraph.execute.run import Output, run_plan

    targets = output_paths(compilation.recipe.saves, out)
    plan = compilation.plan(options.memory, options.workers, loaded=True, compile=options.compile)
    report: Report | None = None
    seconds, surveyed = 0.0, 0
    if compilation.extracted:
        if not options.resume:
            _refuse_existing(targets, overwrite=options.overwrite)
        download(compilation.needed, downloading)
        report = planned(plan, 0)
        most = plan.bytes_read + plan.bytes_written
        compilation, seconds, surveyed = _decided(compilation, plan, report)
        plan = compilation.plan(options.memory, options.workers, loaded=True, compile=options.compile)
        report(max(0, most - surveyed - plan.bytes_read - plan.bytes_written), "")
    compiled = compile_plan(plan) if options.compile else None
    recipe = compilation.recipe
    layouts = [layout(compilation, index) for index in range(len(recipe.saves))]
    checkpoints = [compilation.checkpoints[model] for model in recipe.models]
    with ExitStack() as stack:
        stack.callback(_remove_empty, _make_parents(targets, checkpoints))
        outputs = []
        for save, target, shards in zip(recipe.saves, targets, layouts, strict=True):
            directory = OutputDirectory.create(
                target,
                shards,
                plan_hash=_plan_hash(compilation, save),
                fingerprints=fingerprints_of(checkpoints) | _tokenizer_fingerprints(compilation),
                versions=versions(),
                inputs=_input_paths(checkpoints),
                overwrite=options.overwrite,
                resume=options.resume,
            )
            outputs.append(Output(stack.enter_context(directory), shards, save.span))
        download(compilation.needed, downloading)
        _fetch_small_files(compilation)
        done = [
            unit
            for unit in plan.units
            if all(target.name in outputs[target.save].directory.done for target in unit.targets)
        ]
        moved = _moved(done, plan, compilation)
        if report is None:
            report = planned(plan, moved)
        else:
            report(moved, "")
        measured = run_plan(
            plan,
            checkpoints,
            outputs,
            report,
            compilation.alignments.tables,
            analyze=options.analyze,
            compiled=compiled,
        )
        warnings = [*(compiled.warnings if compiled else ()), *measured.warnings, *_left_out(compilation)]
        finished = []
        read_once = cache(_extra)
        for index, output in enumerate(outputs):
            output.directory.flush()
            files, found = _small_files(
                compilation, index, output.layout, output.directory.done, targets[index].name, read_once
            )
            warnings += found
            finished.append((output.directory, files))
        commit_all(finished)
    return Result(
        tuple(targets),
        seconds + measured.seconds,
        surveyed + measured.bytes_read,
        measured.bytes_written,
        plan.planned_peak_bytes,
        measured.peak_rss_bytes,
        measured.units,
        len(done),
        tuple(warnings),
        tuple(compilation.extracted.values()),
        plan,
        measured.analysis,
        *((compiled.seconds, compiled.loops) if compiled else ()),
    )


def _moved(done: Sequence[Unit], plan: Plan, compilation: Compilation) -> int:
    """Return how many bytes of a plan the units that are done have read and written."""
    if len(done) == len(plan.units):
        return plan.bytes_read + plan.bytes_written
    return sum(
        unit_reads(unit, plan.programs, compilation.tensor) + unit_writes(unit, plan.programs, compilation.tensor)
        for unit in done
    )


def _refuse_existing(targets: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse what could not be written before models are read to find out what to write."""
    for target in targets:
        refuse_existing(REAL, target, overwrite=overwrite)


def _decided(compilation: Compilation, plan: Plan, report: Report) -> tuple[Compilation, float, int]:
    """Return the compilation that knows what its adapters hold; finding out took so many seconds and bytes read."""
    from mergegraph.execute.run import run_stages

    checkpoints = [compilation.checkpoints[model] for model in compilation.recipe.models]
    found, measured = run_stages(plan.before, checkpoints, report, compilation.alignments.tables)
    decisions = {t.name: tuple(map(float, found[t.name])) for e in compilation.extracted.values() for t in e.questions}
    return compilation.decided(decisions), measured.seconds, measured.bytes_read


def _fetch_small_files(compilation: Compilation) -> None:
    """Download what is copied or quoted at the end, so that a network that fails later does no harm."""
    for index, save in enumerate(compilation.recipe.saves):
        if index in compilation.extracted:
            continue
        for checkpoint in _tokenizers(compilation, index):
            for path in checkpoint.extras:
                checkpoint.member(path)
        for model in compilation.recipe.parents(save):
            licence_of(compilation.checkpoints[model])


def _make_parents(targets: list[Path], checkpoints: list[Checkpoint]) -> list[Path]:
    """Make the folders that outputs go into, unless they would lie inside an input: that is refused later.

    Return those that were not there, the outermost first.
    """
    inputs = [path.resolve() for path in _input_paths(checkpoints)]
    made: list[Path] = []
    for target in targets:
        parent = target.resolve().parent
        if any(parent.is_relative_to(path) for path in inputs):
            continue
        new = [folder for folder in (parent, *parent.parents) if not os.path.lexists(folder)]
        made += reversed(new)
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _remove_empty(made)
            reason = "a file is in its place" if isinstance(error, FileExistsError) else error.strerror
            message = f"the folder for the output can't be made: {reason}"
            raise MergeGraphError(Diagnostic("MG641", message, place=str(parent))) from None
    return made


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders in which nothing is, inner ones first: where a run has left nothing, they are not left either."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def output_paths(saves: tuple[Save, ...], out: Path | None) -> list[Path]:
    """Return where each save goes. MergeGraphError for outputs in one place, one in another, or outside of `out`."""
    if out is not None and len(saves) == 1:
        return [out]
    if out is not None:
        _refuse_outside(saves)
        found = [out / save.path for save in saves]
    else:
        found = [Path(save.path).expanduser() for save in saves]
    errors = clashes(saves, [Path(os.path.realpath(path)) for path in found])
    if errors:
        raise MergeGraphError(*errors)
    return found


def _refuse_outside(saves: tuple[Save, ...]) -> None:
    for save in saves:
        path = PurePosixPath(os.path.normpath(save.path))
        if path.is_absolute() or path.parts[:1] in (("..",), ("~",)):
            message = f"the path `{escape(save.path)}` can't be put under another folder"
            help = ("leave out OUT, or make the path one inside OUT",)
            raise MergeGraphError(Diagnostic("MG642", message, (Label(save.span),), help, status=2))


def layout(compilation: Compilation, index: int) -> Layout:
    """Return where every tensor of a save will lie. MergeGraphError (MG616 to MG618) for what no file can hold."""
    save = compilation.recipe.saves[index]
    tensors = [OutputTensor(t.name, t.root.tensor.dtype, _shape(compilation, t)) for t in _tensors(compilation, index)]
    try:
        found = plan_layout(tensors, save.shard_size)
        return adapter_layout(found) if index in compilation.extracted else found
    except MergeGraphError as error:
        raise MergeGraphError(*(replace(d, labels=(Label(save.span),)) for d in error.diagnostics)) from None


def _tensors(compilation: Compilation, index: int) -> Iterator[GraphTensor]:
    return (tensor for tensor in compilation.optimized.tensors if tensor.save == index)


def _shape(compilation: Compilation, tensor: GraphTensor) -> tuple[int, ...]:
    """Return the shape to write: the graph sees a tensor without axes as one element in a row."""
    shape = tensor.root.tensor.shape
    refs = [binding for binding in tensor.bindings if isinstance(binding, TensorRef)]
    return () if shape == (1,) and refs and compilation.tensor(refs[0]).shape == () else shape


def _plan_hash(compilation: Compilation, save: Save) -> str:
    """Return what decides the bytes of an output, apart from its inputs and the versions: all of its expressions.

    The text of the recipe would not do: it may import others.
    """
    digest = hashlib.sha256(own_sources(node.op for node in compilation.recipe.nodes()).encode())
    templates: dict[Node, int] = {}
    for tensor in _tensors(compilation, compilation.recipe.saves.index(save)):
        if tensor.root not in templates:
            templates[tensor.root] = len(templates)
            digest.update("\n".join(expression_lines(tensor.root)).encode())
        digest.update(repr((templates[tensor.root], tensor.name, tensor.bindings)).encode())
    return digest.hexdigest()


def fingerprints_of(checkpoints: Iterable[Checkpoint]) -> dict[str, str]:
    """Return, for every input file, what changes when it does; a file is named by its model and its own name."""
    found = {}
    for number, checkpoint in enumerate(checkpoints):
        for header, (name, _, sha256) in zip_longest(checkpoint.files, stamps(checkpoint)):
            identity = header.identity if header else None
            state = f"{identity.inode}:{identity.size}:{identity.mtime_ns}" if identity else ""
            found[_file_of(checkpoint, number, name)] = f"{sha256}:{checkpoint.commit or state}"
    return found


def _tokenizer_fingerprints(compilation: Compilation) -> dict[str, str]:
    """Return, for every tokenizer that decides which row is whose, what changes when it does."""
    numbers = {model: number for number, model in enumerate(compilation.recipe.models)}
    return {
        _file_of(compilation.checkpoints[model], numbers[model], tokens.path.name): tokens.digest
        for model, tokens in compilation.alignments.tokens.items()
        if tokens is not None and model in numbers
    }


def _file_of(checkpoint: Checkpoint, number: int, name: str) -> str:
    return f"{checkpoint.source.rstrip('/')}/{name} (input {number + 1})"


def versions() -> dict[str, str]:
    """Return the versions of what has a say in the bytes."""
    return {"mergegraph": __version__, "torch": version("torch")}


def _input_paths(checkpoints: list[Checkpoint]) -> list[Path]:
    return [
        path
        for checkpoint in checkpoints
        for path in ([checkpoint.root] if checkpoint.root else [header.path for header in checkpoint.files])
    ]


def _small_files(
    compilation: Compilation,
    index: int,
    shards: Layout,
    digests: Mapping[str, str],
    title: str,
    read: Callable[[Path], bytes],
) -> tuple[dict[str, bytes], tuple[Diagnostic, ...]]:
    """Return every file beside the weights by its path in the directory, the manifest last, and what they lack.

    `read` gives the bytes of a file that is copied; outputs with the same tokenizer share them.
    """
    recipe, save = compilation.recipe, compilation.recipe.saves[index]
    if index in compilation.extracted:
        files = {CONFIG: adapter_config(_adapted(compilation, index))}
        files[MANIFEST_NAME] = _manifest(compilation, save, shards, digests, files)
        return files, ()
    donor = compilation.checkpoints[save.config]
    alignment, tokens = compilation.alignments.saves[index], compilation.alignments.tokens.get(save.config)
    files = token_files(_tokenizers(compilation, index), read, alignment.joined, alignment.template)
    warnings: tuple[Diagnostic, ...] = ()
    if donor.config:
        found: Mapping[str, object] = donor.config
        lost: list[str] = []
        if tokens is not None and alignment.joined is not None:
            found, lost = renumbered(donor.config, tokens, alignment.joined)
        config = merged_config(
            found,
            dtype=_main_dtype(shards, compilation, index),
            stacks=_stacks(compilation, save, donor),
            tied=_tied(shards, donor),
            vocab_size=alignment.rows if save.vocabulary.exact or alignment.gathers else None,
        )
        files["config.json"], warnings = config.data, (*config.warnings, *([lost_warning(lost)] if lost else ()))
    parents = [compilation.checkpoints[model] for model in recipe.parents(save)]
    card = model_card(
        title,
        [_parent(parent) for parent in parents],
        recipe=compilation.source.text,
        mermaid=recipe_mermaid(recipe, [save]),
        licences=[licence_of(parent) for parent in parents],
    )
    files[CARD_NAME] = card.encode("utf-8", "replace")
    files[MANIFEST_NAME] = _manifest(compilation, save, shards, digests, files)
    return files, warnings


def _manifest(
    compilation: Compilation, save: Save, shards: Layout, digests: Mapping[str, str], files: Mapping[str, bytes]
) -> bytes:
    recipe = compilation.recipe
    return build_manifest(
        recipe=compilation.source.text,
        imports=recipe.imports,
        seed=recipe.seed,
        save={"path": save.path, "dtype": save.dtype},
        inputs=[input_model(compilation.checkpoints[parent]) for parent in recipe.parents(save)],
        versions=versions(),
        layout=shards,
        digests=digests,
        small_files=files,
    )


def _adapted(compilation: Compilation, index: int) -> Adapted:
    """Return what the configuration of an adapter says."""
    found, base = compilation.extracted[index], compilation.recipe.saves[index].value.inputs[1]
    ranks = {part.module: part.rank for part in found.parts if part.rank}
    saved = {part.module for part in found.parts} - ranks.keys()
    source = compilation.checkpoints[base].source if base.op == "model" else None
    return Adapted(ranks, tuple(sorted(saved)), found.transposed, source)


def _left_out(compilation: Compilation) -> Iterator[Diagnostic]:
    """Yield the warnings about tensors that differ from those of a base and that its adapter does not have."""
    for index, found in compilation.extracted.items():
        if found.left_out:
            message = f"these tensors of the model are not in the adapter: {listed(found.left_out)}"
            place = Label(compilation.recipe.saves[index].span)
            yield Diagnostic("MG390", message, (place,), severity="warning")


def _tokenizers(compilation: Compilation, index: int) -> list[Checkpoint]:
    """Return what the files beside the weights are copied from: of an adapter first from the model it belongs to."""
    tokenizer = compilation.alignments.saves[index].tokenizer
    nodes = [tokenizer] if tokenizer.op == "model" else [model_of(compilation.recipe.anchors[tokenizer]), tokenizer]
    return [compilation.checkpoints[node] for node in nodes]


def _extra(path: Path) -> bytes:
    return read_small(path, MAX_EXTRA_BYTES, "file beside the weights")


def _tied(shards: Layout, donor: Checkpoint) -> bool | None:
    """Return False where the output has a head of its own that the donor lacks, None where nothing has changed."""
    heads = [name for name in shards.shard_of if is_head(name)]
    return False if any(name not in donor.tensors for name in heads) else None


def _main_dtype(shards: Layout, compilation: Compilation, index: int) -> str:
    """Return the float type that most bytes of an output have."""
    sizes: dict[str, int] = {}
    for tensor in _tensors(compilation, index):
        dtype = tensor.root.tensor.dtype
        if dtype.kind == "float":
            sizes[dtype.name] = sizes.get(dtype.name, 0) + shards.slot(tensor.name).nbytes
    return max(sizes, key=lambda name: sizes[name], default="float32")


def _stacks(compilation: Compilation, save: Save, donor: Checkpoint) -> list[Stack]:
    """Return the stacks of the output whose layers are not those of the donor, and where each layer comes from."""
    origins = layer_origins(compilation, save.value)
    found = []
    for stack in donor.stacks:
        layers = origins.get(stack.prefix, {})
        if (layers and set(layers) != set(range(stack.count))) or any(o != (save.config, i) for i, o in layers.items()):
            sources = tuple(
                (compilation.checkpoints[model].config, number) for _, (model, number) in sorted(layers.items())
            )
            found.append(Stack(stack.prefix, stack.count, sources))
    return found


def layer_origins(compilation: Compilation, value: Node) -> dict[str, dict[int, tuple[Node, int]]]:
    """Return, for every layer of a value by stack and number, the model it is a change of and its number there."""
    namer = Namer(compilation.recipe, compilation.checkpoints, compilation.adapters)
    names = namer.names(value)
    found: dict[str, dict[int, tuple[Node, int]]] = {}
    for name in names.names:
        layer = split_layer(name, names.prefixes)
        if layer and layer.index not in found.setdefault(layer.prefix, {}):
            model, inner = namer.home(value, name)
            below = split_layer(inner, namer.names(model).prefixes)
            found[layer.prefix][layer.index] = model, below.index if below else layer.index
    return found


def _parent(checkpoint: Checkpoint) -> Parent:
    return Parent(checkpoint.source, checkpoint.source if checkpoint.commit else None, checkpoint.commit)


def input_model(checkpoint: Checkpoint) -> InputModel:
    """Return what the manifest says of an input."""
    files = tuple(InputFile(*stamp) for stamp in stamps(checkpoint))
    return InputModel(checkpoint.source, checkpoint.commit, files)
