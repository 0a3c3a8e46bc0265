"""Draw random masks: a hash of a key and the element's index, the same however tiles are cut and on every device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from mergegraph.kernels.bits import library, signed
from mergegraph.kernels.buffers import shared
from mergegraph.kernels.chance import bound
from mergegraph.kernels.tile import BLOCK, Tile

_MASK64 = (1 << 64) - 1
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_MULTIPLIER = 0x846C_A68B


class RandomBits:
    """Draws 32 bits for each element.

    The element at place j of block b has the bits `(x ^ x >> 15) · 0x846CA68B`, where `x = (seed(j) ^ m) · n`, modulo
    2³²; SplitMix64 draws m and n from the key and b.
    """

    def __init__(self, key: int) -> None:
        self._key = _splitmix(key & _MASK64)
        self._rooms: _Rooms | None = None

    def draw(self, block: int, place: int, count: int, device: torch.device) -> Any:
        """Return the random bits of `count` elements from a place of a block: raw int32, in scratch memory."""
        rooms = self._rooms = self._rooms or _rooms(device)
        x, shifted = rooms.bits[:count], rooms.shifted[:count]
        drawn = _splitmix(self._key + (block + 1) * _GOLDEN & _MASK64)
        first, second = drawn & 0xFFFF_FFFF, drawn >> 32 | 1
        if isinstance(x, np.ndarray):
            np.bitwise_xor(rooms.seeds[place : place + count], np.uint32(first), out=x)
            np.multiply(x, np.uint32(second), out=x)
            np.right_shift(x, 15, out=shifted)
            np.bitwise_xor(x, shifted, out=x)
            return np.multiply(x, np.uint32(_MULTIPLIER), out=x).view(np.int32)
        torch.bitwise_xor(rooms.seeds[place : place + count], signed(first), out=x).mul_(signed(second))
        torch.bitwise_right_shift(x, 15, out=shifted).bitwise_and_((1 << 17) - 1)
        return x.bitwise_xor_(shifted).mul_(signed(_MULTIPLIER))


@dataclass(frozen=True, slots=True)
class _Rooms:
    """The seeds of a block, and room for two more: unsigned numpy arrays on CPUs, else tensors of int32."""

    seeds: Any
    bits: Any
    shifted: Any


def _rooms(device: torch.device) -> _Rooms:
    tensors = _seeds(device), shared(torch.int32, 0, device), shared(torch.int32, 1, device)
    return _Rooms(*(x.numpy().view(np.uint32) if library(x) is np else x for x in tensors))


class RandomMask:
    """Marks each element with 1 with probability `density`, else with 0.

    An element is kept if its bits are, as a signed number, below `density · 2³² − 2³¹`.
    """

    def __init__(self, scalars: tuple[float, int]) -> None:
        density, key = scalars
        self._bound = bound(density)
        self._bits = RandomBits(key)

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile of the mask."""
        if not 0 < self._bound < 1 << 32:
            out.fill_(float(self._bound > 0))
            return
        flat = out.view(-1)
        for block, place, part in tile.blocks():
            kept = below(self._bits.draw(block, place, part.stop - part.start, out.device), self._bound)
            flat[part].copy_(kept.ones)


@dataclass(frozen=True, slots=True)
class Marks:
    """Bools in scratch memory, raw, and as a tensor of ones and zeros: of bools torch makes floats slowly on CPUs."""

    raw: Any
    ones: torch.Tensor


def below(bits: Any, bound: int, place: int = 0) -> Marks:
    """Tell which raw bits are, as signed numbers, below `bound − 2³¹`."""
    room = shared(torch.uint8, place, torch.device(bits.device))[: len(bits)]
    if isinstance(bits, np.ndarray):
        return Marks(np.less(bits, bound - (1 << 31), out=room.numpy().view(np.bool_)), room)
    return Marks(torch.lt(bits, bound - (1 << 31), out=room.view(torch.bool)), room)


def _splitmix(z: int) -> int:
    """Mix 64 bits (Steele, Lea and Flood, 2014)."""
    z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK64
    z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & _MASK64
    return z ^ z >> 31


@cache
def _seeds(device: torch.device) -> torch.Tensor:
    """Return the seed of every place of a block: its upper half a hash of the place (lowbias32), its lower the place.

    So no two have the same lower half, and multiplied by a random n all differ unpredictably in the upper one.
    """
    place = np.arange(BLOCK, dtype=np.uint32)
    x = place ^ place >> 16
    x *= np.uint32(0x7FEB_352D)
    x ^= x >> 15
    x *= np.uint32(_MULTIPLIER)
    x ^= x >> 16
    return torch.from_numpy(((x & 0xFFFF_0000) | place).view(np.int32)).to(device)
