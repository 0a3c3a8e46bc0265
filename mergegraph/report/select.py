"""Choose the tensors that a report is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from mergegraph.diagnostics import Diagnostic, MergeGraphError, did_you_mean, escape, listed
from mergegraph.ir.graph import Graph


def select_tensors(graph: Graph, glob: str) -> Graph:
    """Return the graph of the output tensors whose names match. MergeGraphError (MG380) if there are none."""
    names = matching((tensor.name for tensor in graph.tensors), glob)
    return replace(graph, tensors=tuple(tensor for tensor in graph.tensors if tensor.name in names))


def matching(names: Iterable[str], glob: str, what: str = "output tensor") -> set[str]:
    """Return the names that match a glob. MergeGraphError (MG380), which says `what` they name, if there are none."""
    known = set(names)
    found = {name for name in known if fnmatchcase(name, glob)}
    if not found:
        near = did_you_mean(glob, known) or (f"there are {listed(sorted(known), 2)}",) * bool(known)
        help = (*near, "`*` stands for any characters, dots too")
        raise MergeGraphError(Diagnostic("MG380", f"no {what} is named like `{escape(glob)}`", help=help))
    return found
