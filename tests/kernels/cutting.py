"""Feed kernels arrays that are cut into tiles."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from mergegraph.kernels.tables import REDUCTIONS, SCANS
from mergegraph.kernels.tile import Tile


class Cut:
    """The tiles of an array of `size` elements that is cut at given places."""

    def __init__(self, size: int, places: Sequence[int] = ()) -> None:
        edges = sorted({0, size, *(place for place in places if 0 < place < size)})
        self.size = size
        self.tiles = [Tile(a, b - a) for a, b in pairwise(edges)]

    def reduce(self, name: str, scalars: tuple[object, ...], *arrays: np.ndarray, **settings: int) -> object:
        kernel = REDUCTIONS[name](scalars, **settings)
        tensors = [torch.from_numpy(array) for array in arrays]
        while True:
            for tile in self.tiles:
                kernel.update(tile, *(t[tile.start : tile.start + tile.count] for t in tensors))
            if name != "magnitude_limit" or not kernel.again():
                return kernel.result()

    def scan(self, name: str, scalars: tuple[object, ...], *arrays: np.ndarray) -> np.ndarray:
        kernel = SCANS[name](scalars)
        out = torch.full((self.size,), torch.nan)
        tensors = [torch.from_numpy(array) for array in arrays]
        for tile in self.tiles:
            part = slice(tile.start, tile.start + tile.count)
            kernel.update(tile, out[part], *(t[part] for t in tensors))
        return out.numpy()
