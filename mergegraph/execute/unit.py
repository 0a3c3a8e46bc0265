"""Run one unit: read, compute tile by tile, write, hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ctypes import Structure
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from threading import Event
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import torch

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape, listed
from mergegraph.dtypes import FLOAT32
from mergegraph.execute.agreement import lend
from mergegraph.execute.arena import Arena
from mergegraph.execute.compiled import Segment, Step, Steps
from mergegraph.ir.graph import InputRef
from mergegraph.kernels import POINTWISE, REDUCTIONS, SCALARS, SCANS, MagnitudeLimit, Tile, count_nonfinite
from mergegraph.ops import OPS, Locality, Op
from mergegraph.plan.plan import Compute, Copy, Target, buffer_window, output_window, phase_window, sample_starts
from mergegraph.plan.program import SAMPLE_SHARE, SAMPLED_FROM, TILE, Instruction, Operand, Phase, Place, Program
from mergegraph.write.digest import TensorDigest

Call: TypeAlias = tuple[Callable[..., None], list[tuple[Any, ...]]]
"""A function, and its arguments for every tile."""

Lent: TypeAlias = Mapping[Instruction, Structure]
"""The states of the reductions and scans that are compiled."""


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
        window, written = buffer_window(program, self.window), buffer_window(program, self.written)
        self.inputs = [arena.tensor(t.dtype, window) for t in program.inputs]
        self.outputs = [arena.tensor(t.dtype, written) for t in program.outputs]
        self.registers = [arena.tensor(FLOAT32, program.register_elements)[0] for _ in range(program.registers)]
        self.matrices = [arena.tensor(t.dtype, t.count) for t in program.matrices]
        held = [matrix.view(t.shape) for (matrix, _), t in zip(self.matrices, program.matrices, strict=True)]
        self.scalars: list[Any] = [*given, *held, *[None] * (program.scalars - program.given)]
        self.digests = [TensorDigest() for _ in unit.targets]
        self.nonfinite = [0] * len(unit.targets)
        self.loaded: set[int] = set()
        self.steps = steps or tuple(phase.tiles for phase in program.phases)

    def run(self) -> Done:
        for ref, (_, raw) in zip(self.unit.matrices, self.matrices, strict=True):
            self.files.read(ref, 0, raw)
        self._arithmetic(self.program.prologue)
        for phase, steps in zip(self.program.phases, self.steps, strict=True):
            self._phase(phase, steps)
        statistics = [self.scalars[slot] for slot in self.program.shares]
        for index, values in enumerate(statistics[: len(self.program.written)], len(self.program.outputs)):
            self._write_statistic(index, values)
        digests = {target: digest.label for target, digest in zip(self.unit.targets, self.digests, strict=True)}
        counts = zip(self.unit.targets, self.nonfinite, strict=True)
        shares = zip(self.unit.shares, statistics[len(self.program.written) :], strict=True)
        return Done(digests, {target: count for target, count in counts if count}, tuple(shares))

    def _phase(self, phase: Phase, steps: Sequence[Step]) -> None:
        kernels = {i: self._kernel(i) for i in phase.tiles if _stateful(i)}
        self._pass(phase, kernels, steps)
        while again := {i: k for i, k in kernels.items() if isinstance(k, MagnitudeLimit) and k.again()}:
            tiles = tuple(i for i in phase.tiles if i.out.kind != "scalar" or i in again)
            scans = {i: self._kernel(i) for i in tiles if _stateful(i) and i not in again}
            self._pass(replace(phase, tiles=tiles, writes=()), scans | again, tiles)
        for instruction, kernel in kernels.items():
            if instruction.out.kind == "scalar":
                self.scalars[instruction.out.index] = kernel.result()
        self._arithmetic(phase.scalars)

    def _pass(self, phase: Phase, kernels: dict[Instruction, Any], steps: Sequence[Step]) -> None:
        """Run the steps of a phase over the tiles of its inputs."""
        lent = {
            scan: self._lend(scan, phase, kernels) for step in steps if isinstance(step, Segment) for scan in step.scans
        }
        if phase.sampled:
            self._sample(phase, kernels, steps, lent)
        else:
            self._all(phase, kernels, steps, lent)
        for scan, state in lent.items():
            kernels[scan].take_back(state)

    def _lend(self, scan: Instruction, phase: Phase, kernels: dict[Instruction, Any]) -> Structure:
        return lend(scan, kernels[scan], SAMPLE_SHARE if self._in_part(scan, phase) else 1, self.program.row)

    def _in_part(self, scan: Instruction, phase: Phase) -> bool:
        """Tell whether a reduction is shown a part of each tile, since it is content with a sample."""
        return scan.op == "magnitude_sample" and not phase.sampled and self.elements >= SAMPLED_FROM

    def _all(self, phase: Phase, kernels: dict[Instruction, Any], steps: Sequence[Step], lent: Lent) -> None:
        """Run the steps over all tiles."""
        window = phase_window(self.program, phase, self.window)
        written = phase_window(self.program, phase, self.written)
        tile = window if self._whole(phase, steps) else self.program.row_tile if phase.rows else TILE
        for start in range(0, self.elements, window):
            count = min(window, self.elements - start)
            self._read(phase, start, count)
            for offset in range(0, count, written):
                part = min(written, count - offset)
                places = range(offset, offset + part, tile)
                spots = [_Spot(start + i, i, min(tile, offset + part - i)) for i in places]
                self._tiles(phase, kernels, steps, lent, spots)
                self._write(phase, start + offset, part)

    def _whole(self, phase: Phase, steps: Sequence[Step]) -> bool:
        """Tell whether the steps can take a window at once: they keep nothing for each other."""
        return all(
            isinstance(step, Segment)
            and all(place.kind != "register" for place in step.places)
            and not any(self._in_part(scan, phase) for scan in step.scans)
            for step in steps
        )

    def _sample(self, phase: Phase, kernels: dict[Instruction, Any], steps: Sequence[Step], lent: Lent) -> None:
        """Run the steps over some of the tiles: where they are held, or read side by side into the window."""
        starts, size = sample_starts(self.program, phase)
        if self.unit.resident:
            self._read(phase, 0, self.elements)
            self._tiles(phase, kernels, steps, lent, [_Spot(i, i, min(size, self.elements - i)) for i in starts])
            return
        step = max(1, phase_window(self.program, phase, self.window) // size)
        for first in range(0, len(starts), step):
            batch = enumerate(starts[first : first + step])
            spots = [_Spot(i, place * size, min(size, self.elements - i)) for place, i in batch]
            for spot in spots:
                self._read(phase, spot.start, spot.count, spot.offset)
            self._tiles(phase, kernels, steps, lent, spots)

    def _read(self, phase: Phase, start: int, count: int, offset: int = 0) -> None:
        """Read `count` elements from `start` on into the windows, `offset` elements from their begin."""
        if self.cancelled.is_set():
            raise Cancelled
        for index in phase.reads:
            if self.unit.resident and index in self.loaded:
                continue
            dtype = self.program.inputs[index].dtype
            buffer = self.inputs[index][1][dtype.nbytes(offset) : dtype.nbytes(offset + count)]
            self.files.read(self.unit.inputs[index], dtype.nbytes(start), buffer)
            self.loaded.add(index)

    def _tiles(
        self,
        phase: Phase,
        kernels: dict[Instruction, Any],
        steps: Sequence[Step],
        lent: Lent,
        spots: Sequence[_Spot],
    ) -> None:
        """Run the steps on tiles."""
        if self.cancelled.is_set():
            raise Cancelled
        places = [Tile(spot.start, spot.count) for spot in spots]
        views = _Views(self, phase, spots)
        calls = [
            self._segment(step, places, views, lent)
            if isinstance(step, Segment)
            else self._step(step, kernels, places, views)
            for step in steps
        ]
        for number in range(len(spots)):
            for function, arguments in calls:
                function(*arguments[number])

    def _segment(self, segment: Segment, places: Sequence[Tile], views: _Views, lent: Lent) -> Call:
        """Return a compiled function and its arguments for every tile."""
        states = [lent[scan] for scan in segment.scans]
        tiles = zip(*map(views.addresses, segment.places), strict=True) if segment.places else repeat((), len(places))
        return segment.function, segment.arguments(places, tiles, self._scalar, states)

    def _step(
        self, instruction: Instruction, kernels: dict[Instruction, Any], places: Sequence[Tile], views: _Views
    ) -> Call:
        """Return a kernel and its arguments for every tile."""
        kernel = kernels.get(instruction)
        if kernel is None:
            operands = [views.of(x) for x in (instruction.out, *instruction.inputs)]
            return _function(instruction), list(zip(*operands, strict=True))
        tiles = [x for x in instruction.inputs if _is_tile(x)]
        out = [instruction.out] if instruction.out.kind != "scalar" else []
        calls = list(zip(places, *(views.of(x) for x in (*out, *tiles)), strict=True))
        if self._in_part(instruction, views.phase):
            return partial(_sample_tile, kernel.update), calls
        return kernel.update, calls

    def _kernel(self, instruction: Instruction) -> Any:
        scalars = tuple(self._scalar(x) for x in instruction.inputs if not _is_tile(x))
        table = REDUCTIONS if instruction.out.kind == "scalar" else SCANS
        settings = {name: value for name, value in instruction.attributes if name != "shape"}
        return table[instruction.op](scalars, **settings)

    def _scalar(self, operand: Operand) -> Any:
        return operand if isinstance(operand, float) else self.scalars[operand.index]

    def _arithmetic(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            function = OPS[instruction.op].scalar or SCALARS[instruction.op]
            operands = [self._scalar(x) for x in instruction.inputs]
            self.scalars[instruction.out.index] = function(*operands, **dict(instruction.attributes))

    def _write(self, phase: Phase, start: int, count: int) -> None:
        for index in phase.writes:
            dtype = self.program.outputs[index].dtype
            tensor, raw = self.outputs[index]
            part = raw[: dtype.nbytes(count)]
            self.nonfinite[index] += count_nonfinite(tensor[:count])
            self.digests[index].update(part)
            self.writer.write(self.unit.targets[index], dtype.nbytes(start), part)

    def _write_statistic(self, index: int, values: torch.Tensor) -> None:
        bytes_: Any = values.numpy()
        data = memoryview(bytes_).cast("B")
        self.nonfinite[index] = count_nonfinite(values)
        self.digests[index].update(data)
        self.writer.write(self.unit.targets[index], 0, data)


@dataclass(frozen=True, slots=True)
class _Spot:
    """A tile: the `count` elements of the tensors from `start` on, at `offset` in the windows of the inputs."""

    start: int
    offset: int
    count: int

    @property
    def end(self) -> int:
        """Where it ends in the windows."""
        return self.offset + self.count


class _Views:
    """Finds what an operand is for each tile: a piece of a buffer, or the same number.

    The first tile lies at the begin of the windows of the outputs. In a phase of whole rows pieces have two axes, rows
    and their elements.
    """

    def __init__(self, run: _Run, phase: Phase, spots: Sequence[_Spot]) -> None:
        self.run = run
        self.phase = phase
        self.spots = spots
        self.sizes = [spot.count for spot in spots]
        self.row = run.program.row if phase.rows else 0
        self._found: dict[Operand, list[Any]] = {}

    def of(self, operand: Operand) -> list[Any]:
        """Return what `operand` is for every tile. Views are made once: each takes as long as thousands of elements."""
        if operand not in self._found:
            self._found[operand] = self._views(operand)
        return self._found[operand]

    def _views(self, operand: Operand) -> list[Any]:
        if isinstance(operand, float):
            return [operand] * len(self.sizes)
        if operand.kind == "scalar":
            return [self.run.scalars[operand.index]] * len(self.sizes)
        if operand.kind == "register":
            register = self.run.registers[operand.index]
            whole, last = (self._shaped(register[: self.sizes[i]]) for i in (0, -1))
            return [*[whole] * (len(self.sizes) - 1), last]
        begin, first = self._begin(operand), self.spots[0].offset
        buffer = self._buffer(operand)[first - begin : self.spots[-1].end - begin]
        if len(buffer) == sum(self.sizes):
            return [self._shaped(piece) for piece in torch.split_with_sizes(buffer, self.sizes)]
        return [self._shaped(buffer[spot.offset - first : spot.end - first]) for spot in self.spots]

    def addresses(self, place: Place) -> list[int]:
        """Return where each tile of a place begins in memory."""
        if place.kind == "register":
            return [self.run.registers[place.index].data_ptr()] * len(self.spots)
        buffer, begin = self._buffer(place), self._begin(place)
        address, size = buffer.data_ptr(), buffer.itemsize
        return [address + (spot.offset - begin) * size for spot in self.spots]

    def _buffer(self, place: Place) -> torch.Tensor:
        return (self.run.inputs if place.kind == "input" else self.run.outputs)[place.index][0]

    def _begin(self, place: Place) -> int:
        """Return what is at the begin of a window: the first tile in those of the outputs."""
        return self.spots[0].offset if place.kind == "output" else 0

    def _shaped(self, piece: torch.Tensor) -> torch.Tensor:
        return piece.view(-1, self.row) if self.row else piece


def _sample_tile(update: Callable[..., None], tile: Tile, x: torch.Tensor) -> None:
    """Show a reduction that is content with a sample a part of each tile, where another one needs all of them."""
    count = -(-tile.count // SAMPLE_SHARE)
    update(Tile(tile.start, count), x.view(-1)[:count])


def _function(instruction: Instruction) -> Callable[..., None]:
    """Return the function that computes a tile into its first argument from the others."""
    op = OPS[instruction.op]
    return POINTWISE[instruction.op] if op.kernel is None else partial(_own, op, dict(instruction.attributes))


def _own(op: Op[Any], settings: dict[str, Any], out: torch.Tensor, *operands: Any) -> None:
    """Run the kernel of somebody's own operation. MergeGraphError (MG455) if it fails."""
    assert op.kernel is not None
    try:
        result = op.kernel(*op.group(operands).values(), **settings)
        if result.shape != out.shape:
            raise ValueError(f"it made {list(result.shape)} of {list(out.shape)}")
    except Exception as error:
        message = f"the operation `{op.name}` failed: {type(error).__name__}: {escape(str(error))}"
        raise MergeGraphError(Diagnostic("MG455", message, status=1)) from error
    out.copy_(result)


def _stateful(instruction: Instruction) -> bool:
    op = OPS[instruction.op]
    return op.locality is not Locality.POINTWISE and op.kernel is None


def _is_tile(operand: Operand) -> bool:
    return isinstance(operand, Place) and operand.kind != "scalar"
