"""Compute merges naively in float64, from their definitions alone, and compare results with them.

Arrays are float64 and of one shape; `xs` are models, `ds` deltas, `base` the base model. Nothing here is fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
PerModel = float | Sequence[float]


def mean(xs: Sequence[Array], weight: PerModel = 1, normalize: bool = True) -> Array:
    """Return `Σ w x`, over `Σ w` if `normalize`."""
    weights = per_model(weight, xs)
    total = added([w * x for w, x in zip(weights, xs, strict=True)])
    return total / sum(weights) if normalize else total


linear = mean


def lerp(a: Array, b: Array, t: float) -> Array:
    """Return `a + t (b − a)`."""
    return a + t * (b - a)


def slerp(a: Array, b: Array, t: float, parallel: float = 0.9995) -> Array:
    """Interpolate along the great circle; a straight line where the angle says little."""
    norms = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(norms) <= 1e-8:
        return lerp(a, b, t)
    cosine = float(np.vdot(a, b)) / (norms[0] * norms[1])
    if cosine < -0.9995 or cosine > parallel:
        return lerp(a, b, t)
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)


def difference(x: Array, base: Array) -> Array:
    """Return `x − base` rounded to float32, as every delta is: its magnitudes decide what a trim keeps."""
    return (x.astype(np.float32) - base.astype(np.float32)).astype(np.float64)


def trim(d: Array, density: float) -> Array:
    """Keep exactly the `max(1, ⌊density·N⌋)` largest magnitudes; the lowest index wins among equals."""
    if density >= 1 or d.size == 0:
        return d
    if density <= 0:
        return np.zeros_like(d)
    kept = np.argsort(-np.abs(d).ravel(), kind="stable")[: max(1, int(density * d.size))]
    out = np.zeros(d.size)
    out[kept] = d.ravel()[kept]
    return out.reshape(d.shape)


def drop(d: Array, mask: Mask, density: float = 1, rescale: str | None = None) -> Array:
    """Keep the elements of a given mask; `l1` keeps the sum of magnitudes, `inverse` the expectation."""
    kept = np.where(mask, d, 0.0)
    before, after = np.abs(d).sum(), np.abs(kept).sum()
    if rescale == "l1":
        return kept if min(before, after) < 1e-7 else kept * (before / after)
    return kept / density if rescale == "inverse" else kept


def elect(ds: Sequence[Array], weight: PerModel = 1, normalize: bool = True, by: str = "sum") -> Array:
    """Sum the weighted deltas that have the majority's sign, over the weights of those kept if `normalize`."""
    weights = per_model(weight, ds)
    terms = [w * d for w, d in zip(weights, ds, strict=True)]
    votes = terms if by == "sum" else [np.sign(term) for term in terms]
    majority = np.where(added(votes) >= 0, 1.0, -1.0)
    kept = [np.sign(term) == majority for term in terms]
    total = added([np.where(keep, term, 0.0) for keep, term in zip(kept, terms, strict=True)])
    divisor = added([w * keep for w, keep in zip(weights, kept, strict=True)])
    return total / np.where(divisor == 0, 1, divisor) if normalize else total


def task_arithmetic(
    xs: Sequence[Array], base: Array, weight: PerModel = 1, lambda_: float = 1, normalize: bool = False
) -> Array:
    """Return `base + λ · mean(x − base)`."""
    return base + lambda_ * mean([difference(x, base) for x in xs], weight, normalize)


def ties(
    xs: Sequence[Array],
    base: Array,
    weight: PerModel = 1,
    density: PerModel = 1,
    lambda_: float = 1,
    normalize: bool = True,
) -> Array:
    """Return `base + λ · elect(trim(x − base))`."""
    densities = per_model(density, xs)
    trimmed = [trim(difference(x, base), share) for x, share in zip(xs, densities, strict=True)]
    return base + lambda_ * elect(trimmed, weight, normalize)


def passthrough(x: Array, scale: float = 1) -> Array:
    """Return `scale · x`."""
    return scale * x


def per_model(value: PerModel, models: Sequence[object]) -> list[float]:
    """Return one number per model."""
    return list(value) if isinstance(value, Sequence) else [value] * len(models)


def added(arrays: Sequence[Array]) -> Array:
    """Return the sum of arrays, element by element."""
    total: Array = np.sum(np.stack(arrays), axis=0)
    return total


def near_tie(ds: Sequence[Array], weight: PerModel = 1) -> Mask:
    """Mark the elements whose elected sign hangs on rounding: `|Σ e| < 1e-6 Σ |e|`."""
    terms = [w * d for w, d in zip(per_model(weight, ds), ds, strict=True)]
    near: Mask = np.abs(added(terms)) < 1e-6 * added([np.abs(term) for term in terms])
    return near


FORMATS = {"bfloat16": (-126, 7), "float16": (-14, 10), "float32": (-126, 23), "float64": (-1022, 52)}
"""The smallest normal exponent and the bits after the point."""


def ulp(values: Array, dtype: str) -> Array:
    """Return the distance between neighbours of a dtype at each value."""
    smallest, bits = FORMATS[dtype]
    exponent = np.frexp(values)[1] - 1
    return np.exp2(np.maximum(np.where(values == 0, smallest, exponent), smallest) - float(bits))


def ulp_distance(result: Array, reference: Array, dtype: str) -> Array:
    """Return `|result − reference|` in units in the reference's last place; equal infinities and NaNs are 0 apart."""
    same = (result == reference) | (np.isnan(result) & np.isnan(reference))
    with np.errstate(invalid="ignore"):
        distance = np.abs(result - reference) / ulp(reference, dtype)
    return np.where(same, 0.0, np.where(np.isfinite(distance), distance, np.inf))


def largest(terms: Sequence[Array]) -> Array:
    """Return the largest magnitude per element."""
    peak: Array = np.abs(np.stack(terms)).max(axis=0)
    return peak


def assert_close(
    result: torch.Tensor,
    reference: Array,
    terms: Sequence[Array],
    *,
    skip: Mask | None = None,
    name: str = "result",
) -> None:
    """Fail unless a merge is as exact as promised, and name the worst element.

    16-bit results are within 1 ulp of the reference, or, where large terms cancel, within 4 float32 ulp of the largest
    of `terms`; float32 results are within 4 ulp of the largest of `terms`. `skip` marks elements that are not compared.
    """
    dtype = str(result.dtype).removeprefix("torch.")
    values = result.to(torch.float64).numpy()
    assert values.shape == reference.shape, f"{name}: shape {values.shape}, not {reference.shape}"
    allowed = 4 * ulp(largest(terms), "float32")
    if dtype in ("bfloat16", "float16"):
        allowed = np.maximum(allowed, ulp(reference, dtype))
    excess = _excess(values, reference, allowed)
    compared = excess if skip is None else np.where(skip, 0.0, excess)
    if compared.size and compared.max() > 1:
        worst = tuple(int(i) for i in np.unravel_index(int(compared.argmax()), compared.shape))
        raise AssertionError(
            f"{name}: {int((compared > 1).sum())} of {compared.size} elements are wrong; the worst, at {list(worst)}, "
            f"is {values[worst]:.9g}, not {reference[worst]:.9g}: {compared[worst]:.3g} times what {dtype} allows"
        )


def _excess(values: Array, reference: Array, allowed: Array) -> Array:
    """Return the error as a multiple of what is allowed; equal infinities are no error, a NaN is always one."""
    with np.errstate(invalid="ignore"):
        error = np.where(values == reference, 0.0, np.abs(values - reference) / allowed)
    return np.where(np.isnan(error), np.inf, error)
