"""Give the Recipe to the page: its nodes, and the places where they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mergegraph.checkpoint.summary import describe
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source, Span, escape
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.recipe import Recipe
from mergegraph.report.calls import method_calls
from mergegraph.report.picture import recipe_ids, recipe_picture


def recipe_nodes(compilation: Compilation) -> Mapping[Node, int]:
    """Return the nodes that the page shows, and their places in `nodes` of `recipe_json`."""
    recipe = compilation.recipe
    return {node: i for i, node in enumerate(recipe_ids(recipe, recipe.saves))}


def recipe_json(compilation: Compilation) -> dict[str, Any]:
    """Return the nodes of a recipe, then its saves, with their arrows, and the texts that they are written in."""
    recipe = compilation.recipe
    picture = recipe_picture(recipe)
    sources: dict[Source, int] = {recipe.source: 0}
    calls = method_calls(recipe)
    numbers = {node: i for i, nodes in enumerate(calls.values()) for node in nodes}
    facts = [*_nodes(compilation, numbers, sources), *(_place(save.span, sources) for save in recipe.saves)]
    return {
        "nodes": [
            {"id": box.id, "lines": box.lines, "kind": box.kind, **known}
            for box, known in zip(picture.nodes, facts, strict=True)
        ],
        "edges": [(edge.source, edge.target, edge.label) for edge in picture.edges],
        "calls": [_call(recipe, span, nodes[-1], sources) for span, nodes in calls.items()],
        "sources": [{"name": escape(source.name), "lines": list(map(_visible, _lines(source)))} for source in sources],
    }


def _call(recipe: Recipe, span: Span, result: Node, sources: dict[Source, int]) -> dict[str, Any]:
    """Return the box of a call: what it is called in the recipe, or its method, then how it is written."""
    text = escape(" ".join(span.text.split()))
    method, bracket, arguments = text.partition("(")
    short = (escape(recipe.names[result]), text) if result in recipe.names else (method, arguments.removesuffix(")"))
    lines = short if bracket else (text,)
    return {"lines": lines, "kind": str(result.type).lower(), **_place(span, sources)}


def _nodes(compilation: Compilation, calls: Mapping[Node, int], sources: dict[Source, int]) -> Iterator[dict[str, Any]]:
    recipe = compilation.recipe
    outputs = Counter(node for save in recipe.saves for node in postorder([save.value]))
    for node in recipe_nodes(compilation):
        yield {
            "op": node.op,
            "type": str(node.type),
            "outputs": outputs[node],
            **({"call": calls[node]} if node in calls else {}),
            **(_model(compilation, node) if node in compilation.checkpoints else {}),
            **(_place(recipe.spans[node], sources) if node in recipe.spans else {}),
        }


def _model(compilation: Compilation, node: Node) -> dict[str, Any]:
    found = compilation.checkpoints[node]
    facts = describe(found)
    return {
        "model": {
            "name": escape(compilation.recipe.name(node)),
            "source": escape(found.source),
            "tensors": facts.tensors,
            "bytes": facts.nbytes,
            "parameters": facts.parameters,
            "dtypes": list(facts.dtypes),
            "stacks": [(escape(stack.prefix), stack.count) for stack in facts.stacks],
        }
    }


def _place(span: Span, sources: dict[Source, int]) -> dict[str, Any]:
    """Return the first and the last line of a span, and the columns that it covers there, as they are shown."""
    source = span.source
    (first, start), (last, end) = source.place(span.start), source.place(max(span.start, span.end - 1))
    columns = len(_visible(source.line(first)[: start - 1])), len(_visible(source.line(last)[:end]))
    return {"place": [sources.setdefault(source, len(sources)), first, columns[0], last, columns[1]]}


def _lines(source: Source) -> list[str]:
    count = source.place(len(source.text))[0]
    return [source.line(number) for number in range(1, count + 1)]


def _visible(line: str) -> str:
    return escape(line.replace("\t", "    "))
