"""Explain any stage of a compilation, in any form."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from mergegraph.collector import paused_collection
from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.report.dot import to_dot
from mergegraph.report.graph_text import graph_json, graph_text
from mergegraph.report.mermaid import to_mermaid
from mergegraph.report.picture import Picture, graph_picture, recipe_picture, tensor_picture
from mergegraph.report.plan_json import plan_json, units_json
from mergegraph.report.plan_text import plan_text, units_text
from mergegraph.report.recipe_text import recipe_json, recipe_text
from mergegraph.report.select import matching
from mergegraph.report.tensor_text import tensor_json, tensor_text
from mergegraph.syntax.print import print_syntax, syntax_json

Stage: TypeAlias = Literal["syntax", "recipe", "graph", "optimized", "plan"]
Format: TypeAlias = Literal["text", "json", "dot", "mermaid", "html"]


@paused_collection()
def explain(
    compilation: Compilation,
    stage: Stage,
    *,
    tensor: str | None = None,
    format: Format = "text",
    memory: int | None = None,
    workers: int | None = None,
) -> str:
    """Return what a stage made of a recipe. `memory` in bytes and `workers` are those of the plan.

    `tensor` chooses output tensors by a glob; the syntax knows of none (MG382). Pictures show the recipe and the
    graphs (MG383); `html` is the page of all stages and all tensors (MG670).
    """
    if format == "html":
        return _page(compilation, tensor, memory, workers)
    if tensor is not None and (stage == "syntax" or (stage == "recipe" and format in ("dot", "mermaid"))):
        help = ("the stages graph, optimized and plan have tensors",)
        raise MergeGraphError(Diagnostic("MG382", f"the stage `{stage}` has no tensors to choose from", help=help))
    if format == "dot":
        return to_dot(_picture(compilation, stage, tensor))
    if format == "mermaid":
        return to_mermaid(_picture(compilation, stage, tensor))
    if format == "json":
        found = {"stage": stage, **_json(compilation, stage, tensor, memory, workers)}
        return json.dumps(found, indent=2, allow_nan=False) + "\n"
    return _text(compilation, stage, tensor, memory, workers)


def _page(compilation: Compilation, tensor: str | None, memory: int | None, workers: int | None) -> str:
    if tensor is not None:
        help = ("leave out `--tensor`, and search in the page",)
        raise MergeGraphError(Diagnostic("MG670", "the page has all tensors", help=help))
    from mergegraph.report.page import page

    return page(compilation, compilation.plan(memory, workers))


def _text(compilation: Compilation, stage: Stage, tensor: str | None, memory: int | None, workers: int | None) -> str:
    match stage:
        case "syntax":
            return print_syntax(compilation.syntax)
        case "recipe":
            if tensor is None:
                return recipe_text(compilation.recipe)
            return tensor_text(compilation, _names(compilation, tensor))
        case "graph":
            return graph_text(compilation.graph, tensor)
        case "optimized":
            return graph_text(compilation.optimized, tensor)
        case "plan":
            plan = compilation.plan(memory, workers)
            if tensor is None:
                return plan_text(compilation, plan)
            return units_text(compilation, plan, _names(compilation, tensor))


def _json(
    compilation: Compilation, stage: Stage, tensor: str | None, memory: int | None, workers: int | None
) -> dict[str, Any]:
    match stage:
        case "syntax":
            return syntax_json(compilation.syntax)
        case "recipe":
            if tensor is None:
                return recipe_json(compilation.recipe)
            return tensor_json(compilation, _names(compilation, tensor))
        case "graph":
            return graph_json(compilation.graph, tensor)
        case "optimized":
            return graph_json(compilation.optimized, tensor)
        case "plan":
            plan = compilation.plan(memory, workers)
            chosen = {} if tensor is None else {"chosen": units_json(compilation, plan, _names(compilation, tensor))}
            return {**plan_json(compilation, plan), **chosen}


def _names(compilation: Compilation, tensor: str) -> set[str]:
    return matching((t.name for t in compilation.optimized.tensors), tensor)


def _picture(compilation: Compilation, stage: Stage, tensor: str | None) -> Picture:
    match stage:
        case "recipe":
            return recipe_picture(compilation.recipe)
        case "graph" | "optimized":
            graph = compilation.graph if stage == "graph" else compilation.optimized
            return graph_picture(graph) if tensor is None else tensor_picture(graph, tensor)
        case _:
            help = ("the stages recipe, graph and optimized can be drawn",)
            raise MergeGraphError(Diagnostic("MG383", f"there is no picture of the stage `{stage}`", help=help))
