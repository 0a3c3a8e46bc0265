"""Tell what two recipes make differently: their optimized graphs compared, tensor by tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import escape, listed
from mergegraph.ir.graph import OutputTensor
from mergegraph.recipe.recipe import Save
from mergegraph.report.recipe_side import SLOT, Origin, Shown, Side
from mergegraph.report.spelling import spell_number
from mergegraph.sizes import format_size
from mergegraph.survey.kinds import place

Lines: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Tensors that two recipes make in the same two ways: their names and kinds, and both ways.

    A number that goes with the layer is written as a `ramp` over the `layers` of these tensors, first and last.
    """

    tensors: tuple[str, ...]
    kinds: tuple[str, ...]
    layers: tuple[int, int] | None
    before: Lines
    after: Lines


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """What differs between two outputs: options by name, tensors that only one has by recipe, changed ones.

    `alike` counts the tensors that are made alike.
    """

    path: str
    options: Mapping[str, str]
    only: Mapping[str, tuple[str, ...]]
    changes: tuple[Change, ...]
    alike: int

    @property
    def same(self) -> bool:
        """Tell whether nothing differs."""
        return not (self.options or self.only or self.changes)


@dataclass(frozen=True, slots=True)
class RecipeDifference:
    """What differs between two recipes: outputs that only one of them writes, as recipe and path, and all others."""

    recipes: tuple[str, str]
    seeds: tuple[int, int]
    only: tuple[tuple[str, str], ...]
    outputs: tuple[OutputDifference, ...]

    @property
    def same(self) -> bool:
        """Tell whether nothing differs."""
        return not self.only and self.seeds[0] == self.seeds[1] and all(output.same for output in self.outputs)


def recipe_difference(one: Compilation, other: Compilation) -> RecipeDifference:
    """Return what differs between the outputs of two recipes, those of the same place or the same path compared.

    Names and layout of the text, and ways to write the same merge, are no difference. MergeGraphError if either can't
    be compiled.
    """
    left, right = Side(one), Side(other)
    only, outputs = [], []
    for here, there in _matched(left.saves, right.saves):
        if here is not None and there is not None:
            outputs.append(_output(left, here, right, there))
        elif here is not None:
            only.append((left.name, left.saves[here].path))
        elif there is not None:
            only.append((right.name, right.saves[there].path))
    seeds = one.recipe.seed, other.recipe.seed
    return RecipeDifference((left.name, right.name), seeds, tuple(only), tuple(outputs))


def _matched(left: Sequence[Save], right: Sequence[Save]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the outputs that belong together: by path, or the only ones of both."""
    if len(left) == len(right) == 1:
        yield 0, 0
        return
    places = {save.path: i for i, save in enumerate(right)}
    for i, save in enumerate(left):
        yield i, places.pop(save.path, None)
    yield from ((None, i) for i in places.values())


def _output(left: Side, here: int, right: Side, there: int) -> OutputDifference:
    ours, theirs = left.tensors(here), right.tensors(there)
    only = {
        left.name: tuple(name for name in ours if name not in theirs),
        right.name: tuple(name for name in theirs if name not in ours),
    }
    both = [name for name in ours if name in theirs]
    changed = [name for name in both if left.normal(ours[name]) != right.normal(theirs[name])]
    return OutputDifference(
        left.saves[here].path,
        dict(_options(left, here, right, there)),
        {recipe: names for recipe, names in only.items() if names},
        tuple(_changes(left, right, [(ours[name], theirs[name]) for name in changed])),
        len(both) - len(changed),
    )


def _options(left: Side, here: int, right: Side, there: int) -> Iterator[tuple[str, str]]:
    one, other = left.saves[here], right.saves[there]
    for name, ours, theirs in (("config", one.config, other.config), ("tokenizer", one.tokenizer, other.tokenizer)):
        if left.origin(ours) != right.origin(theirs):
            names = (escape(side.compilation.checkpoints[m].source) for side, m in ((left, ours), (right, theirs)))
            yield name, " → ".join(names)
    if changed := sorted({token for token, _ in left.tokens(here).items() ^ right.tokens(there).items()}):
        yield "tokens that only one has, or at another number", listed(changed)
    if left.template(here) != right.template(there):
        yield "chat_template", "another"
    if one.shard_size != other.shard_size:
        yield "shard_size", f"{format_size(one.shard_size)} → {format_size(other.shard_size)}"


@dataclass(frozen=True, slots=True)
class _Found:
    """A tensor that is made differently: where it is, and its numbers on either side."""

    name: str
    kind: str
    layer: int | None
    numbers: tuple[tuple[float, ...], tuple[float, ...]]


def _changes(left: Side, right: Side, changed: Sequence[tuple[OutputTensor, OutputTensor]]) -> Iterator[Change]:
    """Yield the changes: tensors together whose expressions, and numbers layer by layer, are equal."""
    labels = _labels(left, right)
    prefixes = left.prefixes() | right.prefixes()
    kinds: dict[tuple[Lines, Lines, str], list[_Found]] = {}
    for ours, theirs in changed:
        one, other = _shown(list(left.views(ours, labels)), list(right.views(theirs, labels)))
        where = place(ours.name, prefixes)
        found = _Found(ours.name, where.everywhere, where.layer, (one.numbers, other.numbers))
        alike = ours.name.replace(f".{where.layer}.", ".*.", 1)
        kinds.setdefault((one.lines, other.lines, alike), []).append(found)
    groups: dict[tuple[Lines, Lines, object], list[_Found]] = {}
    for (before, after, _), tensors in kinds.items():
        groups.setdefault((before, after, _course(tensors)), []).extend(tensors)
    for (before, after, _), tensors in groups.items():
        yield _change(tensors, before, after)


def _labels(left: Side, right: Side) -> Mapping[Origin, str]:
    """Return how models are called: as they are written, or by their paths where that means different ones."""
    sources = {origin: source for side in (right, left) for origin, source in side.sources()}
    uses = Counter(sources.values())
    return {origin: source if uses[source] == 1 else origin[0] for origin, source in sources.items()}


def _shown(ours: Sequence[Shown], theirs: Sequence[Shown]) -> tuple[Shown, Shown]:
    """Return the first texts that tell two expressions apart."""
    return next(pair for pair in zip(ours, theirs, strict=True) if _written(pair[0]) != _written(pair[1]))


def _written(shown: Shown) -> Lines:
    return _filled(shown.lines, [[number] for number in shown.numbers])


def _course(tensors: Sequence[_Found]) -> object:
    """Return the numbers of tensors of different layers: those of all, or those of each layer."""
    numbers = {tensor.numbers for tensor in tensors}
    return numbers.pop() if len(numbers) == 1 else frozenset((tensor.layer, tensor.numbers) for tensor in tensors)


def _change(tensors: Sequence[_Found], before: Lines, after: Lines) -> Change:
    numbers = {tensor.layer: tensor.numbers for tensor in tensors}
    layers = sorted(layer for layer in numbers if layer is not None)
    courses = [numbers[layer] for layer in layers] or list(numbers.values())
    return Change(
        tuple(tensor.name for tensor in tensors),
        tuple(dict.fromkeys(tensor.kind for tensor in tensors)),
        (layers[0], layers[-1]) if None not in numbers else None,
        _filled(before, list(zip(*(course[0] for course in courses), strict=True))),
        _filled(after, list(zip(*(course[1] for course in courses), strict=True))),
    )


def _filled(lines: Lines, courses: Sequence[Sequence[float]]) -> Lines:
    """Return lines with numbers in their slots."""
    for slot, values in enumerate(courses):
        text = _ramp(values)
        lines = tuple(line.replace(SLOT.format(slot), text) for line in lines)
    return lines


def _ramp(values: Sequence[float]) -> str:
    """Return the number that all layers have, or the ramp of theirs: its ends alone, where its steps are equal."""
    if len(set(values)) == 1:
        return spell_number(values[0])
    steps = [b - a for a, b in pairwise(values)]
    even = max(steps) - min(steps) < 1e-9
    shown = [values[0], values[-1]] if even else values
    return f"ramp({', '.join(spell_number(float(f'{value:.12g}')) for value in shown)})"
