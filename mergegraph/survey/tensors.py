"""Describe the numbers in the tensors of a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.ir.node import Node
from mergegraph.machine import peak_resident_bytes
from mergegraph.ops.add import add
from mergegraph.ops.count import count
from mergegraph.ops.dot import dot
from mergegraph.ops.equal import equal
from mergegraph.ops.extremes import largest, smallest
from mergegraph.ops.less import less
from mergegraph.ops.multiply import multiply
from mergegraph.ops.subtract import subtract
from mergegraph.ops.sum import sum_
from mergegraph.ops.where import where
from mergegraph.plan.plan import Planned
from mergegraph.survey.measure import Question, Survey, comparable, measure
from mergegraph.survey.results import BINS, TensorStatistics
from mergegraph.survey.small import describe_rows, is_small


def survey_tensors(
    checkpoint: Checkpoint,
    tensors: Sequence[Tensor],
    *,
    memory: int | None,
    workers: int | None,
    planned: Planned,
) -> tuple[Mapping[str, TensorStatistics], Survey]:
    """Return the figures of tensors by name, without those whose type has no arithmetic; and what finding them took."""
    asked = [t for t in tensors if comparable(t)]
    questions = [Question(t.name, ((0, t),), _statistics) for t in asked if not is_small(t)]
    survey = measure(questions, [checkpoint], memory=memory, workers=workers, planned=planned)
    survey = _with_small(survey, checkpoint, [t for t in asked if is_small(t)])
    return {t.name: _figures(survey.found[t.name], math.prod(t.shape)) for t in asked}, survey


def _with_small(survey: Survey, checkpoint: Checkpoint, tensors: Sequence[Tensor]) -> Survey:
    started = time.monotonic()
    found = {**survey.found, **describe_rows(checkpoint, tensors)}
    return replace(
        survey,
        found=found,
        seconds=survey.seconds + time.monotonic() - started,
        bytes_read=survey.bytes_read + sum(tensor.nbytes for tensor in tensors),
        peak_rss_bytes=peak_resident_bytes(),
    )


def _statistics(tensors: Sequence[Node]) -> list[Node]:
    (x,) = tensors
    finite = equal(subtract(x, x), 0.0)
    known = where(finite, x, 0.0)
    high = where(finite, x, math.inf)
    low, top = smallest(high), largest(where(finite, x, -math.inf))
    width = subtract(top, low)
    edges = [low, *(add(low, multiply(width, i / BINS)) for i in range(1, BINS))]
    below = [count(less(high, edge)) for edge in edges[1:]]
    return [count(finite), sum_(known), dot(known, known), low, top, count(equal(x, 0.0)), *below]


def _figures(found: Sequence[float], size: int) -> TensorStatistics:
    finite, total, square, low, top, zeros, *below = found
    counts = [0.0, *below, finite]
    if not finite:
        return TensorStatistics(math.nan, math.nan, math.nan, math.nan, 0.0, 0.0, size, (0,) * BINS)
    mean = total / finite
    return TensorStatistics(
        mean,
        math.sqrt(max(0.0, square / finite - mean * mean)) if low < top else 0.0,
        low,
        top,
        math.sqrt(square),
        zeros / size,
        size - int(finite),
        tuple(_steps(counts)),
    )


def _steps(counts: Sequence[float]) -> Iterator[int]:
    return (int(b - a) for a, b in pairwise(counts))
