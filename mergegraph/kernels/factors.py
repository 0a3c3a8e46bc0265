"""Factor a matrix into two of low rank, as near to it as any of that rank."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mergegraph.kernels.tile import Tile

_STRIP = 1_024
"""Vectors of the longer side that are worked on at a time: see `ops.nearest`."""


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
        values, vectors = _eigen(wide)
        rank = self._rank if self._energy is None else min(self._rank, _rank(values, self._energy))
        kept = vectors[:, -rank:]
        for part in _strips(wide):
            part.copy_(kept @ (kept.T @ part.double()))


class Factors:
    """Holds a matrix, and finds the two factors of a rank whose product is nearest to it; see `ops.factors`.

    The singular vectors of the shorter side are the eigenvectors of its Gram matrix; the other factor is the matrix
    projected on them, so that at full rank nothing is lost. Both have the same norms, and of each vector of the shorter
    side the largest element is positive. Eckart and Young, 1936.
    """

    def __init__(self, scalars: tuple[()], rows: int, columns: int, rank: int) -> None:
        self._values = torch.empty(rows, columns)
        self._rank = rank

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        self._values.view(-1)[tile.start : tile.start + tile.count].copy_(x.view(-1))

    def result(self) -> torch.Tensor:
        """Return both factors, flat: `[rows, rank]`, then `[rank, columns]`."""
        rows, columns = self._values.shape
        wide = rows <= columns
        found = torch.empty(self._rank * (rows + columns))
        left, right = found[: rows * self._rank].view(rows, -1), found[rows * self._rank :].view(-1, columns)
        if wide:
            self._factor(self._values, left, right)
        else:
            self._factor(self._values.T, right.T, left.T)
        return found

    def _factor(self, wide: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
        vectors = _eigen(wide)[1][:, -self._rank :].flip(1)
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
        squares = torch.zeros(self._rank, dtype=torch.float64)
        for part in _strips(wide):
            squares += (vectors.T @ part.double()).square().sum(1)
        root = squares.sqrt().sqrt()
        inverse = torch.where(root > 0, 1 / root, 0.0)
        left.copy_(vectors * root)
        for part, out in zip(_strips(wide), _strips(right), strict=True):
            out.copy_((vectors.T @ part.double()) * inverse[:, None])


class LeastRank:
    """Holds a matrix, and finds the rank that it needs; see `ops.least_rank`."""

    def __init__(self, scalars: tuple[()], rows: int, columns: int, energy: float) -> None:
        self._values = torch.empty(rows, columns)
        self._energy = energy

    def update(self, tile: Tile, x: torch.Tensor) -> None:
        """Take in the next tile."""
        self._values.view(-1)[tile.start : tile.start + tile.count].copy_(x.view(-1))

    def result(self) -> float:
        """Return the rank."""
        rows, columns = self._values.shape
        return float(_rank(_eigen(self._values if rows <= columns else self._values.T)[0], self._energy))


def factor(found: torch.Tensor, rows: int, columns: int, left: bool, transposed: bool) -> torch.Tensor:
    """Return one of two factors that lie one after the other; see `ops.factor`."""
    rank = len(found) // (rows + columns)
    values = found[: rows * rank].view(rows, rank) if left else found[rows * rank :].view(rank, columns)
    return values.T.contiguous() if transposed else values


def _eigen(wide: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ascending eigenvalues of the Gram matrix of a matrix's rows, and its eigenvectors as columns.

    They are NaN where an element is not finite.
    """
    gram = torch.zeros(len(wide), len(wide), dtype=torch.float64)
    for part in _strips(wide):
        strip = part.double()
        gram.addmm_(strip, strip.T)
    if not gram.isfinite().all():
        return torch.full((len(wide),), torch.nan), torch.full_like(gram, torch.nan)
    values, vectors = torch.linalg.eigh(gram)
    return values, vectors


def _rank(values: torch.Tensor, energy: float) -> int:
    """Return the least rank that keeps a share of the squares, from the ascending eigenvalues of the Gram matrix."""
    kept = torch.cumsum(values.flip(0).clamp_min(0.0), 0)
    return int((kept < energy * kept[-1]).sum()) + 1 if kept[-1] > 0 else 1


def _strips(wide: torch.Tensor) -> Iterator[torch.Tensor]:
    return (wide[:, start : start + _STRIP] for start in range(0, wide.shape[1], _STRIP))


class Held:
    """Gives back a tensor that is held whole."""

    def __init__(self, scalars: tuple[torch.Tensor]) -> None:
        (self._values,) = scalars

    def update(self, tile: Tile, out: torch.Tensor) -> None:
        """Write the next tile."""
        out.view(-1).copy_(self._values[tile.start : tile.start + tile.count])
