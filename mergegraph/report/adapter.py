"""Show what a LoRA adapter holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mergegraph.checkpoint.adapter import PREFIX, Adapter, Pair
from mergegraph.checkpoint.checkpoint import Tensor
from mergegraph.checkpoint.layers import find_stacks
from mergegraph.checkpoint.summary import describe
from mergegraph.diagnostics import escape
from mergegraph.report.bars import columns
from mergegraph.report.checkpoint import Statistics, checkpoint_json, tensor_lines
from mergegraph.report.spelling import counted, spell_number
from mergegraph.sizes import format_size
from mergegraph.survey.kinds import place


def adapter_text(adapter: Adapter, listed: Sequence[Tensor] | None, statistics: Statistics | None) -> str:
    """Return the facts of an adapter, then the modules that it changes, or tensors that are listed."""
    summary = describe(adapter.checkpoint)
    size = f"{summary.parameters:,} parameters, {format_size(summary.nbytes)}"
    lines = [f"{escape(adapter.checkpoint.source)}: a {_kind(adapter)} adapter, {size}"]
    if adapter.config.base:
        lines.append(f"  base    {escape(adapter.config.base)}")
    lines.append(f"  rank    {adapter.config.rank}, alpha {spell_number(adapter.config.alpha)}{_patterns(adapter)}")
    lines.append("  types   " + ", ".join(f"{name} × {count:,}" for name, count in summary.dtypes.items()))
    lines += [f"  file    {escape(f.path.name)}, {format_size(f.file_bytes)}" for f in adapter.checkpoint.files]
    lines += ["", *(_changes(adapter) if listed is None else tensor_lines(listed, statistics))]
    return "\n".join(lines)


def adapter_json(adapter: Adapter, listed: Sequence[Tensor] | None, statistics: Statistics | None) -> dict[str, Any]:
    """Return the facts of an adapter as plain data: those of its tensors, its settings, and what it changes."""
    config = adapter.config
    facts = checkpoint_json(adapter.checkpoint, listed, statistics)
    return facts | {
        "adapter": {
            "kind": _kind(adapter),
            "base": config.base,
            "rank": config.rank,
            "alpha": config.alpha,
            "modules": [_module_json(adapter, pair) for pair in adapter.pairs],
            "replaced": sorted(adapter.wholes),
            "rows": sorted(adapter.rows),
            "biases": sorted(adapter.biases),
        }
    }


def _kind(adapter: Adapter) -> str:
    kinds = [name for name, has in (("rsLoRA", adapter.config.rslora), ("DoRA", adapter.config.dora)) if has]
    return " and ".join(kinds) or "LoRA"


def _patterns(adapter: Adapter) -> str:
    return ", others by patterns" if adapter.config.rank_pattern or adapter.config.alpha_pattern else ""


def _changes(adapter: Adapter) -> list[str]:
    """Return a line for each kind of module that is changed: rank, scale, matrices, how many there are of it."""
    prefixes = [stack.prefix for stack in find_stacks(name.removeprefix(PREFIX) for name in adapter.checkpoint.tensors)]
    found: dict[tuple[str, ...], list[int]] = {}
    for name, facts, tensors in _rows(adapter):
        kind = place(name, prefixes).everywhere
        size = sum(adapter.checkpoint.tensors[name].nbytes for name in tensors)
        found.setdefault((escape(kind), *facts), []).append(size)
    rows = [[*row, counted(len(sizes), noun), format_size(sum(sizes))] for (*row, noun), sizes in found.items()]
    return columns(rows, left=4)


def _rows(adapter: Adapter) -> Iterator[tuple[str, tuple[str, ...], Sequence[str]]]:
    """Yield what is changed: its name, facts and what it is, and the tensors that do it."""
    for pair in adapter.pairs:
        tensors = [name for name in (pair.a, pair.b, pair.magnitude) if name is not None]
        matrices = " · ".join(_type(adapter, name) for name in (pair.b, pair.a))
        facts = f"rank {_rank(adapter, pair)}", f"scale {_scale(adapter, pair):.6g}", matrices
        yield pair.module, (*facts, "module"), tensors
    for title, table in (("replaced", adapter.wholes), ("rows replaced", adapter.rows), ("bias", adapter.biases)):
        for name, key in table.items():
            yield name, (title, "", _type(adapter, key), "tensor"), [key]


def _module_json(adapter: Adapter, pair: Pair) -> dict[str, Any]:
    tensors = adapter.checkpoint.tensors
    return {
        "name": pair.module,
        "rank": _rank(adapter, pair),
        "scale": _scale(adapter, pair),
        "a": list(tensors[pair.a].shape),
        "b": list(tensors[pair.b].shape),
    }


def _rank(adapter: Adapter, pair: Pair) -> int:
    return adapter.scaling(pair.module)[0]


def _scale(adapter: Adapter, pair: Pair) -> float:
    return adapter.scaling(pair.module)[1]


def _type(adapter: Adapter, name: str) -> str:
    tensor = adapter.checkpoint.tensors[name]
    return f"{tensor.dtype}{list(tensor.shape)}"
