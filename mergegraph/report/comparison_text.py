"""Show how models differ as text: a heat map of bars, layers from left to right, a line for each kind of tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from mergegraph.diagnostics import escape, listed
from mergegraph.report.bars import LEVELS, NOTHING, bar, columns
from mergegraph.report.heat import HeatMap, conflict_maps, difference_maps, together
from mergegraph.report.spelling import counted, plain
from mergegraph.survey.results import Compared, Comparison, Conflict, Difference, ratio

F = TypeVar("F", Difference, Conflict)

_HEADS = ("relative", "cosine", "changed")


def comparison_text(comparison: Comparison, *, tensors: bool = False) -> str:
    """Return a summary, the heat map of each model and that of their conflicts; or a line for each of the tensors."""
    blocks = [_summary(comparison)]
    if tensors:
        blocks.append(columns([*_tensor_rows(comparison)], left=2))
    else:
        for number, source in enumerate(comparison.models):
            maps = difference_maps(comparison, number)
            blocks += _blocks(escape(source), maps, lambda f: f.relative, _HEADS, _figures)
        blocks += _blocks("in conflict", conflict_maps(comparison), lambda f: f.share, ("elements",), _conflict)
    return "\n\n".join("\n".join(block) for block in blocks)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data; numbers that are not finite become strings."""
    return {
        "reference": comparison.reference,
        "models": list(comparison.models),
        "tensors": [_tensor_json(tensor) for tensor in comparison.tensors],
        "oddities": [asdict(oddity) for oddity in comparison.oddities],
        "total": [
            {"model": number, **_difference_json(total)}
            for number, _ in enumerate(comparison.models)
            if (total := whole(comparison, number))
        ],
    }


def whole(comparison: Comparison, model: int) -> Difference | None:
    """Return the difference of all tensors of a model that could be compared."""
    found = [tensor.models[model] for tensor in comparison.tensors if model in tensor.models]
    return together(found) if found else None


def agreements(comparison: Comparison) -> dict[tuple[int, int], float]:
    """Return the cosine between what two models change, over all tensors that both have, by their numbers."""
    sums: dict[tuple[int, int], list[float]] = {}
    for tensor in comparison.tensors:
        for (one, other), product in tensor.inner.items():
            parts = (product, tensor.models[one].change, tensor.models[other].change)
            sums[one, other] = [a + b for a, b in zip(sums.get((one, other), (0.0, 0.0, 0.0)), parts, strict=True)]
    return {pair: ratio(product, math.sqrt(a * b)) for pair, (product, a, b) in sums.items()}


def odd_lines(comparison: Comparison) -> list[str]:
    """Return what could not be compared, or only in part, a line for each reason."""
    return [
        f"{escape(comparison.models[odd.model])}: {counted(len(odd.names), 'tensor')} {odd.reason}: {listed(odd.names)}"
        for odd in comparison.oddities
    ]


def percent(share: float) -> str:
    """Return a share as people read it; what is not quite nothing or all is not rounded to it."""
    if math.isnan(share):
        return "–"
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    text = f"{share:.2%}"
    return {"0.00%": "<0.01%", "100.00%": ">99.99%"}.get(text, text)


def number(value: float) -> str:
    """Return a number to four digits."""
    return "–" if math.isnan(value) else f"{value:.4g}"


def cosine(value: float) -> str:
    """Return a cosine to six decimals."""
    return "–" if math.isnan(value) else f"{value:.6f}"


def _summary(comparison: Comparison) -> list[str]:
    lines = [f"reference {escape(comparison.reference)}"]
    rows = [["", *_HEADS]]
    for model, source in enumerate(comparison.models):
        total = whole(comparison, model)
        rows.append([escape(source), *(_figures(total) if total else ["–"] * len(_HEADS))])
    lines += columns(rows)
    for (one, other), value in agreements(comparison).items():
        pair = f"{escape(comparison.models[one])} and {escape(comparison.models[other])}"
        lines.append(f"cosine between the changes of {pair}: {cosine(value)}")
    conflicts = [tensor.conflict for tensor in comparison.tensors if tensor.conflict is not None]
    if conflicts:
        lines.append(f"changed in opposite directions: {percent(together(conflicts).share)} of the elements")
    return lines + odd_lines(comparison)


def _blocks(
    title: str,
    maps: Sequence[HeatMap[F]],
    measure: Callable[[F], float],
    heads: Sequence[str],
    figures: Callable[[F], list[str]],
) -> list[list[str]]:
    values = [measure(f) for m in maps for row in m.rows.values() for f in row if f is not None]
    most = max((value for value in values if math.isfinite(value)), default=0.0)
    blocks = [_block(title, found, most, measure, heads, figures) for found in maps]
    if blocks:
        blocks[-1].append(f"bars: {LEVELS[0]} 0 to {LEVELS[-1]} {number(most)} ({heads[0]})")
    return blocks


def _block(
    title: str,
    found: HeatMap[F],
    most: float,
    measure: Callable[[F], float],
    heads: Sequence[str],
    figures: Callable[[F], list[str]],
) -> list[str]:
    def bars(cells: Sequence[F | None]) -> str:
        return "".join(NOTHING if cell is None else bar(measure(cell) / most if most else 0.0) for cell in cells)

    def row(kind: str) -> list[str]:
        return [f"  {escape(kind)}", bars(found.rows[kind]), *figures(found.of_kind(kind))]

    if found.stack is None:
        head = f"{title}, outside layers"
    else:
        head = f"{title}, {escape(found.stack) or 'layers'} 0 to {found.layers - 1}"
    rows = [[head, "", *heads]]
    rows += map(row, found.rows)
    if found.stack is not None:
        layers: list[F | None] = [found.of_layer(layer) for layer in range(found.layers)]
        rows.append(["  all of a layer", bars(layers), *figures(together([f for f in layers if f is not None]))])
    return columns(rows, left=2)


def _figures(found: Difference) -> list[str]:
    return [number(found.relative), cosine(found.cosine), percent(found.share)]


def _conflict(found: Conflict) -> list[str]:
    return [percent(found.share)]


def _tensor_rows(comparison: Comparison) -> Iterator[list[str]]:
    yield ["tensor", "model", *_HEADS, "in conflict"]
    for tensor in comparison.tensors:
        for model, found in tensor.models.items():
            conflict = percent(tensor.conflict.share) if tensor.conflict else "–"
            yield [escape(tensor.name), escape(comparison.models[model]), *_figures(found), conflict]


def _tensor_json(tensor: Compared) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "models": [{"model": model, **_difference_json(found)} for model, found in tensor.models.items()],
        "inner_products": [{"models": list(pair), "value": plain(value)} for pair, value in tensor.inner.items()],
        "conflict": tensor.conflict and plain(tensor.conflict.share),
    }


def _difference_json(found: Difference) -> dict[str, Any]:
    return {
        "elements": found.elements,
        "reference_norm": plain(math.sqrt(found.reference)),
        "model_norm": plain(math.sqrt(found.model)),
        "difference_norm": plain(math.sqrt(found.change)),
        "relative": plain(found.relative),
        "cosine": plain(found.cosine),
        "changed": plain(found.share),
    }
