"""Tell which matrices of a checkpoint have a row for each input, as the `Conv1D` of GPT-2 keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def transposed(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Return, given the shapes of all tensors, the names of matrices with a row for each input.

    Their bias has as many elements as there are outputs. Square ones are like those of the same name in other modules.
    """
    ways: dict[str, set[bool]] = {}
    for name, (rows, columns, biases) in (biased := dict(_biased(shapes))).items():
        if rows != columns and biases in (rows, columns):
            ways.setdefault(_module_name(name), set()).add(biases == columns)
    return frozenset(
        name
        for name, (rows, columns, biases) in biased.items()
        if biases == columns and (rows != columns or ways.get(_module_name(name)) == {True})
    )


def _biased(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the matrices that have a bias: their rows and columns, and its elements."""
    for name, shape in shapes.items():
        bias = shapes.get(f"{name.removesuffix('.weight')}.bias")
        if bias is not None and len(bias) == 1 and len(shape) == 2:
            yield name, (*shape[:2], *bias)


def _module_name(name: str) -> str:
    return name.split(".")[-2]
