"""Write what an adapter does to a tensor as an expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mergegraph.ir.node import Node
from mergegraph.lower.adapters import Bias, Change, Expert, Product, Rows, Whole
from mergegraph.ops.adapter_product import adapter_product
from mergegraph.ops.add import add
from mergegraph.ops.cast import cast
from mergegraph.ops.column_dot import column_dot
from mergegraph.ops.dora_factors import dora_factors
from mergegraph.ops.expert_product import expert_product
from mergegraph.ops.gather_rows import gather_rows
from mergegraph.ops.multiply import multiply
from mergegraph.ops.picked import picked
from mergegraph.ops.replace_rows import replace_rows
from mergegraph.ops.row_dot import row_dot
from mergegraph.ops.spread_columns import spread_columns
from mergegraph.ops.spread_rows import spread_rows
from mergegraph.ops.subtract import subtract
from mergegraph.ops.token_product import token_product
from mergegraph.ops.vectors import row_count
from mergegraph.ops.zeros import zeros_like

if TYPE_CHECKING:
    from mergegraph.vocabulary.gathers import Rows as RowNumbers

Leaf = Callable[[str, bool], Node]
"""Returns the leaf of a tensor of the adapter: read in tiles if it is whole, else held in memory."""


Numbered = Callable[[int], Node]
"""Returns the leaf of a number that differs from tensor to tensor."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Puts what an adapter has of tokens in the order of another vocabulary.

    `rows` returns the leaf of a tensor of the adapter whose rows are read in the order of `table`. `numbers` are the
    rows, -1 for those of the result that are not changed.
    """

    table: Node
    rows: Callable[[str], Node]
    numbers: RowNumbers

    def fits(self, changes: Sequence[Change]) -> bool:
        """Tell whether the changes can be made row by row: not those that normalize columns."""
        return not any(isinstance(c, Product) and c.pair.magnitude and c.transposed for c in changes)

    def chosen(self, changed: Node, model: Node) -> Node:
        """Return the rows that are changed, and the others as they are."""
        return gather_rows([changed, model], self.table, width=model.tensor.count // model.tensor.shape[0])

    def places(self, rows: Sequence[int]) -> tuple[int, ...]:
        """Return where rows of the adapter lie in the result, -1 for those that are not there."""
        found = {int(number): place for place, number in reversed(list(enumerate(self.numbers)))}
        return tuple(found.get(row, -1) for row in rows)


def changed_by(changes: Sequence[Change], model: Node, leaf: Leaf, number: Numbered, aligned: Aligned | None) -> Node:
    """Return the difference that changes make to a tensor of a model; of one with other tokens, where `aligned`."""
    match changes:
        case ():
            return zeros_like(model)
        case (Bias(key, scaling),) if aligned is None:
            return multiply(_float32(leaf(key, True)), scaling)
        case (Product(pair) as product,) if not pair.magnitude:
            return _scaled(product, model, leaf, aligned)
        case (Expert() as expert,):
            return _of_expert(expert, model, leaf, number)
    result = model
    for change in changes:
        result = _applied(change, result, leaf, number, aligned)
    return result if model.op == "zeros" else subtract(result, model)


def _applied(change: Change, x: Node, leaf: Leaf, number: Numbered, aligned: Aligned | None) -> Node:
    """Return a tensor after a change."""
    match change:
        case Whole(key):
            return aligned.chosen(_float32(aligned.rows(key)), x) if aligned else _float32(leaf(key, True))
        case Rows(key, rows):
            places = aligned.places(rows) if aligned else rows
            return replace_rows(x, leaf(key, False), rows=places, length=x.tensor.shape[-1])
        case Bias(key, scaling):
            given = aligned.rows(key) if aligned else leaf(key, True)
            moved = add(x, multiply(_float32(given), scaling))
            return aligned.chosen(moved, x) if aligned else moved
        case Expert():
            return add(x, _of_expert(change, x, leaf, number))
        case Product(pair):
            moved = add(x, _scaled(change, x, leaf, aligned))
            if not pair.magnitude:
                return moved
            magnitudes = leaf(pair.magnitude, False)
            if aligned is None:
                return _normed(moved, magnitudes, change.transposed)
            picked_ones = picked(magnitudes, aligned.table, count=x.tensor.shape[0])
            return aligned.chosen(_normed(moved, picked_ones, change.transposed), x)


def _scaled(product: Product, model: Node, leaf: Leaf, aligned: Aligned | None) -> Node:
    pair, shape, turned = product.pair, model.tensor.shape, product.transposed
    length = shape[-1] if turned or product.blocks > 1 else model.tensor.count // max(1, shape[0])
    b, a = leaf(pair.b, False), leaf(pair.a, False)
    if aligned:
        found = token_product(b, a, aligned.table, length=length, transposed=turned, shape=shape)
    else:
        found = adapter_product(b, a, length=length, transposed=turned, blocks=product.blocks, shape=shape)
    return multiply(found, product.scaling)


def _of_expert(expert: Expert, model: Node, leaf: Leaf, number: Numbered) -> Node:
    b, a, (rows, columns) = leaf(expert.pair.b, False), leaf(expert.pair.a, False), model.tensor.shape
    found = expert_product(
        b, a, number(expert.number), experts=expert.experts, first=expert.first, shape=(rows, columns), rows=rows
    )
    return multiply(found, expert.scaling)


def _normed(x: Node, magnitudes: Node, transposed: bool) -> Node:
    """Return a matrix whose vectors have the norms that DoRA gives them: its rows, or columns if it is transposed.

    W' = m · V / ‖V‖, V = W + s B A. arXiv:2402.09353
    """
    shape = x.tensor.shape
    if transposed:
        squares = column_dot(x, x, columns=x.tensor.count // max(1, shape[0]))
        return multiply(x, spread_columns(dora_factors(magnitudes, squares), shape=shape))
    factors = dora_factors(magnitudes, row_dot(x, x, rows=row_count(x.tensor)))
    return multiply(x, spread_rows(factors, length=x.tensor.count // max(1, shape[0]), shape=shape))


def _float32(x: Node) -> Node:
    return cast(x, dtype="float32") if x.tensor.dtype.name != "float32" else x
