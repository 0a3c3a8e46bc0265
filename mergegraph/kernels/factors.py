"""Factor a matrix into two of low rank, as near to it as any of that rank."""

from __future__ import annotations

import torch


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
    squares = _eigen(delta, delta.shape[0] <= delta.shape[1])[0].flip(0).clamp_min(0.0)
    kept = torch.cumsum(squares, 0)
    return int((kept < energy * kept[-1]).sum()) + 1 if kept[-1] > 0 else 1


def _eigen(delta: torch.Tensor, wide: bool) -> tuple[torch.Tensor, torch.Tensor]:
    gram = delta @ delta.T if wide else delta.T @ delta
    values, vectors = torch.linalg.eigh(gram)
    return values, vectors


def workspace_bytes(rows: int, columns: int) -> int:
    """Return what factoring a matrix takes, the matrix in float64 included."""
    short = min(rows, columns)
    return 8 * (2 * rows * columns + 6 * short * short)
