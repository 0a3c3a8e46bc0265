"""Run a plan: the inputs opened, the units executed by dask, the outputs published."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

import torch

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.reader import FileSet
from mergegraph.diagnostics import Diagnostic, escape
from mergegraph.execute.arena import Pool
from mergegraph.execute.schedule import run_units
from mergegraph.execute.unit import Cancelled, Done, run_compute, run_copy
from mergegraph.ir.graph import TensorRef
from mergegraph.machine import peak_resident_bytes
from mergegraph.plan.plan import Compute, Plan, Target
from mergegraph.write.directory import OutputDirectory
from mergegraph.write.layout import Layout


@dataclass(frozen=True, slots=True)
class Output:
    """One output while it is written: its directory and where each tensor lies in it."""

    directory: OutputDirectory
    layout: Layout


@dataclass(slots=True)
class Progress:
    """Counts what has been read and written, from any thread, and tells `report` of every step."""

    report: Callable[[int], None] = lambda _: None
    bytes_read: int = 0
    bytes_written: int = 0
    _lock: Lock = field(default_factory=Lock)

    def read(self, count: int) -> None:
        """Count bytes read."""
        with self._lock:
            self.bytes_read += count
        self.report(count)

    def written(self, count: int) -> None:
        """Count bytes written."""
        with self._lock:
            self.bytes_written += count
        self.report(count)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run took."""

    seconds: float
    bytes_read: int
    bytes_written: int
    peak_rss_bytes: int
    units: int
    warnings: tuple[Diagnostic, ...]


class CheckpointReader:
    """Reads tensors of several checkpoints, whose files are open while it is entered."""

    def __init__(self, checkpoints: Sequence[Checkpoint], progress: Progress) -> None:
        self._checkpoints = checkpoints
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

    def read(self, ref: TensorRef, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of a tensor from `offset` on."""
        tensor = self._checkpoints[ref.model].tensors[ref.name]
        self._files.read_into(self._first[ref.model] + tensor.file, tensor.begin + offset, buffer)
        self._progress.read(len(buffer))

    def nbytes(self, ref: TensorRef) -> int:
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
        self._progress.written(len(buffer))

    def record(self, digests: Mapping[Target, str]) -> None:
        """Declare tensors finished."""
        for target, digest in digests.items():
            self._outputs[target.save].directory.record({target.name: digest})

    def finished(self, target: Target) -> bool:
        """Tell whether an earlier run has finished a tensor."""
        return target.name in self._outputs[target.save].directory.done


def run_plan(
    plan: Plan, checkpoints: Sequence[Checkpoint], outputs: Sequence[Output], report: Callable[[int], None]
) -> Measured:
    """Execute every unit that is not done yet; the outputs are complete then, and not yet published.

    `report` is told of every number of bytes read or written, in any thread. Whatever goes wrong is raised after all
    workers have stopped: MergeGraphError, or KeyboardInterrupt.
    """
    started = time.monotonic()
    progress = Progress(report)
    cancelled = Event()
    pool = Pool()
    nonfinite: dict[Target, int] = {}
    failures: list[BaseException] = []
    writer = OutputWriter(outputs, progress)
    waiting = {
        rank: unit.peak_bytes for rank, unit in enumerate(plan.units) if not all(map(writer.finished, unit.targets))
    }

    totals: dict[str, Any] = {}

    with ExitStack() as stack:
        reader = stack.enter_context(CheckpointReader(checkpoints, progress))

        def run(stage: Plan, waiting: dict[int, int]) -> None:
            def execute(rank: int) -> Done:
                # Parallelism is over units; a thread pool inside each operation would only compete with it.
                torch.set_num_threads(1)
                unit = stage.units[rank]
                arena = pool.take(unit.peak_bytes)
                try:
                    if isinstance(unit, Compute):
                        program = stage.programs[unit.program]
                        done = run_compute(unit, program, reader, writer, arena, cancelled, totals)
                    else:
                        done = run_copy(unit, reader, writer, arena, cancelled)
                    writer.record(done.digests)
                    return done
                except Cancelled:
                    raise
                except BaseException as error:
                    failures.append(error)
                    cancelled.set()
                    raise
                finally:
                    pool.give(arena)

            def finished(_: int, done: Done) -> None:
                nonfinite.update(done.nonfinite)
                for name, share in done.shares:
                    totals[name] = totals.get(name, 0) + share

            capacity = stage.budget_bytes - stage.baseline_bytes
            try:
                run_units(
                    execute, waiting, capacity=capacity, workers=stage.workers, finished=finished, stop=cancelled.set
                )
            except Cancelled:
                # A unit that was cancelled may be heard of before the one that failed.
                raise failures[0] from None

        for earlier in plan.before if waiting else ():
            run(earlier, {rank: unit.peak_bytes for rank, unit in enumerate(earlier.units)})
        run(plan, waiting)
        reader.check_unchanged()
    return Measured(
        time.monotonic() - started,
        progress.bytes_read,
        progress.bytes_written,
        peak_resident_bytes(),
        len(plan.units),
        tuple(_not_finite(target, count) for target, count in sorted(nonfinite.items(), key=lambda i: i[0].name)),
    )


def _not_finite(target: Target, count: int) -> Diagnostic:
    return Diagnostic(
        "MG453",
        f"{count} elements of the merged tensor `{escape(target.name)}` are NaN or infinite",
        help=("an input has such elements, or `dtype` is too narrow for the values",),
        severity="warning",
    )
