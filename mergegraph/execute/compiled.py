"""Compile the arithmetic of a plan with the C compiler of the machine.

A compiled loop keeps its values in the registers of the processor, where each kernel writes a tile. It is used only
where it gives the bits that its text gives compiled plainly, which are those of the kernels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.execute.library import library
from mergegraph.execute.loops import Loop, cut
from mergegraph.execute.steps import Function, Segment, Step, Steps
from mergegraph.kernels.scalars import SCALARS
from mergegraph.ops import OPS
from mergegraph.plan.plan import Compute, Plan
from mergegraph.plan.program import SAMPLE_SHARE, Instruction, Program

PAYS = 1 << 25
"""Elements that a loop must see in all: an instruction takes 10 ms to compile and compare, and saves 0.3 ns each."""

LOADING = 100
"""Instructions that take as long to compile as the kernels take to load."""


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

    def is_all_of(self, plan: Plan) -> bool:
        """Tell whether nothing is left in any stage of a plan that needs the kernels."""
        return all(self._is_all_of(program) for stage in (*plan.before, plan) for program in stage.programs)

    def _is_all_of(self, program: Program) -> bool:
        steps = self.steps(program) or tuple(phase.tiles for phase in program.phases)
        arithmetic = chain(program.prologue, *(phase.scalars for phase in program.phases))
        return (
            all(isinstance(step, Segment) for step in chain(*steps))
            and all(OPS[x.op].scalar or x.op in SCALARS for x in arithmetic)
            and not program.matrices
        )


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

    Loops that give other bits than they should are left out, with a warning (MG462). MergeGraphError if there is no
    compiler (MG460), or if it fails (MG461).
    """
    started = time.monotonic()
    drafts = [[list(cut(phase, program)) for phase in program.phases] for program in programs]
    work: Counter[str] = Counter()
    for phases, program, elements in zip(drafts, programs, seen or [PAYS] * len(programs), strict=True):
        for items, phase in zip(phases, program.phases, strict=True):
            share = elements // SAMPLE_SHARE if phase.sampled and seen else elements
            work.update({x.text: share for x in items if isinstance(x, Loop)})
    items = [x for phases in drafts for items in phases for x in items]
    loops = {x.text: x for x in items if isinstance(x, Loop)}
    paying = _paying(loops, work, complete=not any(isinstance(x, Instruction) for x in items))
    functions = _functions(paying)
    steps = {
        id(program): tuple(tuple(_steps(items, functions)) for items in phases)
        for program, phases in zip(programs, drafts, strict=True)
    }
    differing = len(paying) - len(functions)
    warnings = (_differ(differing, len(paying)),) if differing else ()
    return Compiled(time.monotonic() - started, len(functions), warnings, steps)


def _paying(loops: Mapping[str, Loop], work: Mapping[str, int], *, complete: bool) -> list[Loop]:
    """Return the loops that pay: also those that see little, if the kernels need not be loaded then."""
    found = [loop for text, loop in loops.items() if work[text] >= PAYS]
    rest = sum(len(loop.instructions) for text, loop in loops.items() if work[text] < PAYS)
    return list(loops.values()) if found and complete and rest <= LOADING else found


def _functions(loops: Sequence[Loop]) -> dict[str, Function]:
    """Return the functions of loops by their text, those left out that give other bits compiled plainly."""
    if not loops:
        return {}
    ordered = sorted(loops, key=lambda loop: loop.text)
    built = library([loop.text for loop in ordered])
    agreed = built.agreed
    if agreed is None:
        from mergegraph.execute.agreement import agrees

        pairs = zip(ordered, built.functions, built.plain, strict=True)
        agreed = tuple(agrees(loop, (_segment(loop, f), _segment(loop, plain))) for loop, f, plain in pairs)
        built.keep(agreed)
    each = zip(ordered, built.functions, agreed, strict=True)
    return {loop.text: function for loop, function, same in each if same}


def _segment(loop: Loop, function: Function) -> Segment:
    return Segment(loop.places, loop.numbers, loop.draws, loop.scans, function)


def _steps(items: Iterable[Instruction | Loop], functions: Mapping[str, Function]) -> Iterator[Step]:
    for item in items:
        if isinstance(item, Instruction):
            yield item
        elif item.text in functions:
            # Other loops may have the same text, and other numbers.
            yield _segment(item, functions[item.text])
        else:
            yield from item.instructions


def _differ(count: int, loops: int) -> Diagnostic:
    message = f"{count} of {loops} compiled loops give other bits than they should, and are not used"
    help = ("the output is as it should be; another C compiler may make it faster",)
    return Diagnostic("MG462", message, help=help, severity="warning")
