"""Find statistics of tensors: as a graph that writes nothing, planned and executed like a merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.compiler import resources
from mergegraph.dtypes import FLOAT32
from mergegraph.ir.graph import Graph, OutputTensor, TensorRef, input_leaf
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.ops.cast import cast
from mergegraph.ops.gathered import gathered
from mergegraph.optimize.pipeline import optimize
from mergegraph.plan.plan import Planned
from mergegraph.plan.planner import arrange, plan

Statistics = Callable[[Sequence[Node]], Sequence[Node]]
"""Gives the statistics that are asked of tensors of one shape, in float32."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found: the statistics of each question by its name, in the order they were asked for."""

    found: Mapping[str, tuple[float, ...]]
    seconds: float
    bytes_read: int
    planned_peak_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Question:
    """Asks for `statistics` of tensors of one shape, each of a model given by its number."""

    name: str
    tensors: tuple[tuple[int, Tensor], ...]
    statistics: Statistics


def comparable(tensor: Tensor) -> bool:
    """Tell whether statistics of a tensor can be found: it has elements, of a type that arithmetic is defined on."""
    return tensor.dtype.mergeable and 0 not in tensor.shape


def measure(
    questions: Iterable[Question],
    checkpoints: Sequence[Checkpoint],
    *,
    memory: int | None,
    workers: int | None,
    planned: Planned,
) -> Survey:
    """Answer questions, reading every tensor once or twice and within `memory` bytes; see `compiler.resources`.

    MergeGraphError if that does not do (MG401), or a file can't be read.
    """
    # What takes memory is loaded before the plan is made, so that the budget holds for all of it.
    from mergegraph.execute.run import load_kernels, run_stages

    load_kernels()

    graph, _ = optimize(_graph(questions, checkpoints))
    found = plan(
        arrange(graph),
        lambda ref: checkpoints[ref.model].tensors[ref.name],
        resources(memory, workers),
    )
    totals, measured = run_stages([found], checkpoints, planned(found, 0))
    answers = {name: tuple(map(float, numbers)) for name, numbers in totals.items()}
    return Survey(answers, measured.seconds, measured.bytes_read, found.planned_peak_bytes, measured.peak_rss_bytes)


def _graph(questions: Iterable[Question], checkpoints: Sequence[Checkpoint]) -> Graph:
    """Return the graph whose tensors are the answers; equal questions of equal tensors are one template."""
    roots: dict[tuple[Statistics, tuple[TensorType, ...]], Node] = {}
    tensors = []
    for question in questions:
        types = tuple(TensorType(tensor.dtype, tensor.shape or (1,)) for _, tensor in question.tensors)
        key = question.statistics, types
        if key not in roots:
            leaves = [cast(input_leaf(i, type), dtype=FLOAT32.name) for i, type in enumerate(types)]
            roots[key] = gathered(list(question.statistics(leaves)))
        bindings = tuple(TensorRef(model, tensor.name) for model, tensor in question.tensors)
        tensors.append(OutputTensor(-1, question.name, roots[key], bindings))
    return Graph(tuple(checkpoint.source for checkpoint in checkpoints), (), tuple(tensors))
