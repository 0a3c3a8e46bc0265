"""Show what a checkpoint holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.checkpoint.summary import describe
from mergegraph.diagnostics import escape
from mergegraph.report.bars import columns, histogram_bars
from mergegraph.report.spelling import counted, plain
from mergegraph.sizes import format_size
from mergegraph.survey.kinds import place
from mergegraph.survey.results import TensorStatistics

Statistics = Mapping[str, TensorStatistics]


def checkpoint_text(checkpoint: Checkpoint, listed: Sequence[Tensor] | None, statistics: Statistics | None) -> str:
    """Return the facts of a checkpoint, then its kinds of tensors, or those that are listed with their statistics."""
    summary = describe(checkpoint)
    lines = [f"{escape(checkpoint.source)}: {summary.parameters:,} parameters, {format_size(summary.nbytes)}"]
    lines.append("  types   " + ", ".join(f"{name} × {count:,}" for name, count in summary.dtypes.items()))
    stacks = [f"{escape(stack.prefix) or 'without a name'} × {stack.count}" for stack in summary.stacks]
    lines.append("  layers  " + (", ".join(stacks) or "none found"))
    if summary.tied:
        lines.append("  tied    the output head is the input embedding")
    lines += [f"  file    {escape(file.path.name)}, {format_size(file.file_bytes)}" for file in checkpoint.files]
    lines += ["", *(columns([*_kinds(checkpoint)], left=2) if listed is None else tensor_lines(listed, statistics))]
    return "\n".join(lines)


def tensor_lines(listed: Sequence[Tensor], statistics: Statistics | None) -> list[str]:
    """Return a line for each tensor: its type and size, or its statistics."""
    if statistics is None:
        return columns([[escape(t.name), _type(t), format_size(t.nbytes)] for t in listed], left=2)
    return columns([_HEADS, *(_figures(t, statistics.get(t.name)) for t in listed)], left=2)


def checkpoint_json(
    checkpoint: Checkpoint, listed: Sequence[Tensor] | None, statistics: Statistics | None
) -> dict[str, Any]:
    """Return the facts of a checkpoint as plain data; numbers that are not finite become strings."""
    summary = describe(checkpoint)
    facts = {
        "source": checkpoint.source,
        "commit": checkpoint.commit,
        "parameters": summary.parameters,
        "bytes": summary.nbytes,
        "dtypes": dict(summary.dtypes),
        "stacks": {stack.prefix: stack.count for stack in summary.stacks},
        "tied": summary.tied,
        "files": [
            {"name": file.path.name, "bytes": file.file_bytes, "tensors": len(file.tensors)}
            for file in checkpoint.files
        ],
    }
    if listed is None:
        return facts
    return {**facts, "tensors": [_tensor_json(checkpoint, tensor, statistics) for tensor in listed]}


def _tensor_json(checkpoint: Checkpoint, tensor: Tensor, statistics: Statistics | None) -> dict[str, Any]:
    found = {
        "name": tensor.name,
        "dtype": tensor.dtype.name,
        "shape": list(tensor.shape),
        "bytes": tensor.nbytes,
        "file": checkpoint.files[tensor.file].path.name,
    }
    if statistics is None:
        return found
    figures = statistics.get(tensor.name)
    return {**found, "statistics": figures and {f.name: plain(getattr(figures, f.name)) for f in fields(figures)}}


def _kinds(checkpoint: Checkpoint) -> Iterator[list[str]]:
    """Yield a row for each kind of tensor and type: in how many layers it is, and what all of it takes."""
    prefixes = [stack.prefix for stack in checkpoint.stacks]
    found: dict[tuple[str, str], list[Tensor]] = {}
    for tensor in checkpoint.tensors.values():
        found.setdefault((place(tensor.name, prefixes).everywhere, _type(tensor)), []).append(tensor)
    for (name, type), tensors in found.items():
        yield [escape(name), type, counted(len(tensors), "tensor"), format_size(sum(t.nbytes for t in tensors))]


_HEADS = ["tensor", "type", "mean", "std", "min", "max", "norm", "zeros", "not finite", "histogram, logarithmic"]


def _figures(tensor: Tensor, figures: TensorStatistics | None) -> list[str]:
    name, type = escape(tensor.name), _type(tensor)
    if figures is None:
        return [name, type, *["–"] * (len(_HEADS) - 2)]
    numbers = (figures.mean, figures.std, figures.smallest, figures.largest, figures.norm)
    bars = histogram_bars(figures.histogram)
    return [name, type, *map(_number, numbers), f"{figures.zeros:.2%}", f"{figures.nonfinite:,}", bars]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _type(tensor: Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"
