"""Hand a picture over to networkx."""

from __future__ import annotations

from typing import TypeAlias

import networkx as nx

from mergegraph.report.picture import Picture

Graph: TypeAlias = "nx.MultiDiGraph[str]"


def to_networkx(picture: Picture) -> Graph:
    """Return a picture as a graph: nodes have `lines`, `kind` and `group`, edges have a `label`."""
    graph: Graph = nx.MultiDiGraph()
    for node in picture.nodes:
        graph.add_node(node.id, lines=node.lines, kind=node.kind, group=node.group)
    for edge in picture.edges:
        graph.add_edge(edge.source, edge.target, label=edge.label)
    return graph
