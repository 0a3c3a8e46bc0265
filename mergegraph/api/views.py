"""Graphs and plans as objects that show themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mergegraph.compiler import Compilation
from mergegraph.ir import graph as graphs
from mergegraph.plan import plan as planning
from mergegraph.report.dot import to_dot
from mergegraph.report.explain import explain
from mergegraph.report.mermaid import to_mermaid
from mergegraph.report.notebook import graph_bundle, plan_bundle, recipe_bundle
from mergegraph.report.picture import Picture, graph_picture, recipe_picture, tensor_picture
from mergegraph.report.plan_json import plan_json
from mergegraph.report.plan_text import plan_text
from mergegraph.report.png import to_png
from mergegraph.report.select import select_tensors
from mergegraph.report.svg import to_svg


@dataclass(frozen=True, eq=False)
class Graph:
    """The graph of a recipe: of models (`recipe`), or of the tensors that match a glob (`graph`, `optimized`)."""

    _compilation: Compilation
    stage: Literal["recipe", "graph", "optimized"]
    tensor: str | None

    @cached_property
    def _picture(self) -> Picture:
        if self.stage == "recipe":
            return recipe_picture(self._compilation.recipe)
        return graph_picture(self._graph) if self.tensor is None else tensor_picture(self._graph, self.tensor)

    @property
    def _graph(self) -> graphs.Graph:
        return self._compilation.graph if self.stage == "graph" else self._compilation.optimized

    @property
    def svg(self) -> str:
        """The graph as a picture: an SVG file."""
        return to_svg(self._picture)

    @property
    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        return to_dot(self._picture)

    @property
    def mermaid(self) -> str:
        """The graph in the language of Mermaid."""
        return to_mermaid(self._picture)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph to a file: by its suffix as `.svg`, `.png`, Graphviz (`.dot`), Mermaid (`.mmd`) or `.html`.

        The last is the page of `mergegraph graph`. ValueError for any other suffix.
        """
        writers: dict[str, Callable[[], str | bytes]] = {
            ".svg": lambda: self.svg,
            ".png": lambda: to_png(self._picture),
            ".dot": lambda: self.dot,
            ".mmd": lambda: self.mermaid,
            ".html": lambda: explain(self._compilation, "plan", tensor=self.tensor, format="html"),
        }
        suffix = Path(path).suffix
        if suffix not in writers:
            raise ValueError(f"{suffix!r} is not a kind of picture: give a file ending {', '.join(writers)}")
        written = writers[suffix]()
        Path(path).write_bytes(written.encode() if isinstance(written, str) else written)

    def __str__(self) -> str:
        return explain(self._compilation, self.stage, tensor=self.tensor)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if self.stage == "recipe":
            return recipe_bundle(self._compilation)
        return graph_bundle(self._graph if self.tensor is None else select_tensors(self._graph, self.tensor))


@dataclass(frozen=True, eq=False)
class Plan:
    """How a recipe would run. `figures` has all that is known of it; sizes are in bytes."""

    _compilation: Compilation
    _plan: planning.Plan

    @property
    def bytes_read(self) -> int:
        """What is read of the inputs, those read twice counted twice."""
        return self._plan.bytes_read

    @property
    def bytes_written(self) -> int:
        """What is written of tensors."""
        return self._plan.bytes_written

    @property
    def planned_peak_bytes(self) -> int:
        """The most memory of the whole process."""
        return self._plan.planned_peak_bytes

    @property
    def lower_bound_bytes(self) -> int:
        """The least memory in which any plan of this kind could run."""
        return self._plan.lower_bound_bytes

    @property
    def units(self) -> int:
        """The number of pieces of work."""
        return len(self._plan.units)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """All figures, as `explain --stage plan --format json` has them."""
        return plan_json(self._compilation, self._plan)

    def __str__(self) -> str:
        return plan_text(self._compilation, self._plan)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return plan_bundle(self._compilation, self._plan)
