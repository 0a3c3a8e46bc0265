"""Run a plan: the inputs opened, the units executed by dask, the outputs published."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from threading import Event, Lock, get_ident
from types import MappingProxyType
from typing import Any

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.checkpoint.reader import FileSet
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Span, listed
from mergegraph.execute.arena import Arena, Pool
from mergegraph.execute.compiled import Compiled
from mergegraph.execute.rows import read_rows
from mergegraph.execute.schedule import run_units
from mergegraph.execute.unit import Cancelled, Done, run_compute, run_copy
from mergegraph.ir.graph import InputRef, RowsRef
from mergegraph.machine import peak_resident_bytes, resident_bytes
from mergegraph.plan.measured import NOT_RUN
from mergegraph.plan.measured import Measured as UnitMeasured
from mergegraph.plan.plan import Copy, Plan, Report, Target, Unit
from mergegraph.system import give_back_what_is_freed
from mergegraph.write.directory import OutputDirectory
from mergegraph.write.layout import Layout

KERNELS = "mergegraph.execute.interpreted"
"""The module that loads torch, and with it the kernels."""

NO_TABLES: Mapping[str, Any] = MappingProxyType({})

LARGE_STATE = 8_000_000
"""Bytes of statistics that matter beside the buffers of a unit: numbers for many rows or columns, masks."""

MOST_AHEAD = 32_000_000
"""Bytes of each input of the next unit that are fetched into the page cache while a unit computes."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output while it is written: its directory, where each tensor lies in it, and the `save` that asks for it."""

    directory: OutputDirectory
    layout: Layout
    span: Span


@dataclass(slots=True)
class Progress:
    """Counts what has been read and written, from any thread, and tells `report` of every step."""

    report: Report
    bytes_read: int = 0
    bytes_written: int = 0
    read_by: Counter[int] = field(default_factory=Counter)
    written_by: Counter[int] = field(default_factory=Counter)
    """Bytes by the thread that has read or written them."""
    _lock: Lock = field(default_factory=Lock)

    def read(self, count: int, tensor: str) -> None:
        """Count bytes read."""
        with self._lock:
            self.bytes_read += count
            self.read_by[get_ident()] += count
        self.report(count, tensor)

    def written(self, count: int, tensor: str) -> None:
        """Count bytes written."""
        with self._lock:
            self.bytes_written += count
            self.written_by[get_ident()] += count
        self.report(count, tensor)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run took."""

    seconds: float
    bytes_read: int
    bytes_written: int
    peak_rss_bytes: int
    units: int
    warnings: tuple[Diagnostic, ...]
    analysis: tuple[UnitMeasured, ...] = ()
    """What every unit took, stage by stage, where it was asked for."""


class CheckpointReader:
    """Reads tensors of several checkpoints, whose files are open while it is entered."""

    def __init__(
        self, checkpoints: Sequence[Checkpoint], progress: Progress, tables: Mapping[str, Any] = NO_TABLES
    ) -> None:
        self._checkpoints = checkpoints
        self._tables = tables
        self._progress = progress
        self._first = [0]
        for checkpoint in checkpoints:
            self._first.append(self._first[-1] + len(checkpoint.files))
        headers = [header for checkpoint in checkpoints for header in checkpoint.files]
        self._files = FileSet([h.path for h in headers], [h.identity for h in headers])

    def __enter__(self) -> CheckpointReader:
        self._files.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(None, None, None)

    def read(self, ref: InputRef, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of a tensor from `offset` on; of rows, with those that there are."""
        tensor = self._checkpoints[ref.model].tensors[ref.name]
        if isinstance(ref, RowsRef):
            row = tensor.nbytes // tensor.shape[0]
            rows = self._tables[ref.table][ref.part][offset // row : (offset + len(buffer)) // row]
            read_rows(rows, row, buffer, lambda place, part: self._read(ref, tensor, place, part))
        else:
            self._read(ref, tensor, offset, buffer)

    def _read(self, ref: InputRef, tensor: Tensor, offset: int, buffer: memoryview) -> None:
        ahead = min(len(buffer), tensor.nbytes - offset - len(buffer))
        self._files.read_into(self._first[ref.model] + tensor.file, tensor.begin + offset, buffer, ahead)
        self._progress.read(len(buffer), ref.name)

    def expect(self, ref: InputRef, nbytes: int) -> None:
        """Have the first bytes of a tensor fetched, which will be read soon; which rows of one are read isn't known."""
        if not isinstance(ref, RowsRef):
            tensor = self._checkpoints[ref.model].tensors[ref.name]
            self._files.will_read(self._first[ref.model] + tensor.file, tensor.begin, min(nbytes, tensor.nbytes))

    def nbytes(self, ref: InputRef) -> int:
        """Return the size of a tensor."""
        return self._checkpoints[ref.model].tensors[ref.name].nbytes

    def check_unchanged(self) -> None:
        """Raise MergeGraphError (MG530) if an input was written to while it was read."""
        self._files.check_unchanged()


class OutputWriter:
    """Writes tensors into the outputs of a run."""

    def __init__(self, outputs: Sequence[Output], progress: Progress) -> None:
        self._outputs = outputs
        self._progress = progress

    def write(self, target: Target, offset: int, buffer: memoryview) -> None:
        """Write the bytes of a tensor from `offset` on."""
        output = self._outputs[target.save]
        shard = output.layout.shard_of[target.name]
        slot = output.layout.shards[shard].tensors[target.name]
        output.directory.write(shard, slot.offset + offset, buffer)
        self._progress.written(len(buffer), target.name)

    def record(self, digests: Mapping[Target, str]) -> None:
        """Declare tensors finished."""
        for target, digest in digests.items():
            self._outputs[target.save].directory.record({target.name: digest})

    def located(self, error: BaseException, unit: Unit) -> BaseException:
        """Return an error that names no place in the recipe with that of the output it happened in."""
        if not isinstance(error, MergeGraphError) or not unit.targets:
            return error
        label = Label(self._outputs[unit.targets[0].save].span, "for this output")
        return MergeGraphError(*(d if d.labels else replace(d, labels=(label,)) for d in error.diagnostics))

    def finished(self, target: Target) -> bool:
        """Tell whether an earlier run has finished a tensor."""
        return target.name in self._outputs[target.save].directory.done


def run_plan(
    plan: Plan,
    checkpoints: Sequence[Checkpoint],
    outputs: Sequence[Output],
    report: Report,
    tables: Mapping[str, Any] = NO_TABLES,
    *,
    analyze: bool = False,
    compiled: Compiled | None = None,
) -> Measured:
    """Execute every unit that is not done yet; the outputs are complete then, and not yet published.

    `tables` are the tables of rows by name. With `analyze` it is measured what each unit takes. `compiled` is the plan
    compiled, where it is to run so. Whatever goes wrong is raised after all workers have stopped: MergeGraphError, or
    KeyboardInterrupt.
    """
    started = time.monotonic()
    progress = Progress(report)
    writer = OutputWriter(outputs, progress)
    with CheckpointReader(checkpoints, progress, tables) as reader:
        execution = _Execution(reader, writer, tables, progress if analyze else None, compiled)
        waiting = [rank for rank, unit in enumerate(plan.units) if not all(map(writer.finished, unit.targets))]
        for earlier in plan.before if waiting else ():
            execution.run(earlier, range(len(earlier.units)))
        execution.run(plan, waiting)
        reader.check_unchanged()
    return Measured(
        time.monotonic() - started,
        progress.bytes_read,
        progress.bytes_written,
        peak_resident_bytes(),
        len(plan.units),
        _not_finite(execution.nonfinite),
        execution.analysis(plan) if analyze else (),
    )


def load_kernels() -> None:
    """Load the kernels now, so that the memory they take is seen when a plan is made."""
    give_back_what_is_freed()
    import_module(KERNELS)


def run_stages(
    stages: Sequence[Plan],
    checkpoints: Sequence[Checkpoint],
    report: Report,
    tables: Mapping[str, Any] = NO_TABLES,
) -> tuple[Mapping[str, Any], Measured]:
    """Execute plans that write nothing; return the statistics that their units found, by name, and what it took.

    They end as `run_plan` does.
    """
    started = time.monotonic()
    progress = Progress(report)
    with CheckpointReader(checkpoints, progress, tables) as reader:
        execution = _Execution(reader, OutputWriter((), progress), tables)
        for stage in stages:
            execution.run(stage, range(len(stage.units)))
        reader.check_unchanged()
    seconds, units = time.monotonic() - started, sum(len(stage.units) for stage in stages)
    return execution.totals, Measured(seconds, progress.bytes_read, 0, peak_resident_bytes(), units, ())


class _Execution:
    """Runs the stages of a merge, one after the other; what units find out about whole models is in `totals`."""

    def __init__(
        self,
        reader: CheckpointReader,
        writer: OutputWriter,
        tables: Mapping[str, Any] = NO_TABLES,
        analyzed: Progress | None = None,
        compiled: Compiled | None = None,
    ) -> None:
        self._analyzed = analyzed
        self._compiled = compiled
        self._spent: dict[tuple[int, int], UnitMeasured] = {}
        self.reader = reader
        self.writer = writer
        self.tables = tables
        self.nonfinite: dict[Target, int] = {}
        self.totals: dict[str, Any] = {}
        self._pool = Pool()
        self._cancelled = Event()
        self._failures: list[BaseException] = []

    def run(self, stage: Plan, ranks: Iterable[int]) -> None:
        """Run the units of a stage that have these ranks."""
        try:
            run_units(
                partial(self._execute, stage),
                {rank: stage.units[rank].peak_bytes for rank in ranks},
                capacity=stage.budget_bytes - stage.baseline_bytes,
                workers=stage.workers,
                finished=self._finished,
                stop=self._cancelled.set,
            )
        except Cancelled:
            # A unit that was cancelled may be heard of before the one that failed.
            raise self._failures[0] from None

    def analysis(self, plan: Plan) -> tuple[UnitMeasured, ...]:
        """Return what the units of all stages of a plan took, in order."""
        places = ((id(stage), rank) for stage in (*plan.before, plan) for rank in range(len(stage.units)))
        return tuple(self._spent.get(place, NOT_RUN) for place in places)

    def _execute(self, stage: Plan, rank: int) -> Done:
        if self._analyzed is None:
            return self._execute_unit(stage, rank)
        moved, me, started = self._analyzed, get_ident(), time.monotonic()
        read, written = moved.read_by[me], moved.written_by[me]
        done = self._execute_unit(stage, rank)
        self._spent[id(stage), rank] = UnitMeasured(
            time.monotonic() - started, resident_bytes(), moved.read_by[me] - read, moved.written_by[me] - written
        )
        return done

    def _execute_unit(self, stage: Plan, rank: int) -> Done:
        unit = stage.units[rank]
        arena = self._pool.take(unit.peak_bytes)
        try:
            for later in stage.units[rank + stage.workers : rank + stage.workers + 1]:
                self._expect(stage, later)
            done = self._unit(stage, unit, arena)
            self.writer.record(done.digests)
            return done
        except Cancelled:
            raise
        except BaseException as error:
            self._failures.append(self.writer.located(error, unit))
            self._cancelled.set()
            raise self._failures[-1] from error.__cause__
        finally:
            self._pool.give(arena)

    def _expect(self, stage: Plan, unit: Unit) -> None:
        """Have the first windows of a unit fetched, and what the page cache has room for beside them."""
        share = stage.cache_bytes // (stage.workers * max(1, len(unit.inputs)))
        if isinstance(unit, Copy):
            windows = [unit.window] * len(unit.sources)
        else:
            windows = [tensor.dtype.nbytes(unit.window) for tensor in stage.programs[unit.program].inputs]
        for ref, window in zip(unit.inputs, windows, strict=True):
            self.reader.expect(ref, min(max(window, share), MOST_AHEAD))

    def _unit(self, stage: Plan, unit: Unit, arena: Arena) -> Done:
        if isinstance(unit, Copy):
            return run_copy(unit, self.reader, self.writer, arena, self._cancelled)
        program = stage.programs[unit.program]
        if program.state_bytes > LARGE_STATE:
            # What an earlier unit has left in a larger arena would come on top of the state.
            arena.release(unit.peak_bytes - program.state_bytes)
        steps = self._compiled.steps(program) if self._compiled else None
        return run_compute(
            unit, program, self.reader, self.writer, arena, self._cancelled, self.totals, self.tables, steps
        )

    def _finished(self, _: int, done: Done) -> None:
        self.nonfinite.update(done.nonfinite)
        for name, share in done.shares:
            self.totals[name] = self.totals.get(name, 0) + share


def _not_finite(found: Mapping[Target, int]) -> tuple[Diagnostic, ...]:
    """Return a warning of the tensors with elements that are NaN or infinite, if there are any, the worst first."""
    if not found:
        return ()
    names = dict.fromkeys(t.name for t in sorted(found, key=lambda t: (-found[t], t.name, t.save)))
    tensors = f"{len(found)} merged tensors" if len(found) > 1 else "a merged tensor"
    count = sum(found.values())
    elements = "1 element" if count == 1 else f"{count:,} elements"
    message = f"{elements} of {tensors} {'is' if count == 1 else 'are'} NaN or infinite: {listed(names)}"
    help = ("an input has such elements, or `dtype` is too narrow for the values",)
    return (Diagnostic("MG453", message, help=help, severity="warning"),)
