"""The passes in the order they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mergegraph.ir.graph import Graph, map_templates
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
    """Return the graph after all passes, or only after those that define its meaning, and what each did."""
    done = []
    for step in passes():
        if step.promise == "meaning" or exact:
            after = map_templates(graph, step.run)
            verify(after, step.name)
            done.append(_report(step, graph, after))
            graph = after
    return graph, tuple(done)


def _report(step: Pass, before: Graph, after: Graph) -> Applied:
    return Applied(
        step.name,
        step.promise,
        step.summary,
        len(before.nodes()),
        len(after.nodes()),
        sum(len(t.bindings) for t in before.tensors),
        sum(len(t.bindings) for t in after.tensors),
    )
