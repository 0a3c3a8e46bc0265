"""Factor a matrix into two of low rank, as near to it as any of that rank."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mergegraph.kernels.tile import Tile

_STRIP = 1_024
"""Vectors of the longer side that are worked on at a time: see `ops.nearest`."""


def factored(delta: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 matrices `[rows, rank]` and `[rank, columns]` whose product is nearest to a float64 matrix.

    The singular vectors of the shorter side are the eigenvectors of its Gram matrix; the other factor is the matrix
    projected on them, so that at full rank nothing is lost. Both have the same norms, and of each vector of the shorter
    side the largest element is positive. Eckart and Young, 1936.
    """
    wide = delta.shape[0] <= delta.shape[1]
    vectors = _eigen(delta, wide)[1][:, -rank:].flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    other = vectors.T @ delta if wide else (delta @ vectors).T
    root = other.norm(dim=1).sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    left, right = vectors * root, other * inverse[:, None]
    return (left, right) if wide else (right.T, left.T)


def rank_for(delta: torch.Tensor, energy: float) -> int:
    """Return the least rank, at least 1, at which a share `energy` of the sum of squares of a matrix is kept."""
    return _rank(_eigen(delta, delta.shape[0] <= delta.shape[1])[0], energy)


def _eigen(delta: torch.Tensor, wide: bool) -> tuple[torch.Tensor, torch.Tensor]:
    gram = delta @ delta.T if wide else delta.T @ delta
    values, vectors = torch.linalg.eigh(gram)
    return values, vectors


def _rank(values: torch.Tensor, energy: float) -> int:
    """Return the least rank that keeps a share of the squares, from the ascending eigenvalues of the Gram matrix."""
    kept = torch.cumsum(values.flip(0).clamp_min(0.0), 0)
    return int((kept < energy * kept[-1]).sum()) + 1 if kept[-1] > 0 else 1


def workspace_bytes(rows: int, columns: int) -> int:
    """Return what factoring a matrix takes, the matrix in float64 included."""
    short = min(rows, columns)
    return 8 * (2 * rows * columns + 6 * short * short)


class Nearest:
    """Holds matrices that lie below each other, and puts the nearest ones of a rank in their place; see `ops.low_rank`.

    A matrix is projected on the eigenvectors of the Gram matrix of its shorter side, strip by strip in float64. Strips
    are the same however the tiles are cut.
    """

    def __init__(
        self, scalars: tuple[()], matrices: int, rows: int, columns: int, rank: int | None, energy: float | None
    ) -> None:
        self._values = torch.empty(matrices, rows, columns)
        self._rank = min(rows, columns) if rank is None else rank
        self._energy = energy

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        self._values.view(-1)[tile.start : tile.start + tile.count].copy_(x.view(-1))

    def result(self) -> torch.Tensor:
        """Return the matrices, flat."""
        for matrix in self._values:
            self._reduce(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T)
        return self._values.view(-1)

    def _reduce(self, wide: torch.Tensor) -> None:
        vectors = self._vectors(wide)
        for part in _strips(wide):
            part.copy_(vectors @ (vectors.T @ part.double()))

    def _vectors(self, wide: torch.Tensor) -> torch.Tensor:
        """Return the singular vectors that are kept, as columns; NaN if there are none."""
        gram = torch.zeros(len(wide), len(wide), dtype=torch.float64)
        for part in _strips(wide):
            strip = part.double()
            gram.addmm_(strip, strip.T)
        if not gram.isfinite().all():
            return torch.full((len(wide), 1), torch.nan, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(gram)
        rank = self._rank if self._energy is None else min(self._rank, _rank(values, self._energy))
        kept: torch.Tensor = vectors[:, -rank:]
        return kept


def _strips(wide: torch.Tensor) -> Iterator[torch.Tensor]:
    return (wide[:, start : start + _STRIP] for start in range(0, wide.shape[1], _STRIP))


class Held:
    """Gives back a tensor that is held whole."""

    def __init__(self, scalars: tuple[torch.Tensor]) -> None:
        (self._values,) = scalars

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile."""
        out.view(-1).copy_(self._values[tile.start : tile.start + tile.count])
