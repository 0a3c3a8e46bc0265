"""Spherical linear interpolation."""

from __future__ import annotations

from typing import Literal

from mergegraph.ops.arcs import on_arc
from mergegraph.ops.declaration import Locality, Point, Scalar, op

LARGEST_COSINE = 0.9995


@op(locality=Locality.REDUCTION)
def slerp(a: Point, b: Point, t: Scalar, *, axis: Literal["rows", "columns"] | None = None) -> Point:
    """Interpolate on the great circle through the flattened tensors.

    With `c = ⟨a, b⟩ / (‖a‖‖b‖)` limited to [−1, 1] and `θ = acos c`:
    `(sin((1−t)θ)·a + sin(tθ)·b) / sin θ`. It is `lerp` where a norm is at most 1e-8 or `|c| > 0.9995`.
    `axis="rows"` does so for every vector along the last axis by itself, `"columns"` for those along the first.
    Shoemake, Animating rotation with quaternion curves, 1985.
    """
    return on_arc(a, b, t, axis, LARGEST_COSINE)
