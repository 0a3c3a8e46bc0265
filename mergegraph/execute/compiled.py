"""Compile the arithmetic of a plan with the C compiler of the machine.

A compiled loop keeps its values in the registers of the processor, where each kernel writes a tile. It is used only
where it gives the bits that its text gives compiled plainly, which are those of the kernels.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.execute.library import has_compiler, library
from mergegraph.execute.loops import Loop, cut
from mergegraph.execute.steps import Function, Segment, Step, Steps
from mergegraph.kernels.scalars import SCALARS
from mergegraph.ops import OPS
from mergegraph.plan.planner import Stage
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

    def is_all_of(self, stages: Sequence[Stage]) -> bool:
        """Tell whether nothing is left in any stage that needs the kernels."""
        programs = [program for stage in stages for program in stage.programs]
        plain = [tuple(phase.tiles for phase in program.phases) for program in programs]
        steps = (self.steps(program) or tiles for program, tiles in zip(programs, plain, strict=True))
        compiled = all(isinstance(step, Segment) for phases in steps for step in chain(*phases))
        return compiled and not any(map(_needs_kernels_beside, programs))


def needs_kernels(stages: Sequence[Stage]) -> bool:
    """Tell whether stages need the kernels, compiled as they are by default: as far as is known before they are."""
    programs = [program for stage in stages for program in stage.programs]
    if not has_compiler() or any(map(_needs_kernels_beside, programs)):
        return True
    draft = _Draft.of(programs, _seen(stages))
    return len(draft.paying) < len(draft.loops) or not draft.complete


def compile_stages(stages: Sequence[Stage], *, always: bool) -> Compiled:
    """Compile the loops of stages; see `compile_programs`.

    Unless it is to be done `always`, they are those that pay: none if there is no compiler. If it fails, that is a
    warning then.
    """
    programs = [program for stage in stages for program in stage.programs]
    if always:
        return compile_programs(programs)
    try:
        return compile_programs(programs, _seen(stages))
    except MergeGraphError as error:
        told = tuple(replace(d, severity="warning") for d in error.diagnostics if d.code != "MG460")
        return Compiled(0.0, 0, told, {})


def compile_programs(programs: Sequence[Program], seen: Sequence[int] | None = None) -> Compiled:
    """Compile what C has in programs: all of it, or what pays if the programs see so many elements.

    Loops that give other bits than they should are left out, with a warning (MG462). MergeGraphError if there is no
    compiler (MG460), or if it fails (MG461).
    """
    started = time.monotonic()
    draft = _Draft.of(programs, seen)
    functions = _functions(draft.paying)
    steps = {
        id(program): tuple(tuple(_steps(items, functions)) for items in phases)
        for program, phases in zip(programs, draft.phases, strict=True)
    }
    differing = len(draft.paying) - len(functions)
    warnings = (_differ(differing, len(draft.paying)),) if differing else ()
    return Compiled(time.monotonic() - started, len(functions), warnings, steps)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is to be compiled: the `loops` that C has in the phases of programs by their text, and those that pay.

    It is `complete` if C has all there is in the phases.
    """

    phases: Sequence[Sequence[Sequence[Instruction | Loop]]]
    loops: Mapping[str, Loop]
    paying: Sequence[Loop]
    complete: bool

    @classmethod
    def of(cls, programs: Sequence[Program], seen: Sequence[int] | None) -> _Draft:
        """Return what is to be compiled of programs that see so many elements; all loops pay if that isn't told."""
        phases = [[list(cut(phase, program)) for phase in program.phases] for program in programs]
        work: Counter[str] = Counter()
        for drafts, program, elements in zip(phases, programs, seen or [PAYS] * len(programs), strict=True):
            for items, phase in zip(drafts, program.phases, strict=True):
                share = elements // SAMPLE_SHARE if phase.sampled and seen else elements
                work.update({x.text: share for x in items if isinstance(x, Loop)})
        items = [x for drafts in phases for items in drafts for x in items]
        loops = {x.text: x for x in items if isinstance(x, Loop)}
        complete = not any(isinstance(x, Instruction) for x in items)
        return cls(phases, loops, _paying(loops, work, complete=complete), complete)


def _seen(stages: Sequence[Stage]) -> list[int]:
    """Return how many elements each program of each stage sees, in all units."""
    seen = []
    for stage in stages:
        units = Counter(stage.numbers)
        seen += [program.elements * units[number] for number, program in enumerate(stage.programs)]
    return seen


def _needs_kernels_beside(program: Program) -> bool:
    """Tell whether a program does anything beside its tiles that needs the kernels."""
    arithmetic = chain(program.prologue, *(phase.scalars for phase in program.phases))
    return bool(program.matrices) or not all(OPS[x.op].scalar or x.op in SCALARS for x in arithmetic)


def _paying(loops: Mapping[str, Loop], work: Mapping[str, int], *, complete: bool) -> list[Loop]:
    """Return the loops that pay: also those that see little, if the kernels need not be loaded then."""
    rest = sum(len(loop.instructions) for text, loop in loops.items() if work[text] < PAYS)
    if complete and rest <= LOADING and "torch" not in sys.modules:
        return list(loops.values())
    return [loop for text, loop in loops.items() if work[text] >= PAYS]


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
