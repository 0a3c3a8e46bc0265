"""Print the Plan: what is read and written, in how much memory, and why; or how chosen tensors are computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from textwrap import wrap

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape, listed
from mergegraph.plan import strategy
from mergegraph.plan.plan import Compute, Copy, Plan, Unit
from mergegraph.plan.program import Phase, Program
from mergegraph.report import figures
from mergegraph.report.spelling import counted
from mergegraph.sizes import format_size

MOST_LINES = 16
"""Lines on programs, so that a plan fits on a screen; one program is always told of."""

MOST_SHAPES = 4
GUTTER = 10
WIDTH = 120


def plan_text(compilation: Compilation, plan: Plan) -> str:
    """Return a plan as text that fits on a screen."""
    sections = {
        "writes": _outputs(compilation),
        "from": _inputs(compilation, plan),
        "moves": _moves(compilation, plan),
        "memory": _memory(compilation, plan),
        "units": _units(plan),
        "shared": _shared(compilation, plan),
        "passes": _passes(compilation),
        "programs": _programs(plan),
    }
    blocks = [_section(title, list(lines)) for title, lines in sections.items()]
    return "\n\n".join([f"plan of {escape(compilation.source.name)}", *filter(None, blocks)]) + "\n"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join(f"{title if not i else '':<{GUTTER}}{line}".rstrip() for i, line in enumerate(lines))


def _outputs(compilation: Compilation) -> list[str]:
    return _columns(
        (
            escape(found.path),
            counted(found.tensors, "tensor"),
            format_size(found.nbytes),
            " ".join(found.dtypes),
            counted(found.files, "file"),
        )
        for found in figures.outputs(compilation)
    )


def _inputs(compilation: Compilation, plan: Plan) -> list[str]:
    return _columns(
        (
            escape(found.name),
            escape(found.source),
            counted(found.tensors, "tensor"),
            format_size(found.nbytes),
            counted(found.files, "file"),
            "" if found.used == found.nbytes else f"of which {format_size(found.used)} are needed",
            *((f"commit {found.commit[:7]}",) if found.commit else ()),
            *((f"{format_size(found.download)} to download",) if found.download else ()),
        )
        for found in figures.inputs(compilation, plan)
    )


def _moves(compilation: Compilation, plan: Plan) -> Iterator[str]:
    often = plan.bytes_read / plan.input_bytes if plan.input_bytes else 1.0
    times = "once" if often == 1.0 else f"{often:.2f} times on average"
    yield f"{format_size(plan.bytes_read)} are read: what is needed of the inputs, {times}"
    yield f"{format_size(plan.bytes_written)} are written"
    missing = sum(found.download for found in figures.inputs(compilation, plan))
    if missing:
        yield f"{format_size(missing)} are downloaded before: files of weights that are not on this machine"


def _memory(compilation: Compilation, plan: Plan) -> Iterator[str]:
    yield (
        f"{format_size(plan.planned_peak_bytes)} planned peak, of {format_size(plan.budget_bytes)} allowed, "
        f"with {counted(plan.workers, 'worker')}"
    )
    yield f"{format_size(plan.baseline_bytes)} of it are the interpreter and its libraries"
    yield f"{format_size(plan.lower_bound_bytes)} is the least in which this merge runs, with one worker"
    yield f"the order of operations {'is optimal: none needs less memory' if plan.optimal else 'may not be optimal'}"
    if plan.units:
        unit = plan.units[plan.dearest]
        yield f"{format_size(unit.peak_bytes)} in the dearest unit, {_kind(unit)}: {_target_names(compilation, unit)}"


def _units(plan: Plan) -> Iterator[str]:
    kinds = Counter(map(_kind, plan.units))
    parts = [
        (kinds["resident"], "computed from inputs that are held whole"),
        (kinds["streaming"], "computed from inputs that are streamed"),
        (kinds["copied"], "copied byte for byte"),
    ]
    yield f"{len(plan.units):,}: " + ", ".join(f"{count:,} {what}" for count, what in parts if count)
    yield from _reasons(plan)
    for number, stage in enumerate(plan.before, start=1):
        yield (
            f"before them, stage {number}: {counted(len(stage.units), 'unit')} that read "
            f"{format_size(stage.bytes_read)} for {counted(figures.statistics(stage), 'statistic')}, "
            f"{format_size(stage.planned_peak_bytes)} at most"
        )


def _reasons(plan: Plan) -> Iterator[str]:
    """Yield why inputs are held, or read again, where units look at them more than once."""
    computed = [unit for unit in plan.units if isinstance(unit, Compute)]
    again = Counter((u.program, u.resident) for u in computed if len(plan.programs[u.program].phases) > 1)
    held = sum(count for (_, resident), count in again.items() if resident)
    share = figures.worker_bytes(plan)
    need = [strategy.held(program, kernels=plan.kernels).peak_bytes for program in plan.programs]
    large = sum(count for (number, resident), count in again.items() if not resident and need[number] > share)
    if held:
        yield f"held are those that several phases need and that fit into the {format_size(share)} of a worker"
    if large:
        yield f"{large:,} are read once a phase: to hold them takes more than the {format_size(share)} of a worker"
    if cached := again.total() - held - large:
        yield f"{cached:,} are read once a phase, from the page cache: to hold them takes as long, and more memory"


def _shared(compilation: Compilation, plan: Plan) -> Iterator[str]:
    count = len(compilation.recipe.saves)
    if count < 2:
        return
    found = figures.sharing(compilation, plan)
    yield _saving(f"{count} outputs together read", format_size, plan.bytes_read, found.bytes_alone)
    yield _saving("they take", lambda n: counted(n, "operation"), found.operations, found.operations_alone)


def _saving(title: str, spell: Callable[[int], str], together: int, alone: int) -> str:
    saved = f"{1 - together / alone:.0%} saved" if together < alone else "nothing saved"
    return f"{title} {spell(together)}, one by one {spell(alone)}: {saved}"


def _passes(compilation: Compilation) -> list[str]:
    return _columns(
        (
            step.name,
            f"{step.nodes_before:,} → {step.nodes_after:,} nodes",
            f"{step.bindings_before:,} → {step.bindings_after:,} bindings",
            step.summary,
        )
        for step in compilation.passes
    )


def _programs(plan: Plan) -> Iterator[str]:
    """Yield what units do, phase by phase; programs that differ in shape only are told of once."""
    uses = Counter(unit.program for unit in plan.units if isinstance(unit, Compute))
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, _ in uses.most_common():
        alike.setdefault(tuple(_program(plan.programs[number])), []).append(number)
    ends = accumulate(len(lines) + 1 for lines in alike)
    told = max(1, sum(end <= MOST_LINES for end in ends))
    for lines, numbers in islice(alike.items(), told):
        shapes: Counter[str] = Counter()
        for number in numbers:
            shapes[str(plan.programs[number].outputs[0])] += uses[number]
        parts = [f"{count:,} of {shape}" for shape, count in shapes.most_common(MOST_SHAPES)]
        parts += [counted(len(shapes) - MOST_SHAPES, "more shape")] if len(shapes) > MOST_SHAPES else []
        yield f"{counted(shapes.total(), 'unit')}: {', '.join(parts)}"
        yield from lines
    if told < len(alike):
        yield f"… and {counted(len(alike) - told, 'more program')}: `--tensor GLOB` shows that of a tensor"


def _program(program: Program) -> Iterator[str]:
    yield (
        f"  {counted(len(program.inputs), 'input')} to {counted(len(program.outputs), 'output')}, "
        f"{counted(program.registers, 'register')}"
    )
    for i, phase in enumerate(program.phases):
        verb = "samples" if phase.sampled else "reads"
        text = f"  phase {i + 1} {verb} {_places('i', phase.reads)}: {_kernels(phase)}"
        yield from wrap(text, WIDTH - GUTTER, subsequent_indent="    ")


def _kernels(phase: Phase) -> str:
    counts = Counter(instruction.op for instruction in phase.tiles)
    tiles = ", ".join(op if count == 1 else f"{count} {op}" for op, count in counts.items())
    return f"{tiles}; then {counted(len(phase.scalars), 'scalar')}" if phase.scalars else tiles


def units_text(compilation: Compilation, plan: Plan, names: set[str]) -> str:
    """Return how the output tensors of these names are computed, instruction by instruction."""
    chosen = [(i, u) for i, u in enumerate(plan.units) if any(target.name in names for target in u.targets)]
    shown: set[int] = set()
    blocks = []
    for number, unit in chosen:
        blocks.append("\n".join(_unit(compilation, plan, number, unit, shown)))
        shown |= {unit.program} if isinstance(unit, Compute) else set()
    return "\n\n".join(blocks) + "\n"


def _unit(compilation: Compilation, plan: Plan, number: int, unit: Unit, shown: set[int]) -> Iterator[str]:
    yield f"unit {number} of {len(plan.units)}, {_kind(unit)}, {format_size(unit.peak_bytes)} at most"
    graph = compilation.optimized
    for i, ref in enumerate(unit.inputs):
        place = compilation.tensor(ref)
        yield f"  i{i} = {escape(graph.models[ref.model])}: {escape(ref.name)}, {place.dtype}{list(place.shape)}"
    if isinstance(unit, Compute):
        given = [
            *(f"key 0x{key:016x}" for key in unit.keys),
            *(f"number {number!r}" for number in unit.numbers),
            *(f"total of {escape(name)}" for name in unit.totals),
            *(f"table {name}" for name in unit.tables),
            *(f"{escape(graph.models[ref.model])}: {escape(ref.name)}, held whole" for ref in unit.matrices),
        ]
        yield from (f"  s{i} = {what}" for i, what in enumerate(given))
    for i, target in enumerate(unit.targets):
        yield f"  o{i} = {escape(graph.saves[target.save])}: {escape(target.name)}"
    if isinstance(unit, Copy):
        yield "  copy i0 to o0" + (", and fail unless all inputs are equal" if len(unit.sources) > 1 else "")
    elif unit.program in shown:
        yield f"  program {unit.program}, as above"
    else:
        yield f"  program {unit.program}, {unit.window:,} elements at a time"
        yield from _instructions(plan.programs[unit.program])


def _instructions(program: Program) -> Iterator[str]:
    if program.prologue:
        yield "  first"
        yield from (f"    {instruction}" for instruction in program.prologue)
    for i, phase in enumerate(program.phases):
        tiles = ("some tiles" if phase.sampled else "each tile") + (" of whole rows" if phase.rows else "")
        yield f"  phase {i + 1}, for {tiles} of {_places('i', phase.reads)}"
        yield from (f"    {instruction}" for instruction in phase.tiles)
        if phase.scalars:
            yield "  then"
            yield from (f"    {instruction}" for instruction in phase.scalars)


def _kind(unit: Unit) -> str:
    if isinstance(unit, Copy):
        return "copied"
    return "resident" if unit.resident else "streaming"


def _target_names(compilation: Compilation, unit: Unit) -> str:
    saves = compilation.optimized.saves
    return listed((f"{target.name} of {saves[target.save]}" for target in unit.targets), limit=2)


def _places(letter: str, numbers: Iterable[int]) -> str:
    return " ".join(f"{letter}{number}" for number in numbers) or "nothing"


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines whose cells begin below each other."""
    found = list(rows)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in found]
