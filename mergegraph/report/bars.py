"""Draw figures with characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"


def histogram_bars(counts: Sequence[int]) -> str:
    """Return a bar for each count, as high as its logarithm; a dot where nothing was counted."""
    most = math.log1p(max(counts, default=0))
    return "".join(bar(math.log1p(n) / most) if n else NOTHING for n in counts)


def bar(share: float) -> str:
    """Return a bar of a height from 0 to 1; a dot for NaN."""
    if math.isnan(share):
        return NOTHING
    return LEVELS[min(len(LEVELS) - 1, max(0, int(share * len(LEVELS))))]


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return rows as lines with aligned columns, the first `left` flush left, all others flush right."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            f"{t:<{w}}" if i < left else f"{t:>{w}}" for i, (t, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
