"""Interpolate and average on spheres by inner products alone.

Every vector that these methods meet is a combination of their inputs, so that all they need to know of them is their
Gram matrix: no iteration looks at a tensor again. All numbers are float64, and nothing here raises on any input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Gram: TypeAlias = Sequence[Sequence[float]]
"""The inner products of vectors, `gram[i][j] = ⟨xᵢ, xⱼ⟩`."""

SMALLEST_NORM = 1e-8
"""A vector that is not longer has no direction."""

OPPOSITE = -0.9995
"""Vectors of a smaller cosine are opposite: no arc between them is shorter than the others."""


def symmetric(upper: Sequence[float], count: int) -> Gram:
    """Return the matrix whose upper triangle, row by row with the diagonal, is given."""
    rows = [[0.0] * count for _ in range(count)]
    values = iter(upper)
    for i in range(count):
        for j in range(i, count):
            rows[i][j] = rows[j][i] = next(values)
    return rows


def arc_weights(aa: float, ab: float, bb: float, t: float, parallel: float) -> tuple[float, float]:
    """Return the weights of two vectors in their spherical interpolation, from their inner products.

    They are `1 − t` and `t` where a vector has no direction, the cosine is above `parallel`, or they are opposite.
    """
    norms = _root(aa), _root(bb)
    cosine = ab / (norms[0] * norms[1]) if min(norms) > SMALLEST_NORM else math.nan
    if not OPPOSITE <= cosine <= parallel:
        return 1.0 - t, t
    angle = math.acos(cosine)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def stock_ratio(gram: Gram) -> float:
    """Return `n c / (1 + (n−1) c)` for the mean `c` of the cosines between n vectors; 0 where that is below 1e-6."""
    count = len(gram)
    norms = [_root(gram[i][i]) for i in range(count)]
    cosines = [_quotient(gram[i][j], norms[i] * norms[j]) for i in range(count) for j in range(i)]
    mean = _sum(cosines) / len(cosines)
    below = 1.0 + (count - 1) * mean
    return 0.0 if below < 1e-6 else count * mean / below


def projected_mean(gram: Gram, weights: Sequence[float]) -> list[float]:
    """Return the coefficients of the weighted mean direction `Σ wᵢuᵢ / ‖Σ wᵢuᵢ‖`, as long as `Σ wᵢ‖xᵢ‖`.

    They are the weights themselves where the directions cancel.
    """
    norms = [_root(gram[i][i]) for i in range(len(gram))]
    directed = [_quotient(w, norm) if norm > SMALLEST_NORM else 0.0 for w, norm in zip(weights, norms, strict=True)]
    length = _length(directed, gram)
    if not length > SMALLEST_NORM:
        return list(weights)
    scale = _sum(w * norm for w, norm in zip(weights, norms, strict=True)) / length
    return [scale * c for c in directed]


def riemannian_mean(gram: Gram, steps: float, tolerance: float) -> list[float]:
    """Return the coefficients of the Riemannian mean of the directions, as long as the mean of the norms.

    It begins at the projected mean. Each step goes along the mean of the logarithms, until that is shorter than
    `tolerance`. Vectors without direction count for the norm only; where the directions cancel it is the plain mean.
    """
    count = len(gram)
    norms = [_root(gram[i][i]) for i in range(count)]
    directed = [i for i in range(count) if norms[i] > SMALLEST_NORM]
    units = [[gram[i][j] / (norms[i] * norms[j]) for j in directed] for i in directed]
    share = [1.0 / len(directed) for _ in directed]
    if not _length(share, units) > SMALLEST_NORM:
        return [1.0 / count] * count
    centre = _normalized(share, units)
    done = 0
    while done < steps:
        done += 1
        tangent = _mean_logarithm(centre, units)
        r = _length(tangent, units)
        if not r >= tolerance:
            break
        moved = [math.cos(r) * c + math.sin(r) / r * v for c, v in zip(centre, tangent, strict=True)]
        centre = _normalized(moved, units)
    scale = _sum(norms) / count
    found = dict(zip(directed, centre, strict=True))
    return [scale * found[i] / norms[i] if i in found else 0.0 for i in range(count)]


def _mean_logarithm(centre: Sequence[float], units: Gram) -> list[float]:
    """Return the coefficients of the mean of `θᵢ / sin θᵢ · (uᵢ − cos θᵢ q)`; opposites of q have none."""
    cosines = [min(1.0, max(-1.0, _sum(u * c for u, c in zip(row, centre, strict=True)))) for row in units]
    angles = [math.acos(cosine) for cosine in cosines]
    factors = [
        _quotient(angle, math.sin(angle)) / len(units) if cosine >= OPPOSITE else 0.0
        for angle, cosine in zip(angles, cosines, strict=True)
    ]
    towards = _sum(f * cosine for f, cosine in zip(factors, cosines, strict=True))
    return [f - towards * c for f, c in zip(factors, centre, strict=True)]


def _normalized(vector: Sequence[float], gram: Gram) -> list[float]:
    length = _length(vector, gram)
    return [v / length for v in vector]


def _length(vector: Sequence[float], gram: Gram) -> float:
    """Return the norm of a combination of the vectors of a Gram matrix."""
    return _root(_sum(x * y * gram[i][j] for i, x in enumerate(vector) for j, y in enumerate(vector)))


def _sum(values: Iterable[float]) -> float:
    """Add from first to last; the built-in `sum` rounds otherwise in other versions of Python."""
    total = 0.0
    for value in values:
        total += value
    return total


def _root(x: float) -> float:
    """Return the square root, 0 of what rounding has made negative."""
    return math.sqrt(x) if x > 0 else 0.0


def _quotient(x: float, y: float) -> float:
    return x / y if y else 0.0
