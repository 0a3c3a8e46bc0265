"""Compute the methods beyond averages and TIES naively in float64, from their definitions alone.

Arrays are float64 and of one shape; `xs` are models, `ds` deltas, `base` the base model. Nothing here is fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from references import Array, Mask, PerModel, added, difference, lerp, mean, per_model, slerp, trim


def deltas(xs: Sequence[Array], base: Array) -> list[Array]:
    """Return what each model adds to the base, rounded to float32 as every delta is."""
    return [difference(x, base) for x in xs]


def slerp_along(a: Array, b: Array, t: float, axis: str | None, parallel: float = 0.9995) -> Array:
    """Interpolate the flattened tensors, or each of their vectors along the last axis (`rows`) or the first."""
    if axis is None or a.size == 0:
        return slerp(a, b, t, parallel)
    along = -1 if axis == "rows" else 0
    x, y = (np.moveaxis(np.atleast_1d(v), along, -1) for v in (a, b))
    out = np.empty_like(x)
    for row in np.ndindex(x.shape[:-1]):
        out[row] = slerp(x[row], y[row], t, parallel)
    return np.moveaxis(out, -1, along).reshape(a.shape)


def nuslerp(
    a: Array, b: Array, weight: tuple[float, float], base: Array | None = None, axis: str | None = None
) -> Array:
    """Slerp two models, or their deltas, with `t = w_b / (w_a + w_b)`, up to where rounding hides the angle."""
    total = sum(weight)
    t = 0.5 if abs(total) < 1e-8 else weight[1] / total
    if base is None:
        return slerp_along(a, b, t, axis, 1 - 1e-12)
    return base + slerp_along(difference(a, base), difference(b, base), t, axis, 1 - 1e-12)


def band(d: Array, density: float, gamma: float) -> Array:
    """Drop the `⌊γN⌋` largest magnitudes, then the smallest, so that `⌊δN⌋` remain."""
    if density >= 1 or d.size == 0:
        return d
    k = math.floor(density * d.size)
    top = min(math.floor(gamma * d.size), d.size - k)
    kept = np.argsort(-np.abs(d).ravel(), kind="stable")[top : top + k]
    out = np.zeros(d.size)
    out[kept] = d.ravel()[kept]
    return out.reshape(d.shape)


def breadcrumbs(
    xs: Sequence[Array],
    base: Array,
    weight: PerModel = 1,
    density: PerModel = 1,
    gamma: PerModel = 0.01,
    normalize: bool = False,
    fuse: object = mean,
) -> Array:
    """Return `base + fuse(band(x − base))`; `fuse` is `mean`, or `elect` for `breadcrumbs_ties`."""
    settings = zip(deltas(xs, base), per_model(density, xs), per_model(gamma, xs), strict=True)
    return base + fuse([band(d, share, top) for d, share, top in settings], weight, normalize)


def ranks(d: Array) -> Array:
    """Return the rank of each element in its row by ascending magnitude, from 0, ties by index."""
    order = np.argsort(np.abs(np.atleast_1d(d)), axis=-1, kind="stable")
    return np.argsort(order, axis=-1, kind="stable").astype(np.float64).reshape(d.shape)


def keep_probability(d: Array, density: float, epsilon: float) -> Array:
    """Return the probability with which DELLA keeps each element."""
    length = d.shape[-1] if d.ndim else 1
    if length == 1:
        return np.full(d.shape, density)
    return (density - epsilon) + 2 * epsilon * ranks(d) / (length - 1)


def variance_mask(ds: Sequence[Array], topk: float) -> Mask:
    """Mark the `⌊topk · #{var > 0}⌋` elements whose variance over the models is largest, or all if topk is 1."""
    if topk >= 1:
        return np.ones(ds[0].shape, bool)
    variance = pairwise_variance(ds)
    k = math.floor(topk * np.count_nonzero(variance))
    return trim(variance, 1.0 if variance.size == 0 else (k + 0.5) / variance.size) != 0 if k else variance < 0


def pairwise_variance(ds: Sequence[Array]) -> Array:
    """Return n² times the population variance over n models, in float32: the sum of squared differences of pairs."""
    if len(ds) < 2:
        return np.zeros_like(ds[0])
    return added([np.square(x - y) for x, y in combinations(ds, 2)]).astype(np.float32).astype(float)


def energy(ds: Sequence[Array]) -> list[float]:
    """Return each delta's share of the sum of squares; zeros if all are zero."""
    squares = [float(np.square(d).sum()) for d in ds]
    return [square / (sum(squares) or 1.0) for square in squares]


def sce(xs: Sequence[Array], base: Array, topk: float = 1) -> Array:
    """Select by variance, weight by energy, elect signs on the plain sum."""
    ds = deltas(xs, base)
    mask = variance_mask(ds, topk)
    selected = [np.where(mask, d, 0.0) for d in ds]
    weights = energy(selected)
    majority = np.where(added(selected) >= 0, 1.0, -1.0)
    agree = [np.sign(s) == majority for s in selected]
    total = added([w * s * a for w, s, a in zip(weights, selected, agree, strict=True)])
    return base + total / np.maximum(added([w * a for w, a in zip(weights, agree, strict=True)]), 1e-6)


def stock_ratio(ds: Sequence[Array]) -> float:
    """Return the share of the average that Model Stock takes, from the mean cosine between deltas."""
    norms = [float(np.linalg.norm(d)) for d in ds]
    pairs = list(combinations(range(len(ds)), 2))
    dots = {(i, j): float(np.vdot(ds[i], ds[j])) for i, j in pairs}
    cosine = sum(dots[i, j] / (norms[i] * norms[j]) if norms[i] * norms[j] else 0.0 for i, j in pairs) / len(pairs)
    below = 1 + (len(ds) - 1) * cosine
    return 0.0 if below < 1e-6 else len(ds) * cosine / below


def stock_ratios(ds: Sequence[Array], filter_wise: bool) -> Array:
    """Return the ratio of the tensors, or that of each row as a column."""
    if not filter_wise:
        return np.array(stock_ratio(ds))
    found = np.empty((*ds[0].shape[:-1], 1) if ds[0].ndim else ())
    for row in np.ndindex(ds[0].shape[:-1]):
        found[row] = stock_ratio([d[row] for d in ds])
    return found


def model_stock(xs: Sequence[Array], base: Array, filter_wise: bool = False) -> Array:
    """Interpolate between the base and the mean of the models."""
    return base + stock_ratios(deltas(xs, base), filter_wise) * (mean(xs) - base)


def multislerp(
    xs: Sequence[Array], weight: PerModel = 1, base: Array | None = None, normalize_weights: bool = True
) -> Array:
    """Take the weighted mean on the sphere by one step in the tangent space at the projected mean."""
    ys = list(xs) if base is None else deltas(xs, base)
    weights = np.array(per_model(weight, ys), dtype=float)
    weights = weights / weights.sum() if normalize_weights else weights
    norms = [float(np.linalg.norm(y)) for y in ys]
    units = [y / norm if norm else y for y, norm in zip(ys, norms, strict=True)]
    total = added([w * u for w, u in zip(weights, units, strict=True)])
    length = float(np.linalg.norm(total))
    if length <= 1e-8:
        return mean(ys, list(weights), normalize=False) + (0 if base is None else base)
    centre = total / length
    tangent = added([w * (u - np.vdot(u, centre) * centre) for w, u in zip(weights, units, strict=True)])
    r = float(np.linalg.norm(tangent))
    direction = centre * math.cos(r) + tangent * (math.sin(r) / r if r else 1.0)
    return direction * float(np.dot(weights, norms)) + (0 if base is None else base)


def karcher(xs: Sequence[Array], max_iter: int = 10, tol: float = 1e-5) -> Array:
    """Iterate to the Riemannian mean of the directions, scaled by the mean norm."""
    norms = [float(np.linalg.norm(x)) for x in xs]
    units = [x / norm for x, norm in zip(xs, norms, strict=True) if norm > 1e-8]
    length = float(np.linalg.norm(added(units))) if units else 0.0
    if length <= 1e-8 * max(1, len(units)):
        return mean(xs)
    centre = added(units) / length
    for _ in range(max_iter):
        cosines = [min(1.0, float(np.vdot(u, centre))) for u in units]
        logs = [logarithm(u, centre, cosine) for u, cosine in zip(units, cosines, strict=True)]
        tangent = added(logs) / len(units)
        r = float(np.linalg.norm(tangent))
        if r < tol:
            break
        centre = centre * math.cos(r) + tangent * (math.sin(r) / r)
        centre = centre / np.linalg.norm(centre)
    return centre * (sum(norms) / len(norms))


def logarithm(u: Array, centre: Array, cosine: float) -> Array:
    """Return the tangent at `centre` that leads to `u`; none where that is the same point or the opposite."""
    if not -0.9995 <= cosine < 1:
        return np.zeros_like(u)
    angle = math.acos(cosine)
    return (u - cosine * centre) * (angle / math.sin(angle))


def nearswap(base: Array, x: Array, t: float) -> Array:
    """Move towards `x` the more, the nearer it is."""
    return lerp(base, x, np.clip(t / np.maximum(np.abs(base - x), 1e-6), 0, 1))


def divergence(a: Array, b: Array) -> Array:
    """Return the KL divergence of the softmax of each row of `a` from that of `b`, as a column."""
    p = np.exp(a - a.max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    centred = (a - b) - ((a - b) * p).sum(axis=-1, keepdims=True)
    return np.log1p((p * np.expm1(-centred)).sum(axis=-1, keepdims=True))


def importance(a: Array, b: Array) -> Array:
    """Return `|a − b|` times the divergence of the row."""
    return np.abs(a - b) * divergence(np.atleast_1d(a), np.atleast_1d(b)).reshape(a.shape[:-1] + (1,) * (a.ndim > 0))


def iqr_limit(scores: Array) -> float:
    """Return `median + 1.5 (Q3 − Q1)`; the quantile q is the value at the sorted position `⌊q(N−1)⌋`."""
    low, middle, high = (np.sort(scores.ravel())[math.floor(q * (scores.size - 1))] for q in (0.25, 0.5, 0.75))
    return float(middle + 1.5 * (high - low))


def arcee_fusion(base: Array, x: Array) -> Array:
    """Take from `x` what matters most."""
    if base.size == 0:
        return base
    scores = importance(x, base)
    return np.where(scores >= iqr_limit(scores), x, base)


def ram(xs: Sequence[Array], base: Array, epsilon: float = 1e-5, r: float = 0.0, alpha: float = 0.0) -> Array:
    """Average what several models change, keep what one model changes, times `1 + r·clamp(overlap/unique, 0, α)`."""
    ds = deltas(xs, base)
    active = [np.abs(d) > epsilon for d in ds]
    count = added([a.astype(float) for a in active])
    total = np.zeros_like(base)
    for d, a in zip(ds, active, strict=True):
        shared, unique = int((a & (count > 1)).sum()), int((a & (count == 1)).sum())
        boost = 1 + r * min(shared / max(unique, 1), alpha)
        total = total + d * a * np.where(count == 1, boost, 1.0)
    return base + total / np.maximum(count, 1)
