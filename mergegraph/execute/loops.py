"""Write runs of pointwise instructions as loops in C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import c_float
from dataclasses import dataclass
from itertools import groupby
from sys import byteorder

from mergegraph.dtypes import FLOAT32, FLOAT64, Dtype
from mergegraph.kernels import POINTWISE
from mergegraph.ops import OPS
from mergegraph.plan.program import Instruction, Operand, Phase, Place, Program

LONGEST = 256
"""The most instructions of a loop: the time that a compiler takes grows faster than their number."""

DRAW = "random_mask"

C_TYPES = {"float64": "double", "float32": "float", "float16": "u16", "bfloat16": "u16"}


@dataclass(frozen=True, slots=True)
class Loop:
    """Instructions that follow each other, and the C function of them on tiles and scalars.

    It works on the tiles `places`, which have these `dtypes`, and writes those that are `stored`. `draws` are the
    random masks among the instructions. `NAME` stands in the text for the name of the function.
    """

    instructions: tuple[Instruction, ...]
    places: tuple[Place, ...]
    dtypes: tuple[Dtype, ...]
    stored: tuple[Place, ...]
    scalars: tuple[Place, ...]
    draws: tuple[Instruction, ...]
    text: str


def cut(phase: Phase, program: Program) -> Iterator[Instruction | Loop]:
    """Yield the instructions of a phase in order, where two or more that C can express follow each other as loops."""
    needed = _needed_after(phase.tiles)
    for expressible, group in groupby(enumerate(phase.tiles), lambda item: _expressible(item[1], phase, program)):
        items = list(group)
        for start in range(0, len(items), LONGEST):
            part = items[start : start + LONGEST]
            instructions = [instruction for _, instruction in part]
            if expressible and len(part) > 1:
                yield _Writer(program).loop(instructions, needed[part[-1][0]])
            else:
                yield from instructions


def _needed_after(instructions: Sequence[Instruction]) -> list[frozenset[Place]]:
    """Return the tiles whose values are read after each instruction."""
    needed: frozenset[Place] = frozenset()
    found = []
    for instruction in reversed(instructions):
        found.append(needed)
        needed = needed - {instruction.out} | {x for x in instruction.inputs if isinstance(x, Place)}
    return found[::-1]


def _expressible(instruction: Instruction, phase: Phase, program: Program) -> bool:
    """Tell whether C has the operation, on these types."""
    if instruction.op == DRAW:
        # Tiles of whole rows may lie in several blocks.
        return not phase.rows and _dtype(instruction.out, program) is FLOAT32
    if instruction.op not in POINTWISE or OPS[instruction.op].kernel is not None:
        return False
    tiles = [x for x in (*instruction.inputs, instruction.out) if _is_tile(x)]
    dtypes = [_dtype(x, program) for x in tiles if isinstance(x, Place)]
    if instruction.op != "cast":
        return all(dtype is FLOAT32 for dtype in dtypes)
    # Casts go by way of float32: from float64 to 16 bits there would be two roundings.
    return dtypes[0] is not FLOAT64 or dtypes[1] is FLOAT32


def _dtype(place: Place, program: Program) -> Dtype:
    if place.kind == "register":
        return FLOAT32
    return (program.inputs if place.kind == "input" else program.outputs)[place.index].dtype


def _is_tile(operand: Operand) -> bool:
    return isinstance(operand, Place) and operand.kind != "scalar"


class _Writer:
    """Writes one loop. A value gets a name when it is computed or first read; a tile is written once, at the end."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines: list[str] = []
        self.values: dict[Place, str] = {}
        self.places: dict[Place, None] = {}
        self.scalars: dict[Place, str] = {}
        self.draws: list[Instruction] = []

    def loop(self, instructions: Sequence[Instruction], needed: frozenset[Place]) -> Loop:
        """Return the loop of these instructions, after which the tiles `needed` are read."""
        for instruction in instructions:
            self._assign(instruction.out, self._expression(instruction))
        written = dict.fromkeys(instruction.out for instruction in instructions)
        stored = [place for place in written if place.kind == "output" or place in needed]
        self.places |= dict.fromkeys(stored)
        self.lines += [f"{place}[i] = {self.values[place]};" for place in stored]
        dtypes = [_dtype(place, self.program) for place in self.places]
        places, scalars = tuple(self.places), tuple(self.scalars)
        draws, text = tuple(self.draws), self._text(dtypes)
        return Loop(tuple(instructions), places, tuple(dtypes), tuple(stored), scalars, draws, text)

    def _assign(self, place: Place, expression: str) -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{C_TYPES[_dtype(place, self.program).name]} {name} = {expression};")
        self.values[place] = name

    def _expression(self, instruction: Instruction) -> str:
        op, inputs = instruction.op, instruction.inputs
        if op == DRAW:
            self.draws.append(instruction)
            return f"op_{op}(d{len(self.draws) - 1}, place + (u32)i)"
        operands = [self._operand(x) for x in inputs]
        tiles = [_is_tile(x) for x in inputs]
        if op == "cast":
            source = inputs[0]
            assert isinstance(source, Place)
            return f"to_{_dtype(instruction.out, self.program)}(from_{_dtype(source, self.program)}({operands[0]}))"
        if op in ("min", "max") and not all(tiles):
            op, operands = f"{op}_number", operands if tiles[0] else operands[::-1]
        elif op == "clamp" and tiles == [True, False, False]:
            op = "clamp_numbers"
        return f"op_{op}({', '.join(operands)})"

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, float):
            # By its bits, since infinities and NaN have no digits.
            return f"number({int.from_bytes(bytes(c_float(operand)), byteorder):#010x}u)"
        if operand.kind == "scalar":
            return self.scalars.setdefault(operand, f"n{len(self.scalars)}")
        if operand not in self.values:
            self.places[operand] = None
            self._assign(operand, f"{operand}[i]")
        return self.values[operand]

    def _text(self, dtypes: Sequence[Dtype]) -> str:
        types = zip(self.places, dtypes, strict=True)
        return "\n".join(
            [
                "void NAME(i64 count, i64 start, void *const *places, const float *numbers, const u64 *keys,",
                "          const double *densities) {",
                "  const u32 place = start % 65536;",
                *(f"  {C_TYPES[dtype.name]} *restrict {x} = places[{i}];" for i, (x, dtype) in enumerate(types)),
                *(f"  const float {name} = numbers[{i}];" for i, name in enumerate(self.scalars.values())),
                *(
                    f"  const struct draw d{i} = drawn(keys[{i}], densities[{i}], start);"
                    for i in range(len(self.draws))
                ),
                "  for (i64 i = 0; i < count; i++) {",
                *(f"    {line}" for line in self.lines),
                "  }",
                "}",
            ]
        )
