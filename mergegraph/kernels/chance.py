"""Turn probabilities into bounds of random bits."""

from __future__ import annotations

from dataclasses import dataclass

from mergegraph.diagnostics import Diagnostic, MergeGraphError

_MOST = (1 << 32) - 1
_HALF = 1 << 31


def bound(density: float) -> int:
    """Return how many of the 2³² patterns are kept. MergeGraphError (MG452) if the density is NaN."""
    if density != density:
        raise MergeGraphError(Diagnostic("MG452", "the probability to keep an element is NaN", status=1))
    return round(min(max(density, 0.0), 1.0) * (1 << 32))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bits below `low` keep an element, those from `high` on drop it; between them they take steps in its row."""

    low: int
    high: int

    @classmethod
    def of(cls, low: float, high: float) -> Bounds:
        """Return the bounds of two probabilities."""
        least = min(bound(low), _MOST)
        return cls(least, min(max(bound(high), least), _MOST))

    def stepping(self, length: int) -> tuple[int, int]:
        """Return what bits are multiplied with, and what is added: modulo 2⁶⁴, which they leave and come back to.

        The upper half of the result is a step from 1 to `length − 1`.
        """
        factor = ((length - 1) << 32) // max(1, self.high - self.low)
        first = (1 << 32) - (self.low - _HALF) * factor
        return factor, (first + (1 << 63)) % (1 << 64) - (1 << 63)
