"""Tell which matrices of a checkpoint have a row for each input, as the `Conv1D` of GPT-2 keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mergegraph.checkpoint.checkpoint import Tensor


def transposed(tensors: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the names of matrices with a row for each input: a bias has as many elements as there are outputs.

    Square ones are like those of the same name in other modules.
    """
    ways: dict[str, set[bool]] = {}
    for name, (rows, columns, biases) in (biased := dict(_biased(tensors))).items():
        if rows != columns and biases in (rows, columns):
            ways.setdefault(_module_name(name), set()).add(biases == columns)
    return frozenset(
        name
        for name, (rows, columns, biases) in biased.items()
        if biases == columns and (rows != columns or ways.get(_module_name(name)) == {True})
    )


def _biased(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the matrices that have a bias: their rows and columns, and its elements."""
    for name, tensor in tensors.items():
        bias = tensors.get(f"{name.removesuffix('.weight')}.bias")
        if bias is not None and len(bias.shape) == 1 and len(tensor.shape) == 2:
            yield name, (*tensor.shape[:2], *bias.shape)


def _module_name(name: str) -> str:
    return name.split(".")[-2]
