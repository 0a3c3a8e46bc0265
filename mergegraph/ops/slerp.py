"""Spherical linear interpolation."""

from __future__ import annotations

from mergegraph.ops.abs import abs_
from mergegraph.ops.acos import acos
from mergegraph.ops.add import add
from mergegraph.ops.clamp import clamp
from mergegraph.ops.declaration import Locality, Point, Scalar, op
from mergegraph.ops.divide import divide
from mergegraph.ops.dot import dot
from mergegraph.ops.greater import greater
from mergegraph.ops.less_equal import less_equal
from mergegraph.ops.max import max_
from mergegraph.ops.min import min_
from mergegraph.ops.multiply import multiply
from mergegraph.ops.norm import norm
from mergegraph.ops.sin import sin
from mergegraph.ops.subtract import subtract
from mergegraph.ops.where import where

SMALLEST_NORM = 1e-8
LARGEST_COSINE = 0.9995


@op(locality=Locality.REDUCTION)
def slerp(a: Point, b: Point, t: Scalar) -> Point:
    """Interpolate on the great circle through the flattened tensors.

    With `c = ⟨a, b⟩ / (‖a‖‖b‖)` limited to [−1, 1] and `θ = acos c`:
    `(sin((1−t)θ)·a + sin(tθ)·b) / sin θ`. It is `lerp` where a norm is at most 1e-8 or `|c| > 0.9995`.
    Shoemake, Animating rotation with quaternion curves, 1985.
    """
    lengths = norm(a), norm(b)
    cosine = clamp(divide(dot(a, b), multiply(*lengths)), -1.0, 1.0)
    flat = max_(less_equal(min_(*lengths), SMALLEST_NORM), greater(abs_(cosine), LARGEST_COSINE))
    angle = acos(cosine)
    rest = subtract(1.0, t)
    weight_a = where(flat, rest, divide(sin(multiply(rest, angle)), sin(angle)))
    weight_b = where(flat, t, divide(sin(multiply(t, angle)), sin(angle)))
    return add(multiply(a, weight_a), multiply(b, weight_b))
