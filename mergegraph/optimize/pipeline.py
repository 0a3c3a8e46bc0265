"""The passes in the order they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mergegraph.ir.graph import Graph, Rebinding, compact, one_of_each, rebound
from mergegraph.ir.node import Node, rewrite
from mergegraph.ops.scalars import fold
from mergegraph.optimize.expand import expand
from mergegraph.optimize.identities import drop_identities
from mergegraph.optimize.prune import prune
from mergegraph.optimize.verify import verify


@dataclass(frozen=True, slots=True)
class Pass:
    """A pure function on expressions, and its promise.

    `meaning` passes define what a merge is and always run; `exact` ones change no bit of the output.
    """

    name: str
    promise: Literal["meaning", "exact"]
    run: Callable[[Node], Node]
    summary: str


def everywhere(rule: Callable[[Node], Node]) -> Callable[[Node], Node]:
    """Return the pass that applies a rule to every node, inputs first; equal nodes are visited once in all."""
    memo: dict[Node, Node] = {}
    return lambda root: rewrite(root, rule, memo)


def passes() -> tuple[Pass, ...]:
    """Return the passes of one compilation."""
    return (
        Pass("prune", "meaning", everywhere(prune), "leave out what has weight or density 0"),
        Pass("expand", "meaning", expand, "replace methods by primitive operations"),
        Pass("fold", "exact", everywhere(fold), "compute what depends on constants only"),
        Pass("identities", "exact", everywhere(drop_identities), "drop operations that change nothing"),
    )


@dataclass(frozen=True, slots=True)
class Applied:
    """What one pass did: distinct nodes and bindings before and after."""

    name: str
    promise: str
    summary: str
    nodes_before: int
    nodes_after: int
    bindings_before: int
    bindings_after: int


def optimize(graph: Graph, *, exact: bool = True) -> tuple[Graph, tuple[Applied, ...]]:
    """Return the graph after all passes, or only after those that define its meaning, and what each did.

    A template is optimized once, and its tensors are bound anew once, after the last pass.
    """
    uses = Counter(tensor.root for tensor in graph.tensors)
    sample = before = one_of_each(graph)
    templates = {t.root: (t.root, tuple(range(len(t.bindings)))) for t in (*sample.tensors, *sample.surveyed)}
    done = []
    for step in passes():
        if step.promise == "meaning" or exact:
            templates = {root: _then(found, compact(step.run(found[0]))) for root, found in templates.items()}
            after = rebound(sample, templates)
            verify(after, step.name)
            done.append(_report(step, before, after, list(uses.values())))
            before = after
    optimized = rebound(graph, templates)
    verify(optimized, "the passes")
    return optimized, tuple(done)


def _then(first: Rebinding, second: Rebinding) -> Rebinding:
    """Return what stands for a template after two replacements."""
    root, kept = second
    return root, tuple(first[1][i] for i in kept)


def _report(step: Pass, before: Graph, after: Graph, uses: Sequence[int]) -> Applied:
    return Applied(
        step.name,
        step.promise,
        step.summary,
        len(before.nodes()),
        len(after.nodes()),
        sum(len(t.bindings) * count for t, count in zip(before.tensors, uses, strict=True)),
        sum(len(t.bindings) * count for t, count in zip(after.tensors, uses, strict=True)),
    )
