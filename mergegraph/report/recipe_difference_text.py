"""Print what two recipes make differently."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

from mergegraph.diagnostics import escape, listed
from mergegraph.report.recipe_difference import Change, OutputDifference, RecipeDifference
from mergegraph.report.spelling import counted


def recipe_difference_text(found: RecipeDifference) -> str:
    """Return what differs, output by output; expressions with the lines of one marked `-`, of the other `+`."""
    if found.same:
        return f"both recipes make the same {counted(len(found.outputs), 'output')}"
    lines = [f"only {escape(recipe)} writes `{escape(path)}`" for recipe, path in found.only]
    for output in found.outputs:
        if not output.same:
            lines.append(f"output `{escape(output.path)}`")
            lines += [f"  {line}" for line in _output(output)]
    if found.seeds[0] != found.seeds[1]:
        lines.append("the seed is {} in one, {} in the other".format(*found.seeds))
    return "\n".join(lines)


def recipe_difference_json(found: RecipeDifference) -> dict[str, Any]:
    """Return what differs as plain data."""
    return {
        "recipes": list(found.recipes),
        "same": found.same,
        "seeds": list(found.seeds),
        "only": [{"recipe": recipe, "output": path} for recipe, path in found.only],
        "outputs": [
            {
                "path": output.path,
                "same": output.same,
                "options": dict(output.options),
                "only": {recipe: list(names) for recipe, names in output.only.items()},
                "changed": [_change_json(change) for change in output.changes],
                "alike": output.alike,
            }
            for output in found.outputs
        ],
    }


def _output(output: OutputDifference) -> Iterator[str]:
    yield from (f"{name}: {text}" for name, text in output.options.items())
    for recipe, names in output.only.items():
        yield f"only {escape(recipe)} has {counted(len(names), 'tensor')}: {listed(names)}"
    for change in output.changes:
        yield f"{counted(len(change.tensors), 'tensor')} made differently{_layers(change)}: {listed(change.kinds)}"
        whole = len(change.before) + len(change.after)
        yield from [*unified_diff(change.before, change.after, n=whole, lineterm="")][3:]
    if output.changes and output.alike:
        yield f"{counted(output.alike, 'tensor')} made alike"


def _layers(change: Change) -> str:
    if change.layers is None:
        return ""
    first, last = change.layers
    return f", layer {first}" if first == last else f", layers {first} to {last}"


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "tensors": list(change.tensors),
        "layers": change.layers and list(change.layers),
        "before": [line.strip() for line in change.before],
        "after": [line.strip() for line in change.after],
    }
