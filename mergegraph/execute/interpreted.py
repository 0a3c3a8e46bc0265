"""Run the instructions of a unit with the kernels, on tensors that lie in its buffers.

It loads torch, which a merge whose arithmetic is all compiled does without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.dtypes import Dtype
from mergegraph.execute.arena import Buffer
from mergegraph.execute.buffers import Buffers, Spot, first_of
from mergegraph.execute.steps import Call, is_tile
from mergegraph.kernels.tables import MATRICES, POINTWISE, REDUCTIONS, SCANS
from mergegraph.kernels.threads import single_threaded
from mergegraph.kernels.tile import Tile
from mergegraph.ops import OPS, Op
from mergegraph.plan.program import SAMPLE_SHARE, Instruction, Operand, Program

TORCH_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Interpreter:
    """Runs single instructions of a unit, in the thread that has made it."""

    def __init__(self, program: Program, buffers: Buffers, scalars: Sequence[Any]) -> None:
        single_threaded()
        self._program = program
        self._buffers = buffers
        self._scalars = scalars
        self._tensors: dict[int, torch.Tensor] = {}

    def matrices(self) -> list[torch.Tensor]:
        """Return the matrices that are held whole."""
        types = zip(self._buffers.matrices, self._program.matrices, strict=True)
        return [self.tensor(buffer).view(t.shape) for buffer, t in types]

    def tensor(self, buffer: Buffer) -> torch.Tensor:
        """Return the elements of a buffer, without dimensions but their order."""
        # Buffers of no bytes may begin where others do.
        if id(buffer) not in self._tensors:
            self._tensors[id(buffer)] = tensor_on(buffer.raw, buffer.dtype)
        return self._tensors[id(buffer)]

    def views(self, spots: Sequence[Spot], *, rows: bool) -> Views:
        """Return what the operands of steps are for these tiles: matrices of whole rows if the phase takes those."""
        return Views(self, self._buffers, self._scalars, spots, self._program.row if rows else 0)

    @staticmethod
    def function_of_matrices(op: str) -> Callable[..., Any]:
        """Return the function of a scalar instruction."""
        function: Callable[..., Any] = MATRICES[op]
        return function

    @staticmethod
    def kernel(instruction: Instruction, scalars: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Return the kernel of a reduction or scan."""
        table = REDUCTIONS if instruction.out.kind == "scalar" else SCANS
        return table[instruction.op](scalars, **settings)

    @staticmethod
    def calls(instruction: Instruction, kernel: Any, views: Views, *, in_part: bool) -> Call:
        """Return the function of an instruction, and its arguments for every tile.

        A reduction or scan has its `kernel`; where it looks at a sample, `in_part` is true.
        """
        if kernel is None:
            operands = [views.of(x) for x in (instruction.out, *instruction.inputs)]
            return _function(instruction), list(zip(*operands, strict=True))
        tiles = [x for x in instruction.inputs if is_tile(x)]
        out = [instruction.out] if instruction.out.kind != "scalar" else []
        calls = list(zip(views.places, *(views.of(x) for x in (*out, *tiles)), strict=True))
        return (partial(_sample_tile, kernel.update) if in_part else kernel.update), calls


class Views:
    """Finds what an operand is for each tile: a piece of a buffer, or the same number.

    With a `row` pieces have two axes, rows and so many elements of each.
    """

    def __init__(
        self, interpreter: Interpreter, buffers: Buffers, scalars: Sequence[Any], spots: Sequence[Spot], row: int
    ) -> None:
        self.places = [Tile(spot.start, spot.count) for spot in spots]
        self._interpreter = interpreter
        self._buffers = buffers
        self._scalars = scalars
        self._spots = spots
        self._sizes = [spot.count for spot in spots]
        self._row = row
        self._found: dict[Operand, list[Any]] = {}

    def of(self, operand: Operand) -> list[Any]:
        """Return what `operand` is for every tile. Views are made once: each takes as long as thousands of elements."""
        if operand not in self._found:
            self._found[operand] = self._views(operand)
        return self._found[operand]

    def _views(self, operand: Operand) -> list[Any]:
        if isinstance(operand, float):
            return [operand] * len(self._sizes)
        if operand.kind == "scalar":
            return [self._scalars[operand.index]] * len(self._sizes)
        tensor = self._interpreter.tensor(self._buffers.at(operand))
        if operand.kind == "register":
            whole, last = (self._shaped(tensor[: self._sizes[i]]) for i in (0, -1))
            return [*[whole] * (len(self._sizes) - 1), last]
        begin, first = first_of(operand, self._spots), self._spots[0].offset
        part = tensor[first - begin : self._spots[-1].end - begin]
        if len(part) == sum(self._sizes):
            return [self._shaped(piece) for piece in torch.split_with_sizes(part, self._sizes)]
        return [self._shaped(part[spot.offset - first : spot.end - first]) for spot in self._spots]

    def _shaped(self, piece: torch.Tensor) -> torch.Tensor:
        return piece.view(-1, self._row) if self._row else piece


def tensor_on(raw: memoryview, dtype: Dtype) -> torch.Tensor:
    """Return the elements that lie in these bytes as a tensor on the same memory."""
    kind = TORCH_DTYPES[dtype.name]
    return torch.frombuffer(raw, dtype=kind) if raw.nbytes else torch.empty(0, dtype=kind)


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
