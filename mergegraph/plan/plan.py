"""The Plan: units in the order they run, with their reads, windows and peaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.dtypes import FLOAT32
from mergegraph.ir.graph import InputRef, TensorRef
from mergegraph.plan.program import SAMPLE_SHARE, SAMPLE_TILE, TILE, Phase, Program

KERNEL_SCRATCH = 4 * 4
"""Bytes per element of a tile that a kernel with a state may allocate for its own use: four tiles of 32 bits."""

THREAD_BYTES = 1_000_000
"""What a thread keeps for itself."""

KERNEL_THREAD_BYTES = 5_000_000
"""The same where kernels run: with the room that they share, and memory that they freed and did not give back."""


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor of an output: the index of its save and its name there."""

    save: int
    name: str


@dataclass(frozen=True, slots=True)
class Compute:
    """Runs `program` on these inputs. `window` elements of every tensor are in memory at a time.

    A unit whose window is its whole tensor is *resident*: it reads once, however many phases its program has. Any
    other *streams*: each phase reads what it needs again. `matrices` are read whole before the first. `totals` are the
    statistics of whole models that it needs, `tables` say which rows of some inputs it reads, `shares` are the
    statistics that it finds a share of. Of the targets those come last that are statistics themselves.
    """

    program: int
    inputs: tuple[InputRef, ...]
    matrices: tuple[InputRef, ...]
    keys: tuple[int, ...]
    numbers: tuple[float, ...]
    totals: tuple[str, ...]
    tables: tuple[str, ...]
    targets: tuple[Target, ...]
    shares: tuple[str, ...]
    window: int
    resident: bool
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Copies a tensor byte for byte. With several sources all must be equal, or the merge fails."""

    sources: tuple[TensorRef, ...]
    target: Target
    window: int
    peak_bytes: int

    @property
    def targets(self) -> tuple[Target, ...]:
        """The tensor it writes."""
        return (self.target,)

    @property
    def inputs(self) -> tuple[TensorRef, ...]:
        """The tensors it reads."""
        return self.sources

    @property
    def matrices(self) -> tuple[InputRef, ...]:
        """The tensors it holds whole: none."""
        return ()


Unit: TypeAlias = Compute | Copy


@dataclass(frozen=True, slots=True)
class Plan:
    """How a merge runs: `units` in order of rank, on `workers` threads, within `planned_peak_bytes`.

    `lower_bound_bytes` is the least memory in which any plan of this kind could run. All figures count the whole
    process, the interpreter and its libraries (`baseline_bytes`) included. `cache_bytes` are those of the page cache.
    Where not all is compiled, `kernels` take memory too.
    """

    programs: tuple[Program, ...]
    units: tuple[Unit, ...]
    workers: int
    budget_bytes: int
    baseline_bytes: int
    cache_bytes: int
    kernels: bool
    planned_peak_bytes: int
    lower_bound_bytes: int
    optimal: bool
    bytes_read: int
    bytes_written: int
    input_bytes: int
    dearest: int
    """The index of the unit with the highest peak."""
    before: tuple[Plan, ...] = ()
    """What runs first, to find statistics of whole models; its figures are in those of this plan."""


Report: TypeAlias = Callable[[int, str], None]
"""Is told of every number of bytes read or written, and of which tensor, in any thread."""

Planned: TypeAlias = Callable[[Plan, int], Report]
"""Is called with a plan before anything is read, and with how many of its bytes an earlier run has moved."""


def silent(_plan: Plan, _before: int) -> Report:
    """Tell nobody."""
    return lambda _count, _tensor: None


def phase_window(program: Program, phase: Phase, window: int) -> int:
    """Return how many elements of a window a phase takes at a time: all of them, or the whole rows in them."""
    if not phase.rows or window >= program.elements:
        return window
    return max(program.row_tile, window // program.row_tile * program.row_tile)


def sample_starts(program: Program, phase: Phase) -> tuple[range, int]:
    """Return where the parts begin that a sampled phase takes, and the elements of each; the last may be shorter."""
    part = program.row_tile if phase.rows else SAMPLE_TILE
    return range(0, program.elements, SAMPLE_SHARE * part), part


def phase_elements(program: Program, phase: Phase) -> int:
    """Return how many elements of each of its inputs a phase needs."""
    if not phase.sampled:
        return program.elements
    starts, part = sample_starts(program, phase)
    return sum(min(part, program.elements - start) for start in starts)


def buffer_window(program: Program, window: int) -> int:
    """Return the elements of the longest window that any phase takes."""
    return min(max(phase_window(program, phase, window) for phase in program.phases), program.elements)


def arena_bytes(program: Program, window: int, *, resident: bool) -> int:
    """Return the bytes of the buffers of a unit: windows of its inputs and outputs, and its registers.

    A resident unit holds its inputs whole, and windows of at most `OUTPUT_WINDOW` elements of its outputs.
    """
    written = output_window(program, window, resident=resident)
    held = sum(aligned(t.dtype.nbytes(buffer_window(program, window))) for t in program.inputs)
    held += sum(aligned(t.dtype.nbytes(buffer_window(program, written))) for t in program.outputs)
    held += sum(aligned(t.nbytes) for t in program.matrices)
    return held + program.registers * aligned(FLOAT32.nbytes(program.register_elements))


def peak_bytes(program: Program, window: int, *, resident: bool, kernels: bool) -> int:
    """Return all that a unit takes: its buffers, the state of its reductions, what `kernels` need, and its thread."""
    beside = KERNEL_SCRATCH * program.scratch + KERNEL_THREAD_BYTES if kernels else THREAD_BYTES
    return arena_bytes(program, window, resident=resident) + program.state_bytes + beside


def output_window(program: Program, window: int, *, resident: bool) -> int:
    """Return how many elements of each output are in memory at a time."""
    return min(window, OUTPUT_WINDOW) if resident else window


OUTPUT_WINDOW = 8 * TILE


def aligned(nbytes: int) -> int:
    """Return a size rounded up so that the next buffer begins on a cache line."""
    return -(-nbytes // 64) * 64
