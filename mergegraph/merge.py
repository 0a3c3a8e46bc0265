"""Run a compiled recipe: from a plan to published model directories."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from mergegraph.checkpoint.checkpoint import Checkpoint, download
from mergegraph.checkpoint.hub import Downloading, unseen
from mergegraph.compiler import Compilation, resources
from mergegraph.diagnostics import Diagnostic, Label, listed
from mergegraph.lower.extract import Extracted
from mergegraph.outputs.identity import fingerprints, plan_hash, versions
from mergegraph.outputs.places import at_save, input_paths, make_parents, output_paths, refuse_targets, remove_empty
from mergegraph.outputs.shards import layout
from mergegraph.outputs.small_files import fetch_small_files, read_extra, small_files
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Plan, Planned, Report, Unit, silent
from mergegraph.plan.planner import unit_reads, unit_writes
from mergegraph.write.directory import OutputDirectory, commit_all
from mergegraph.write.layout import Layout

if TYPE_CHECKING:
    from mergegraph.execute.compiled import Compiled

CACHED_SHARE = 0.5
"""The share of the page cache that outputs may fill. If they are larger, they would push out inputs."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: nothing here changes a byte of the output."""

    memory: int | None = None
    workers: int | None = None
    overwrite: bool = False
    resume: bool = False
    analyze: bool = False
    compile: bool | None = None
    """Whether to compile the arithmetic; None: where that pays, if there is a compiler."""


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
    from mergegraph.execute.run import Output, run_plan

    targets = output_paths(compilation.recipe.saves, out)
    start = _started(compilation, out, targets, options, planned, downloading)
    compilation, plan, compiled = start.compilation, start.plan, start.compiled
    checkpoints = _checkpoints(compilation)
    layouts = [layout(compilation, index) for index in range(len(targets))]
    with ExitStack() as stack:
        stack.callback(remove_empty, make_parents(targets, checkpoints))
        cached = sum(shards.nbytes for shards in layouts) <= CACHED_SHARE * plan.cache_bytes
        directories = _directories(compilation, out, targets, layouts, options, cached=cached)
        outputs = [stack.enter_context(output) for output in directories]
        download(compilation.needed, downloading)
        fetch_small_files(compilation)
        done = [unit for unit in plan.units if all(t.name in outputs[t.save].done for t in unit.targets)]
        measured = run_plan(
            plan,
            checkpoints,
            [Output(*each) for each in zip(outputs, layouts, (s.span for s in compilation.recipe.saves), strict=True)],
            start.report(_moved(done, plan, compilation)),
            compilation.alignments.tables,
            analyze=options.analyze,
            compiled=compiled,
        )
        warnings = [*(compiled.warnings if compiled else ()), *measured.warnings, *_left_out(compilation)]
        warnings += _publish(compilation, targets, layouts, outputs)
    return Result(
        tuple(targets),
        start.seconds + measured.seconds,
        start.bytes_read + measured.bytes_read,
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


@dataclass(frozen=True, slots=True)
class _Start:
    """What is to be run, and what it took to find that out; `report` begins to report from so many bytes on."""

    compilation: Compilation
    plan: Plan
    compiled: Compiled | None
    report: Callable[[int], Report]
    seconds: float = 0.0
    bytes_read: int = 0


def _started(
    compilation: Compilation,
    out: Path | None,
    targets: Sequence[Path],
    options: Options,
    planned: Planned,
    downloading: Downloading,
) -> _Start:
    """Return the plan to run. If outputs are adapters, models are read first to find out what those hold."""
    from mergegraph.execute.run import load_kernels

    if not compilation.extracted:
        plan, compiled = _plan(compilation, options)
        return _Start(compilation, plan, compiled, partial(planned, plan))
    compilation.stages(options.memory)
    load_kernels()
    # What the first stages leave in memory is what the margin is for: the next plan keeps to what was found here.
    within = resources(options.memory, options.workers)
    plan = compilation.plan(within=within)
    if not options.resume:
        refuse_targets(compilation.recipe.saves, targets, out, overwrite=options.overwrite)
    download(compilation.needed, downloading)
    report = planned(plan, 0)
    most = plan.bytes_read + plan.bytes_written
    compilation, seconds, bytes_read = _decided(compilation, plan, report)
    compiled = _compiled(compilation, options)
    plan = compilation.plan(within=within)
    report(max(0, most - bytes_read - plan.bytes_read - plan.bytes_written), "")

    def go_on(moved: int) -> Report:
        report(moved, "")
        return report

    return _Start(compilation, plan, compiled, go_on, seconds, bytes_read)


def _plan(compilation: Compilation, options: Options) -> tuple[Plan, Compiled | None]:
    """Return the plan, and what of it is compiled.

    Everything that takes memory is loaded before the plan is made, so that the budget holds for all of it. That the
    kernels are not needed turns out when a plan is compiled.
    """
    from mergegraph.execute.run import KERNELS, load_kernels

    stages = compilation.stages(options.memory)
    compiled = _compiled(compilation, options)
    if compiled is None or not compiled.is_all_of(stages) or KERNELS in sys.modules:
        load_kernels()
    return compilation.plan(within=resources(options.memory, options.workers)), compiled


def _compiled(compilation: Compilation, options: Options) -> Compiled | None:
    if options.compile is False:
        return None
    from mergegraph.execute.compiled import compile_stages

    return compile_stages(compilation.stages(options.memory), always=options.compile is True)


def _checkpoints(compilation: Compilation) -> list[Checkpoint]:
    return [compilation.checkpoints[model] for model in compilation.recipe.models]


def _directories(
    compilation: Compilation,
    out: Path | None,
    targets: Sequence[Path],
    layouts: Sequence[Layout],
    options: Options,
    *,
    cached: bool,
) -> Iterator[OutputDirectory]:
    """Yield the directory of each output, begun or taken up again."""
    for save, target, shards in zip(compilation.recipe.saves, targets, layouts, strict=True):
        with at_save(save, out):
            directory = OutputDirectory.create(
                target,
                shards,
                plan_hash=plan_hash(compilation, save),
                fingerprints=fingerprints(compilation),
                versions=versions(),
                inputs=input_paths(_checkpoints(compilation)),
                overwrite=options.overwrite,
                resume=options.resume,
                cached=cached,
            )
        yield directory


def _publish(
    compilation: Compilation, targets: Sequence[Path], layouts: Sequence[Layout], outputs: Sequence[OutputDirectory]
) -> list[Diagnostic]:
    """Give all outputs their files beside the weights and their names; return what those files lack."""
    warnings: list[Diagnostic] = []
    finished = []
    read = cache(read_extra)
    for index, (target, shards, output) in enumerate(zip(targets, layouts, outputs, strict=True)):
        output.flush()
        files, found = small_files(compilation, index, shards, output.done, target.name, read)
        warnings += found
        finished.append((output, files))
    commit_all(finished)
    return warnings


def _moved(done: Sequence[Unit], plan: Plan, compilation: Compilation) -> int:
    """Return how many bytes of a plan the units that are done have read and written."""
    if len(done) == len(plan.units):
        return plan.bytes_read + plan.bytes_written
    return sum(
        unit_reads(unit, plan.programs, compilation.tensor) + unit_writes(unit, plan.programs, compilation.tensor)
        for unit in done
    )


def _decided(compilation: Compilation, plan: Plan, report: Report) -> tuple[Compilation, float, int]:
    """Return the compilation that knows what its adapters hold; finding out took so many seconds and bytes read."""
    from mergegraph.execute.run import run_stages

    found, measured = run_stages(plan.before, _checkpoints(compilation), report, compilation.alignments.tables)
    decisions = {t.name: tuple(map(float, found[t.name])) for e in compilation.extracted.values() for t in e.questions}
    return compilation.decided(decisions), measured.seconds, measured.bytes_read


def _left_out(compilation: Compilation) -> Iterator[Diagnostic]:
    """Yield the warnings about tensors that differ from those of a base and that its adapter does not have."""
    for index, found in compilation.extracted.items():
        if found.left_out:
            message = f"these tensors of the model are not in the adapter: {listed(found.left_out)}"
            place = Label(compilation.recipe.saves[index].span)
            yield Diagnostic("MG390", message, (place,), severity="warning")
