"""Name the element types of tensors once, for headers, graphs and kernels alike."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["float", "integer", "bool", "packed"]


@dataclass(frozen=True, slots=True)
class Dtype:
    """Describe one element type: its `name` in recipes, its safetensors `code`, its width in `bits`."""

    name: str
    code: str
    bits: int
    kind: Kind

    @property
    def mergeable(self) -> bool:
        """Tell whether arithmetic on this type is defined here; all others can only be copied."""
        return self.name in ("float64", "float32", "float16", "bfloat16")

    @property
    def infinity(self) -> int:
        """The bits of infinity, of a mergeable type; those of NaN are larger, but for the sign."""
        return _INFINITIES[self.name]

    def nbytes(self, count: int) -> int:
        """Return the size in bytes of `count` elements, rounded up to whole bytes."""
        return (count * self.bits + 7) // 8

    def __str__(self) -> str:
        return self.name


_INFINITIES = MappingProxyType(
    {
        "float64": 0x7FF0_0000_0000_0000,
        "float32": 0x7F80_0000,
        "float16": 0x7C00,
        "bfloat16": 0x7F80,
    }
)

_ALL = (
    Dtype("float64", "F64", 64, "float"),
    Dtype("float32", "F32", 32, "float"),
    Dtype("float16", "F16", 16, "float"),
    Dtype("bfloat16", "BF16", 16, "float"),
    Dtype("float8_e4m3fn", "F8_E4M3", 8, "float"),
    Dtype("float8_e5m2", "F8_E5M2", 8, "float"),
    Dtype("float8_e4m3fnuz", "F8_E4M3FNUZ", 8, "float"),
    Dtype("float8_e5m2fnuz", "F8_E5M2FNUZ", 8, "float"),
    Dtype("float8_e8m0fnu", "F8_E8M0", 8, "float"),
    Dtype("float6_e2m3", "F6_E2M3", 6, "packed"),
    Dtype("float6_e3m2", "F6_E3M2", 6, "packed"),
    Dtype("float4_e2m1", "F4", 4, "packed"),
    Dtype("complex64", "C64", 64, "packed"),
    Dtype("int64", "I64", 64, "integer"),
    Dtype("int32", "I32", 32, "integer"),
    Dtype("int16", "I16", 16, "integer"),
    Dtype("int8", "I8", 8, "integer"),
    Dtype("uint64", "U64", 64, "integer"),
    Dtype("uint32", "U32", 32, "integer"),
    Dtype("uint16", "U16", 16, "integer"),
    Dtype("uint8", "U8", 8, "integer"),
    Dtype("bool", "BOOL", 8, "bool"),
)

DTYPES = MappingProxyType({dtype.name: dtype for dtype in _ALL})
"""Every element type by its name."""

BY_CODE = MappingProxyType({dtype.code: dtype for dtype in _ALL})
"""Every element type by its code in a safetensors header."""

FLOAT64 = DTYPES["float64"]
FLOAT32 = DTYPES["float32"]


def widest(dtypes: frozenset[Dtype]) -> Dtype:
    """Return the narrowest mergeable type that holds every value of `dtypes`.

    float16 and bfloat16 together need float32: neither holds the other's values.
    """
    if len(dtypes) == 1:
        return next(iter(dtypes))
    return FLOAT64 if FLOAT64 in dtypes else FLOAT32
