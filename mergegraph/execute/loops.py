"""Write runs of instructions as loops in C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

from mergegraph.dtypes import FLOAT32, FLOAT64, Dtype
from mergegraph.execute.steps import is_tile
from mergegraph.kernels.native import COUNTED, SCANNED, WHOLE
from mergegraph.ops import OPS, Locality
from mergegraph.plan.program import Instruction, Operand, Phase, Place, Program

LONGEST = 256
"""The most instructions of a loop: the time that a compiler takes grows faster than their number."""

DRAW = "random_mask"

SIGNATURE = """\
void NAME(i64 count, i64 start, void *const *places, const float *numbers, const u64 *keys, const u64 *bounds,
          void *const *states)"""

C_TYPES = {"float64": "double", "float32": "float", "float16": "u16", "bfloat16": "u16"}


@dataclass(frozen=True, slots=True)
class Loop:
    """Instructions that follow each other, and the C function of them on tiles and scalars.

    It works on the tiles `places`, which have these `dtypes`, and writes those that are `stored`. `numbers` are the
    operands that are no tiles: the text is the same whatever they are. `draws` are the random masks among the
    instructions, `scans` the reductions and scans. `NAME` stands in the text for the name of the function.
    """

    instructions: tuple[Instruction, ...]
    places: tuple[Place, ...]
    dtypes: tuple[Dtype, ...]
    stored: tuple[Place, ...]
    numbers: tuple[Operand, ...]
    draws: tuple[Instruction, ...]
    scans: tuple[Instruction, ...]
    text: str


def cut(phase: Phase, program: Program) -> Iterator[Instruction | Loop]:
    """Yield the instructions of a phase in order, where C has them as loops: one for those that follow each other."""
    needed = _needed_after(phase.tiles)
    for kind, group in groupby(enumerate(phase.tiles), lambda item: _kind(item[1], program)):
        items = list(group)
        if kind is not _Kind.STRIPS:
            yield from (_whole(x) if kind is _Kind.ROWS else x for _, x in items)
            continue
        for start in range(0, len(items), LONGEST):
            part = items[start : start + LONGEST]
            yield _Writer(program).loop([instruction for _, instruction in part], needed[part[-1][0]])


def _needed_after(instructions: Sequence[Instruction]) -> list[frozenset[Place]]:
    """Return the tiles whose values are read after each instruction."""
    needed: frozenset[Place] = frozenset()
    found = []
    for instruction in reversed(instructions):
        found.append(needed)
        needed = needed - {instruction.out} | {x for x in instruction.inputs if isinstance(x, Place)}
    return found[::-1]


class _Kind(Enum):
    """How C has an instruction: on strips of a tile, with others, or on whole rows, alone."""

    STRIPS = "strips"
    ROWS = "rows"


def _kind(instruction: Instruction, program: Program) -> _Kind | None:
    """Return how C has the operation on these types, None if it does not."""
    op = instruction.op
    tiles = [x for x in (*instruction.inputs, instruction.out) if is_tile(x)]
    dtypes = [_dtype(x, program) for x in tiles if isinstance(x, Place)]
    narrow = all(dtype is FLOAT32 for dtype in dtypes)
    if op in WHOLE:
        return _Kind.ROWS if narrow else None
    if op in SCANNED or op == DRAW:
        known = narrow and (op not in COUNTED or program.elements < 1 << 31)
    elif op == "cast":
        # Casts go by way of float32: from float64 to 16 bits there would be two roundings.
        known = dtypes[0] is not FLOAT64 or dtypes[1] is FLOAT32
    else:
        known = narrow and OPS[op].locality is Locality.POINTWISE and OPS[op].kernel is None
    return _Kind.STRIPS if known else None


def _whole(scan: Instruction) -> Loop:
    """Return the function of an instruction on tiles of whole rows."""
    tiles = [x for x in (scan.out, *scan.inputs) if isinstance(x, Place) and is_tile(x)]
    places = tuple(dict.fromkeys(tiles))
    given = ", ".join(["states[0]", *(f"places[{places.index(x)}]" for x in tiles)])
    text = f"{SIGNATURE} {{\n  struct strip strip = {{start, count, 0, count}};\n  scan_{scan.op}({given}, strip);\n}}"
    stored = tuple(x for x in places if x == scan.out)
    return Loop((scan,), places, (FLOAT32,) * len(places), stored, (), (), (scan,), text)


def _dtype(place: Place, program: Program) -> Dtype:
    if place.kind == "register":
        return FLOAT32
    return (program.inputs if place.kind == "input" else program.outputs)[place.index].dtype


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of an element: its type in C, and the level that it is computed in.

    It is a variable of that level, unless a scan leaves it for the `whole` strip. What is `cheap` is rather computed
    again in another level, by this expression.
    """

    name: str
    type: str
    level: int
    whole: bool = False
    cheap: str = ""


@dataclass(slots=True)
class _Level:
    """What is done to each element of a strip, one after the other, and then to the strip as a whole."""

    lines: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)


class _Writer:
    """Writes one loop over strips of a tile.

    A scan looks at a whole strip, and leaves a whole strip; so there are levels, each a loop over the elements of the
    strip and then scans. A value that is needed beyond its level is kept for the strip. A tile is written once, at the
    end.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.levels = [_Level()]
        self.values: dict[Place, _Value] = {}
        self.kept: dict[_Value, None] = {}
        self.places: dict[Place, None] = {}
        self.scanned: set[Place] = set()
        self.numbers: list[Operand] = []
        self.draws: list[Instruction] = []
        self.scans: list[Instruction] = []
        self.made = 0

    def loop(self, instructions: Sequence[Instruction], needed: frozenset[Place]) -> Loop:
        """Return the loop of these instructions, after which the tiles `needed` are read."""
        for instruction in instructions:
            if instruction.op in SCANNED:
                self._scan(instruction)
            else:
                self._compute(instruction)
        written = dict.fromkeys(x.out for x in instructions if is_tile(x.out))
        stored = [place for place in written if place.kind == "output" or place in needed]
        self._store(stored)
        dtypes = [_dtype(place, self.program) for place in self.places]
        return Loop(
            instructions=tuple(instructions),
            places=tuple(self.places),
            dtypes=tuple(dtypes),
            stored=tuple(stored),
            numbers=tuple(self.numbers),
            draws=tuple(self.draws),
            scans=tuple(self.scans),
            text=self._text(dtypes),
        )

    def _compute(self, instruction: Instruction) -> None:
        """Write a pointwise operation into the first level that has all operands."""
        level = max(map(self._level_of, instruction.inputs), default=0)
        given = instruction.op == "cast" and instruction.inputs[0] not in self.values
        expression = self._expression(instruction, level)
        value = self._value(instruction.out, level, cheap=expression if given else "")
        self.levels[level].lines.append(f"{value.type} {value.name} = {expression};")
        self.values[instruction.out] = value

    def _scan(self, instruction: Instruction) -> None:
        """Write a reduction or scan after the first level that has all operands."""
        tiles = [x for x in instruction.inputs if isinstance(x, Place) and is_tile(x)]
        level = max(map(self._level_of, tiles), default=0)
        strips = [self._strip_of(x) for x in tiles]
        if is_tile(instruction.out):
            if level + 1 == len(self.levels):
                self.levels.append(_Level())
            value = self._value(instruction.out, level + 1, whole=True)
            self.values[instruction.out] = value
            strips.insert(0, self._strip(value))
        self.levels[level].scans.append(
            f"scan_{instruction.op}({', '.join([self._state(instruction), *strips])}, strip);"
        )

    def _state(self, instruction: Instruction) -> str:
        self.scans.append(instruction)
        return f"states[{len(self.scans) - 1}]"

    def _store(self, places: Sequence[Place]) -> None:
        """Write tiles, after all scans that look at what was in them."""
        self.places |= dict.fromkeys(places)
        if self.scanned.intersection(places):
            self.levels.append(_Level())
        last = len(self.levels) - 1
        self.levels[last].lines += [f"{place}[at + i] = {self._operand(place, last)};" for place in places]

    def _value(self, place: Place, level: int, *, whole: bool = False, cheap: str = "") -> _Value:
        self.made += 1
        return _Value(f"v{self.made}", C_TYPES[_dtype(place, self.program).name], level, whole, cheap)

    def _level_of(self, operand: Operand) -> int:
        return self.values[operand].level if isinstance(operand, Place) and operand in self.values else 0

    def _strip(self, value: _Value) -> str:
        """Return where a value is kept for the strip."""
        self.kept[value] = None
        return f"s_{value.name}"

    def _strip_of(self, place: Place) -> str:
        if place in self.values:
            return self._strip(self.values[place])
        self.places[place] = None
        self.scanned.add(place)
        return f"{place} + at"

    def _expression(self, instruction: Instruction, level: int) -> str:
        op, inputs = instruction.op, instruction.inputs
        if op == DRAW:
            self.draws.append(instruction)
            return f"op_{op}(d{len(self.draws) - 1}, within + (u32)i)"
        operands = [self._operand(x, level) for x in inputs]
        tiles = [is_tile(x) for x in inputs]
        if op == "cast":
            source = inputs[0]
            assert isinstance(source, Place)
            return f"to_{_dtype(instruction.out, self.program)}(from_{_dtype(source, self.program)}({operands[0]}))"
        if op in ("min", "max") and not all(tiles):
            op, operands = f"{op}_number", operands if tiles[0] else operands[::-1]
        elif op == "clamp" and tiles == [True, False, False]:
            op = "clamp_numbers"
        return f"op_{op}({', '.join(operands)})"

    def _operand(self, operand: Operand, level: int) -> str:
        if not isinstance(operand, Place) or operand.kind == "scalar":
            self.numbers.append(operand)
            return f"n{len(self.numbers) - 1}"
        if operand not in self.values:
            self.places[operand] = None
            return f"{operand}[at + i]"
        value = self.values[operand]
        if value.level == level and not value.whole:
            return value.name
        return value.cheap or f"{self._strip(value)}[i]"

    def _text(self, dtypes: Sequence[Dtype]) -> str:
        types = zip(self.places, dtypes, strict=True)
        draws = range(len(self.draws))
        return "\n".join(
            [
                f"{SIGNATURE} {{",
                *(f"  {C_TYPES[dtype.name]} *restrict {x} = places[{i}];" for i, (x, dtype) in enumerate(types)),
                *(f"  const float n{i} = numbers[{i}];" for i in range(len(self.numbers))),
                *(f"  {value.type} s_{value.name}[STRIP];" for value in self.kept),
                "  struct strip strip;",
                "  for (i64 at = 0; at < count; at += strip.n) {",
                "    strip = cut(start, at, count);",
                *(["    const u32 within = strip.place % BLOCK;"] if draws else []),
                *(f"    const struct draw d{i} = drawn(keys[{i}], bounds[{i}], strip.place);" for i in draws),
                *(line for number, level in enumerate(self.levels) for line in self._level(number, level)),
                "  }",
                "}",
            ]
        )

    def _level(self, number: int, level: _Level) -> Iterator[str]:
        yield "    APART for (i64 i = 0; i < strip.n; i++) {"
        yield from (f"      {line}" for line in level.lines)
        yield from (f"      s_{x.name}[i] = {x.name};" for x in self.kept if x.level == number and not x.whole)
        yield "    }"
        yield from (f"    {scan}" for scan in level.scans)
