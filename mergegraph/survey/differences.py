"""Compare models with a reference: the base they were made from, or the first of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.checkpoint.reader import FileSet
from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.ir.node import Node
from mergegraph.ops.count import count
from mergegraph.ops.dot import dot
from mergegraph.ops.greater import greater
from mergegraph.ops.less import less
from mergegraph.ops.max import max_
from mergegraph.ops.min import min_
from mergegraph.ops.multiply import multiply
from mergegraph.ops.not_equal import not_equal
from mergegraph.ops.subtract import subtract
from mergegraph.plan.plan import Planned
from mergegraph.survey.measure import Question, Survey, comparable, measure
from mergegraph.survey.results import Compared, Comparison, Conflict, Difference, Oddity

PIECE = 1 << 20
"""Bytes that are compared at a time of tensors that no arithmetic is defined on."""


def compare(
    reference: Checkpoint,
    models: Sequence[Checkpoint],
    names: Collection[str],
    *,
    memory: int | None,
    workers: int | None,
    planned: Planned,
) -> tuple[Comparison, Survey]:
    """Return how tensors of these names differ between models and a reference, and what finding that took.

    MergeGraphError (MG286) if no model has a tensor of the name and shape of one of the reference.
    """
    asked = [_Asked(tensor, _alike(tensor, models)) for tensor in reference.tensors.values() if tensor.name in names]
    computed = [a for a in asked if a.others and comparable(a.tensor)]
    oddities = tuple(_oddities(reference, models, names))
    if not any(a.others for a in asked):
        raise MergeGraphError(
            Diagnostic(
                "MG286",
                "these models have no tensor of the same name and shape",
                place=reference.source,
                help=("`mergegraph inspect MODEL --tensor '*'` lists names and shapes",),
            )
        )
    survey = measure(
        [a.question() for a in computed],
        [reference, *models],
        memory=memory,
        workers=workers,
        planned=planned,
    )
    tensors = tuple(a.compared(survey.found[a.tensor.name]) for a in computed)
    sources = tuple(model.source for model in models)
    return Comparison(reference.source, sources, reference.stacks, tensors, oddities), survey


@dataclass(frozen=True, slots=True)
class _Asked:
    """A tensor of the reference, and those like it by the number of their model."""

    tensor: Tensor
    others: dict[int, Tensor]

    def question(self) -> Question:
        tensors = ((0, self.tensor), *((1 + model, other) for model, other in self.others.items()))
        return Question(self.tensor.name, tensors, _statistics)

    def compared(self, found: Sequence[float]) -> Compared:
        size = math.prod(self.tensor.shape)
        square, *rest = found
        models = {}
        for place, model in enumerate(self.others):
            own, product, change, changed = rest[4 * place : 4 * place + 4]
            models[model] = Difference(size, square, own, product, change, int(changed))
        pairs = [*combinations(self.others, 2)]
        between = rest[4 * len(models) :]
        conflict = Conflict(size, int(between[-1])) if pairs else None
        return Compared(self.tensor.name, self.tensor.shape, models, dict(zip(pairs, between, strict=False)), conflict)


def _alike(tensor: Tensor, models: Sequence[Checkpoint]) -> dict[int, Tensor]:
    found = ((number, model.tensors.get(tensor.name)) for number, model in enumerate(models))
    return {n: t for n, t in found if t and t.shape == tensor.shape and t.dtype.mergeable == tensor.dtype.mergeable}


def _statistics(tensors: Sequence[Node]) -> list[Node]:
    r, *models = tensors
    deltas = [subtract(m, r) for m in models]
    found = [dot(r, r)]
    for m, d in zip(models, deltas, strict=True):
        found += [dot(m, m), dot(m, r), dot(d, d), count(not_equal(m, r))]
    if len(deltas) > 1:
        up, down = greater(reduce(max_, deltas), 0.0), less(reduce(min_, deltas), 0.0)
        found += [dot(x, y) for x, y in combinations(deltas, 2)]
        found += [count(multiply(up, down))]
    return found


def _oddities(reference: Checkpoint, models: Sequence[Checkpoint], names: Collection[str]) -> Iterator[Oddity]:
    for number, model in enumerate(models):
        found: dict[str, list[str]] = defaultdict(list)
        for name in dict.fromkeys((*reference.tensors, *model.tensors)):
            if name in names and (reason := _reason(reference, model, name)):
                found[reason].append(name)
        yield from (Oddity(number, reason, tuple(which)) for reason, which in found.items())


def _reason(reference: Checkpoint, model: Checkpoint, name: str) -> str | None:
    """Return what is odd about a tensor, None if nothing is."""
    ours, theirs = reference.tensors.get(name), model.tensors.get(name)
    if ours is None or theirs is None:
        return "only in the reference" if theirs is None else "not in the reference"
    if ours.shape != theirs.shape:
        return f"not compared, as the shape is {list(theirs.shape)} where the reference has {list(ours.shape)}"
    if ours.dtype is not theirs.dtype:
        how = "" if ours.dtype.mergeable and theirs.dtype.mergeable else "not compared, as it is "
        return f"{how}{theirs.dtype} where the reference has {ours.dtype}"
    if not ours.dtype.mergeable:
        return f"{'equal' if _same_bytes(reference, ours, model, theirs) else 'not equal'}, of type {ours.dtype}"
    return None


def _same_bytes(one: Checkpoint, ours: Tensor, other: Checkpoint, theirs: Tensor) -> bool:
    files = [one.files[ours.file], other.files[theirs.file]]
    here, there = (memoryview(bytearray(min(PIECE, ours.nbytes))) for _ in range(2))
    with FileSet([file.path for file in files], [file.identity for file in files]) as opened:
        for start in range(0, ours.nbytes, PIECE):
            size = min(PIECE, ours.nbytes - start)
            opened.read_into(0, ours.begin + start, here[:size])
            opened.read_into(1, theirs.begin + start, there[:size])
            if here[:size] != there[:size]:
                return False
    return True
