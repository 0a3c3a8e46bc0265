"""Compile the arithmetic of a plan with the C compiler of the machine.

A compiled loop keeps its values in the registers of the processor, where each kernel writes a tile. It is used only
where it gives the same bits as the kernels.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ctypes import CDLL, Structure, addressof, c_double, c_float, c_int64, c_uint64, c_void_p
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.execute.agreement import Call, Value, agrees
from mergegraph.execute.loops import Loop, cut
from mergegraph.kernels import Tile
from mergegraph.plan.plan import Compute, Plan
from mergegraph.plan.program import SAMPLE_SHARE, Instruction, Place, Program

SOURCES = ("pointwise.c", "scans.c", "rows.c")
COMPILERS = ("cc", "gcc", "clang")

PAYS = 1 << 25
"""Elements that a loop must see in all: an instruction takes 10 ms to compile and compare, and saves 0.3 ns each."""

FLAGS = (
    *("-x", "c", "-w", "-O3", "-march=native", "-shared", "-fPIC", "-nostdlib"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
"""A product and a sum are never rounded at once. What is given up are error numbers and traps, that nobody looks at."""

Function: TypeAlias = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Segment:
    """A compiled loop: `function` works on the tiles `places`, with these scalars, random masks and scans."""

    places: tuple[Place, ...]
    scalars: tuple[Place, ...]
    draws: tuple[Instruction, ...]
    scans: tuple[Instruction, ...]
    function: Function

    def arguments(
        self, where: Iterable[Tile], tiles: Iterable[Sequence[int]], value: Value, states: Sequence[Structure]
    ) -> list[tuple[Any, ...]]:
        """Return the arguments of `function` for every tile.

        `tiles` are the addresses of each in the order of `places`, `states` what the kernels of the `scans` lend.
        """
        numbers = _array(c_float, [value(x) for x in self.scalars])
        keys = _array(c_uint64, [value(draw.inputs[1]) for draw in self.draws])
        densities = _array(c_double, [value(draw.inputs[0]) for draw in self.draws])
        lent = _array(c_void_p, [addressof(state) for state in states])
        return [
            (tile.count, tile.start, _array(c_void_p, pieces), numbers, keys, densities, lent)
            for tile, pieces in zip(where, tiles, strict=True)
        ]


def _array(kind: Any, values: Sequence[Any]) -> Any:
    return (kind * len(values))(*values)


Step: TypeAlias = Instruction | Segment
Steps: TypeAlias = tuple[tuple[Step, ...], ...]
"""What runs on each tile, phase by phase."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The loops that take the place of instructions: how many, and the seconds that it took to make them."""

    seconds: float
    loops: int
    warnings: tuple[Diagnostic, ...]
    _steps: Mapping[int, Steps]

    def steps(self, program: Program) -> Steps | None:
        """Return the steps of a program; None if nothing of it is compiled."""
        return self._steps.get(id(program))


def compile_plan(plan: Plan, *, always: bool) -> Compiled:
    """Compile the loops of all stages of a plan; see `compile_programs`.

    Unless it is to be done `always`, they are those that pay: none if there is no compiler. If it fails, that is a
    warning then.
    """
    stages = (*plan.before, plan)
    programs = [program for stage in stages for program in stage.programs]
    if always:
        return compile_programs(programs)
    seen = Counter({id(program): 0 for program in programs})
    for stage in stages:
        for unit in stage.units:
            if isinstance(unit, Compute):
                seen[id(stage.programs[unit.program])] += stage.programs[unit.program].elements
    try:
        return compile_programs(programs, [seen[id(program)] for program in programs])
    except MergeGraphError as error:
        told = tuple(replace(d, severity="warning") for d in error.diagnostics if d.code != "MG460")
        return Compiled(0.0, 0, told, {})


def compile_programs(programs: Sequence[Program], seen: Sequence[int] | None = None) -> Compiled:
    """Compile what C has in programs: all of it, or what pays if the programs see so many elements.

    Loops that give other bits than the kernels are left out, with a warning (MG462). MergeGraphError if there is no
    compiler (MG460), or if it fails (MG461).
    """
    started = time.monotonic()
    drafts = [[list(cut(phase, program)) for phase in program.phases] for program in programs]
    work: Counter[str] = Counter()
    for phases, program, elements in zip(drafts, programs, seen or [PAYS] * len(programs), strict=True):
        for items, phase in zip(phases, program.phases, strict=True):
            share = elements // SAMPLE_SHARE if phase.sampled and seen else elements
            work.update({x.text: share for x in items if isinstance(x, Loop)})
    loops = {x.text: x for phases in drafts for items in phases for x in items if isinstance(x, Loop)}
    paying = [loop for text, loop in loops.items() if work[text] >= PAYS]
    functions = _functions(paying)
    steps = {
        id(program): tuple(tuple(_steps(items, functions)) for items in phases)
        for program, phases in zip(programs, drafts, strict=True)
    }
    differing = len(paying) - len(functions)
    warnings = (_differ(differing, len(paying)),) if differing else ()
    return Compiled(time.monotonic() - started, len(functions), warnings, steps)


def _functions(loops: Sequence[Loop]) -> dict[str, Function]:
    """Return the functions of loops by their text, those left out that do not do what the kernels do."""
    functions = _built([loop.text for loop in loops]) if loops else []
    return {loop.text: f for loop, f in zip(loops, functions, strict=True) if agrees(loop, _caller(loop, f))}


def _caller(loop: Loop, function: Function) -> Call:
    segment = _segment(loop, function)

    def call(tile: Tile, pieces: Sequence[torch.Tensor], value: Value, states: Sequence[Structure]) -> None:
        function(*segment.arguments([tile], [[x.data_ptr() for x in pieces]], value, states)[0])

    return call


def _segment(loop: Loop, function: Function) -> Segment:
    return Segment(loop.places, loop.scalars, loop.draws, loop.scans, function)


def _steps(items: Iterable[Instruction | Loop], functions: Mapping[str, Function]) -> Iterator[Step]:
    for item in items:
        if isinstance(item, Instruction):
            yield item
        elif item.text in functions:
            # Other loops may have the same text, and other scalars.
            yield _segment(item, functions[item.text])
        else:
            yield from item.instructions


def _built(texts: Sequence[str]) -> list[Function]:
    """Compile functions and load them."""
    kernels = (resources.files("mergegraph.kernels").joinpath(name).read_text(encoding="utf-8") for name in SOURCES)
    named = [text.replace("NAME", f"loop{number}", 1) for number, text in enumerate(texts)]
    with TemporaryDirectory(prefix="mergegraph-") as folder:
        source, library = Path(folder) / "loops.c", Path(folder) / "loops.so"
        source.write_text("\n".join([*kernels, *named, ""]), encoding="utf-8")
        command = [_compiler(), *FLAGS, str(source), "-lm", "-o", str(library)]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if ended.returncode:
            raise _failed(next(iter(ended.stderr.splitlines()), f"it ended with {ended.returncode}"))
        try:
            loaded = CDLL(str(library))
        except OSError as error:
            raise _failed(str(error).replace(str(library), library.name)) from None
    functions = [loaded[f"loop{number}"] for number in range(len(texts))]
    for function in functions:
        function.argtypes, function.restype = (c_int64, c_int64, *[c_void_p] * 5), None
    return list(functions)


def _compiler() -> str:
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        message = "no C compiler was found to compile the merge with"
        named = f"{', '.join(COMPILERS[:-1])} or {COMPILERS[-1]}"
        help = (f"install one, such as Debian's package `gcc`, so that there is a program {named}", _WITHOUT)
        raise MergeGraphError(Diagnostic("MG460", message, help=help, status=1))
    return found


def _failed(reason: str) -> MergeGraphError:
    return MergeGraphError(Diagnostic("MG461", f"the C compiler failed: {escape(reason)}", help=(_WITHOUT,), status=1))


def _differ(count: int, loops: int) -> Diagnostic:
    message = f"{count} of {loops} compiled loops give other bits than the kernels, and are not used"
    help = ("the output is as it should be; another C compiler may make it faster",)
    return Diagnostic("MG462", message, help=help, severity="warning")


_WITHOUT = "say `--no-compile`: the output has the same bytes"
