"""Run one unit: read, compute tile by tile, write, hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape, listed
from mergegraph.dtypes import Dtype
from mergegraph.execute.arena import Arena
from mergegraph.execute.buffers import Buffers, Spot
from mergegraph.execute.steps import Call, Segment, Step, Steps, is_tile, native
from mergegraph.ir.graph import InputRef
from mergegraph.kernels.finite import count_nonfinite
from mergegraph.kernels.scalars import SCALARS
from mergegraph.ops import OPS, Locality
from mergegraph.plan.plan import Compute, Copy, Target, output_window, phase_window, sample_starts
from mergegraph.plan.program import SAMPLE_SHARE, SAMPLED_FROM, TILE, Instruction, Operand, Phase, Program
from mergegraph.write.digest import TensorDigest

if TYPE_CHECKING:
    from mergegraph.execute.interpreted import Interpreter


class Cancelled(Exception):
    """Leave a unit because the run is over."""


class Inputs(Protocol):
    """Reads bytes of input tensors."""

    def read(self, ref: InputRef, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of a tensor from `offset` on."""

    def nbytes(self, ref: InputRef) -> int:
        """Return the size of a tensor."""


class Outputs(Protocol):
    """Writes bytes of output tensors."""

    def write(self, target: Target, offset: int, buffer: memoryview) -> None:
        """Write the bytes of a tensor from `offset` on."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a unit leaves behind: the digest of every tensor it wrote, how many of their elements are not finite, and
    what it adds to statistics of whole models."""

    digests: dict[Target, str]
    nonfinite: dict[Target, int]
    shares: tuple[tuple[str, Any], ...] = ()


def run_compute(
    unit: Compute,
    program: Program,
    inputs: Inputs,
    outputs: Outputs,
    arena: Arena,
    cancelled: Event,
    totals: Mapping[str, Any] = MappingProxyType({}),
    tables: Mapping[str, Any] = MappingProxyType({}),
    steps: Steps | None = None,
) -> Done:
    """Compute a unit's tensors and write them. Cancelled when the run ends meanwhile.

    `totals` are the statistics of whole models that have been found, `tables` those of rows. `steps` are what takes the
    place of the instructions of each phase, where they are compiled.
    """
    try:
        found = (*(totals[name] for name in unit.totals), *(tables[name] for name in unit.tables))
        given = [*unit.keys, *unit.numbers, *found]
        return _Run(unit, program, inputs, outputs, arena, cancelled, given, steps).run()
    except MergeGraphError as error:
        read = (*unit.inputs, *unit.matrices)
        place = listed(dict.fromkeys(x.name for x in unit.targets or read))
        raise MergeGraphError(*(d if d.place else replace(d, place=place) for d in error.diagnostics)) from None


def run_copy(unit: Copy, inputs: Inputs, outputs: Outputs, arena: Arena, cancelled: Event) -> Done:
    """Copy a tensor, after comparing all its sources. MergeGraphError (MG541) where they differ."""
    digest = TensorDigest()
    first, others = unit.sources[0], unit.sources[1:]
    size = inputs.nbytes(first)
    here, there = arena.bytes(min(unit.window, size)), arena.bytes(min(unit.window, size) if others else 0)
    for start in range(0, size, unit.window):
        if cancelled.is_set():
            raise Cancelled
        part = here[: min(unit.window, size - start)]
        inputs.read(first, start, part)
        for other in others:
            inputs.read(other, start, there[: len(part)])
            if part != there[: len(part)]:
                raise MergeGraphError(_differ(unit))
        digest.update(part)
        outputs.write(unit.target, start, part)
    return Done({unit.target: digest.label}, {})


def _differ(unit: Copy) -> Diagnostic:
    return Diagnostic(
        "MG541",
        f"the tensor `{escape(unit.target.name)}` is not of a float type, and differs between the inputs",
        help=("no average of it means anything: take it from one model with `select`",),
    )


class _Run:
    def __init__(
        self,
        unit: Compute,
        program: Program,
        inputs: Inputs,
        outputs: Outputs,
        arena: Arena,
        cancelled: Event,
        given: Sequence[Any],
        steps: Steps | None,
    ) -> None:
        self.unit = unit
        self.program = program
        self.files = inputs
        self.writer = outputs
        self.cancelled = cancelled
        self.elements = program.elements
        self.window = max(1, unit.window)
        self.written = max(1, output_window(program, self.window, resident=unit.resident))
        self.buffers = Buffers.of(program, arena, self.window, self.written)
        self.scalars: list[Any] = []
        held = self._interpreter.matrices() if program.matrices else []
        self.scalars += [*given, *held, *[None] * (program.scalars - program.given)]
        self.digests = [TensorDigest() for _ in unit.targets]
        self.nonfinite = [0] * len(unit.targets)
        self.held: set[int] = set()
        self.steps = steps or tuple(phase.tiles for phase in program.phases)

    @cached_property
    def _interpreter(self) -> Interpreter:
        from mergegraph.execute.interpreted import Interpreter

        return Interpreter(self.program, self.buffers, self.scalars)

    def run(self) -> Done:
        for ref, matrix in zip(self.unit.matrices, self.buffers.matrices, strict=True):
            self.files.read(ref, 0, matrix.raw)
        self._arithmetic(self.program.prologue)
        for phase, steps in zip(self.program.phases, self.steps, strict=True):
            self._phase(phase, steps)
        statistics = [self.scalars[slot] for slot in self.program.shares]
        tensors = enumerate(self.program.written, len(self.program.outputs))
        for (index, tensor), values in zip(tensors, statistics, strict=False):
            self._finish(index, 0, memoryview(values.numpy()).cast("B"), tensor.dtype)
        digests = {target: digest.label for target, digest in zip(self.unit.targets, self.digests, strict=True)}
        counts = zip(self.unit.targets, self.nonfinite, strict=True)
        shares = zip(self.unit.shares, statistics[len(self.program.written) :], strict=True)
        return Done(digests, {target: count for target, count in counts if count}, tuple(shares))

    def _phase(self, phase: Phase, steps: Sequence[Step]) -> None:
        scans = self._scans(phase, steps, {})
        self._pass(phase, scans, steps)
        while again := {i: scan for i, scan in scans.items() if i.op == "magnitude_limit" and scan.again()}:
            # What the others have found is let go before they begin anew.
            scans = again
            scans = self._scans(phase, steps, again)
            self._pass(replace(phase, writes=()), scans, steps)
        for instruction, scan in scans.items():
            if instruction.out.kind == "scalar":
                self.scalars[instruction.out.index] = scan.result()
        self._arithmetic(phase.scalars)

    def _scans(self, phase: Phase, steps: Sequence[Step], kept: Mapping[Instruction, Any]) -> dict[Instruction, Any]:
        """Return what runs each reduction and scan of a phase: of C if it is compiled, else its kernel."""
        found = dict(kept)
        for step in steps:
            if isinstance(step, Segment):
                found |= {scan: self._native(scan, phase) for scan in step.scans if scan not in kept}
            elif _stateful(step) and step not in kept:
                found[step] = self._interpreter.kernel(step, self._given(step), _settings(step))
        return found

    def _native(self, scan: Instruction, phase: Phase) -> Any:
        parts = SAMPLE_SHARE if self._in_part(scan, phase) else 1
        return native(scan, self._given(scan), _settings(scan), parts, self.program.row)

    def _given(self, scan: Instruction) -> tuple[Any, ...]:
        return tuple(self._scalar(x) for x in scan.inputs if not is_tile(x))

    def _pass(self, phase: Phase, scans: Mapping[Instruction, Any], steps: Sequence[Step]) -> None:
        """Run the steps of a phase over the tiles of its inputs."""
        (self._sample if phase.sampled else self._all)(phase, scans, steps)

    def _in_part(self, scan: Instruction, phase: Phase) -> bool:
        """Tell whether a reduction is shown a part of each tile, since it is content with a sample."""
        return scan.op == "magnitude_sample" and not phase.sampled and self.elements >= SAMPLED_FROM

    def _all(self, phase: Phase, scans: Mapping[Instruction, Any], steps: Sequence[Step]) -> None:
        """Run the steps over all tiles, a window of the outputs at a time: what was just read is in the cache then."""
        window = phase_window(self.program, phase, self.written)
        tile = window if self._whole(phase, steps) else self.program.row_tile if phase.rows else TILE
        for start in range(0, self.elements, window):
            count = min(window, self.elements - start)
            offset = start if self.unit.resident else 0
            self._read(phase, start, count, offset)
            places = range(0, count, tile)
            self._tiles(phase, scans, steps, [Spot(start + i, offset + i, min(tile, count - i)) for i in places])
            self._write(phase, start, count)
        self.held.update(phase.reads if self.unit.resident else ())

    def _whole(self, phase: Phase, steps: Sequence[Step]) -> bool:
        """Tell whether the steps can take a window at once: they keep nothing for each other."""
        return all(
            isinstance(step, Segment)
            and all(place.kind != "register" for place in step.places)
            and not any(self._in_part(scan, phase) for scan in step.scans)
            for step in steps
        )

    def _sample(self, phase: Phase, scans: Mapping[Instruction, Any], steps: Sequence[Step]) -> None:
        """Run the steps over some of the tiles: where they are held, or read side by side into the window."""
        starts, size = sample_starts(self.program, phase)
        if self.unit.resident:
            self._read(phase, 0, self.elements)
            self.held.update(phase.reads)
            self._tiles(phase, scans, steps, [Spot(i, i, min(size, self.elements - i)) for i in starts])
            return
        step = max(1, phase_window(self.program, phase, self.window) // size)
        for first in range(0, len(starts), step):
            batch = enumerate(starts[first : first + step])
            spots = [Spot(i, place * size, min(size, self.elements - i)) for place, i in batch]
            for spot in spots:
                self._read(phase, spot.start, spot.count, spot.offset)
            self._tiles(phase, scans, steps, spots)

    def _read(self, phase: Phase, start: int, count: int, offset: int = 0) -> None:
        """Read `count` elements from `start` on into the windows, `offset` elements from their begin.

        Inputs that are `held` as a whole are there already.
        """
        if self.cancelled.is_set():
            raise Cancelled
        for index in phase.reads:
            if index in self.held:
                continue
            dtype = self.program.inputs[index].dtype
            buffer = self.buffers.inputs[index].raw[dtype.nbytes(offset) : dtype.nbytes(offset + count)]
            self.files.read(self.unit.inputs[index], dtype.nbytes(start), buffer)

    def _tiles(
        self, phase: Phase, scans: Mapping[Instruction, Any], steps: Sequence[Step], spots: Sequence[Spot]
    ) -> None:
        """Run the steps on tiles."""
        if self.cancelled.is_set():
            raise Cancelled
        compiled = all(isinstance(step, Segment) for step in steps)
        views = None if compiled else self._interpreter.views(spots, rows=phase.rows)
        calls: list[Call] = []
        for step in steps:
            if isinstance(step, Segment):
                calls.append(self._segment(step, scans, spots))
            else:
                assert views is not None
                in_part = self._in_part(step, phase)
                calls.append(self._interpreter.calls(step, scans.get(step), views, in_part=in_part))
        for number in range(len(spots)):
            for function, arguments in calls:
                function(*arguments[number])

    def _segment(self, segment: Segment, scans: Mapping[Instruction, Any], spots: Sequence[Spot]) -> Call:
        """Return a compiled function and its arguments for every tile."""
        states = [scans[scan].state for scan in segment.scans]
        places = [self.buffers.addresses(place, spots) for place in segment.places]
        tiles = zip(*places, strict=True) if places else repeat((), len(spots))
        where = [(spot.start, spot.count) for spot in spots]
        return segment.function, segment.arguments(where, tiles, self._scalar, states)

    def _scalar(self, operand: Operand) -> Any:
        return operand if isinstance(operand, float) else self.scalars[operand.index]

    def _arithmetic(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            op = instruction.op
            function = OPS[op].scalar or SCALARS.get(op) or self._interpreter.function_of_matrices(op)
            operands = [self._scalar(x) for x in instruction.inputs]
            self.scalars[instruction.out.index] = function(*operands, **dict(instruction.attributes))

    def _write(self, phase: Phase, start: int, count: int) -> None:
        for index in phase.writes:
            dtype = self.program.outputs[index].dtype
            self._finish(index, dtype.nbytes(start), self.buffers.outputs[index].raw[: dtype.nbytes(count)], dtype)

    def _finish(self, index: int, offset: int, data: memoryview, dtype: Dtype) -> None:
        """Take in the bytes of an output from `offset` on, and write them."""
        self.nonfinite[index] += count_nonfinite(data, dtype)
        self.digests[index].update(data)
        self.writer.write(self.unit.targets[index], offset, data)


def _settings(scan: Instruction) -> dict[str, Any]:
    return {name: value for name, value in scan.attributes if name != "shape"}


def _stateful(instruction: Instruction) -> bool:
    op = OPS[instruction.op]
    return op.locality is not Locality.POINTWISE and op.kernel is None
