"""Say which elements of a tensor a tile holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 65_536
"""Elements per block: sums and random bits are defined over the blocks of a tensor, however its tiles are cut."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The `count` consecutive elements of a tensor, in flat index order, that begin at `start`."""

    start: int
    count: int

    def blocks(self) -> Iterator[tuple[int, int, slice]]:
        """Yield each block that the tile meets: its number, the place in it where they meet, that part of the tile."""
        done = 0
        while done < self.count:
            block, place = divmod(self.start + done, BLOCK)
            end = min(done + BLOCK - place, self.count)
            yield block, place, slice(done, end)
            done = end
