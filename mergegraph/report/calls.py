"""Find what each call of a method came to: the nodes of the Recipe that stand for it alone."""

from __future__ import annotations

from collections.abc import Mapping

from mergegraph.diagnostics import Span
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.recipe import Recipe
from mergegraph.report.picture import recipe_ids


def method_calls(recipe: Recipe) -> Mapping[Span, tuple[Node, ...]]:
    """Return the nodes of each call that came to several, by its place; the last of them is its result.

    What others need too is no part of a call, even if it was written there first.
    """
    written: dict[Span, list[Node]] = {}
    for node in recipe_ids(recipe, recipe.saves):
        if node.op != "model" and node in recipe.spans:
            written.setdefault(recipe.spans[node], []).append(node)
    users = _users(recipe)
    found = {span: _alone(nodes, users) for span, nodes in written.items()}
    return {span: nodes for span, nodes in found.items() if len(nodes) > 1}


def _users(recipe: Recipe) -> Mapping[Node, set[Node | None]]:
    """Return what needs each node; None stands for a save."""
    users: dict[Node, set[Node | None]] = {save.value: {None} for save in recipe.saves}
    for node in postorder(save.value for save in recipe.saves):
        for child in node.inputs:
            users.setdefault(child, set()).add(node)
    return users


def _alone(nodes: list[Node], users: Mapping[Node, set[Node | None]]) -> tuple[Node, ...]:
    *others, result = nodes
    kept: set[Node | None] = {result}
    for node in reversed(others):
        kept |= {node} if users[node] <= kept else set()
    return tuple(node for node in nodes if node in kept)
