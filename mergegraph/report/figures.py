"""Work out the figures of a plan that people ask for: what goes in, what comes out, what sharing saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mergegraph.checkpoint.checkpoint import commit, waiting
from mergegraph.checkpoint.summary import describe
from mergegraph.compiler import Compilation
from mergegraph.ir.graph import TensorRef
from mergegraph.ir.node import Node
from mergegraph.plan.plan import Compute, Plan
from mergegraph.plan.planner import Resources, arrange, plan
from mergegraph.write.layout import OutputTensor, plan_layout


@dataclass(frozen=True, slots=True)
class Input:
    """A model that is read from: `nbytes` of tensors in `files` files, of which `used` bytes are needed.

    `commit` pins a model of the Hub, None for others; `download` is the bytes of its weights that a run still fetches.
    """

    name: str
    source: str
    tensors: int
    nbytes: int
    files: int
    used: int
    commit: str | None
    download: int


@dataclass(frozen=True, slots=True)
class Output:
    """A model that is written: `dtypes` gives the bytes of each element type, the most first."""

    path: str
    tensors: int
    nbytes: int
    dtypes: Mapping[str, int]
    files: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the outputs would cost in runs of their own: bytes read, and operations on tiles, in all units together."""

    bytes_alone: int
    operations_alone: int
    operations: int


def inputs(compilation: Compilation, plan: Plan) -> list[Input]:
    """Return the models of a plan in the order of the recipe."""
    needed: Counter[TensorRef] = Counter()
    for ref in {ref for unit in plan.units for ref in (*unit.inputs, *unit.matrices)}:
        needed[TensorRef(ref.model, ref.name)] += compilation.tensor(ref).nbytes
    used: Counter[int] = Counter()
    for whole, nbytes in needed.items():
        # Rows of a vocabulary may be needed more than once.
        used[whole.model] += min(nbytes, compilation.tensor(whole).nbytes)
    return [_input(compilation, model, used[number]) for number, model in enumerate(compilation.recipe.models)]


def _input(compilation: Compilation, model: Node, used: int) -> Input:
    found = compilation.checkpoints[model]
    facts = describe(found)
    download = sum(header.file_bytes for header in waiting(found, compilation.needed.get(found, ())))
    name = compilation.recipe.name(model)
    return Input(name, found.source, facts.tensors, facts.nbytes, facts.shards, used, commit(found), download)


def outputs(compilation: Compilation) -> list[Output]:
    """Return the outputs of a recipe in the order of its saves."""
    return [_output(compilation, number) for number in range(len(compilation.recipe.saves))]


def _output(compilation: Compilation, number: int) -> Output:
    save = compilation.recipe.saves[number]
    types = {t.name: t.root.tensor for t in compilation.optimized.tensors if t.save == number}
    layout = plan_layout([OutputTensor(n, t.dtype, t.shape) for n, t in types.items()], save.shard_size)
    dtypes: Counter[str] = Counter()
    for tensor in types.values():
        dtypes[tensor.dtype.name] += tensor.nbytes
    return Output(save.path, len(types), dtypes.total(), dict(dtypes.most_common()), len(layout.shards))


def sharing(compilation: Compilation, joint: Plan) -> Sharing:
    """Return what it would cost to run each save alone, with the memory and the workers of a plan."""
    alone = list(_alone(compilation, joint))
    return Sharing(sum(p.bytes_read for p in alone), sum(map(operations, alone)), operations(joint))


def _alone(compilation: Compilation, joint: Plan) -> Iterator[Plan]:
    graph = compilation.optimized
    if len(graph.saves) == 1:
        yield joint
        return
    resources = Resources(joint.budget_bytes, joint.workers, joint.baseline_bytes, joint.cache_bytes, joint.kernels)
    for number in range(len(graph.saves)):
        tensors = tuple(tensor for tensor in graph.tensors if tensor.save == number)
        yield plan(arrange(replace(graph, tensors=tensors)), compilation.tensor, resources)


def worker_bytes(plan: Plan) -> int:
    """Return the memory that each worker of a plan may use."""
    return (plan.budget_bytes - plan.baseline_bytes) // plan.workers


def statistics(stage: Plan) -> int:
    """Return how many statistics a stage finds, of whole models and of tensors."""
    return len({name for unit in stage.units if isinstance(unit, Compute) for name in unit.shares})


def operations(plan: Plan) -> int:
    """Return how many operations on tensors all units of a plan do."""
    sizes = [sum(len(phase.tiles) for phase in program.phases) for program in plan.programs]
    return sum(sizes[unit.program] for unit in plan.units if isinstance(unit, Compute))
