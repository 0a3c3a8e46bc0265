"""Make the leaves of the Graph: what is read of a model or an adapter for a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor
from mergegraph.checkpoint.tied import tied_partner
from mergegraph.dtypes import Dtype
from mergegraph.ir.graph import Number, RowsRef, Table, TensorRef, input_leaf, matrix_leaf, number_leaf, table_leaf
from mergegraph.ir.node import Node
from mergegraph.ir.types import TensorType
from mergegraph.lower.changes import Aligned
from mergegraph.lower.faults import Faults
from mergegraph.lower.state import Missing, TensorState, Unlowerable
from mergegraph.ops.column_mean import column_mean
from mergegraph.ops.gather_rows import gather_rows
from mergegraph.ops.pad_rows import pad_rows
from mergegraph.recipe.recipe import Recipe
from mergegraph.vocabulary.align import Alignment

if TYPE_CHECKING:
    from mergegraph.vocabulary.gathers import Gather


class Leaves:
    """The leaves of the tensors of one recipe; equal ones are one object."""

    def __init__(
        self,
        recipe: Recipe,
        checkpoints: Mapping[Node, Checkpoint],
        alignments: Sequence[Alignment],
        faults: Faults,
    ) -> None:
        self.checkpoints = checkpoints
        self.alignments = alignments
        self.faults = faults
        self.models = {node: index for index, node in enumerate(recipe.models)}
        self._saves = recipe.saves
        self._types: dict[tuple[Dtype, tuple[int, ...]], TensorType] = {}
        self._leaves: dict[tuple[int, TensorType], Node] = {}

    def leaf(self, model: Node, name: str, state: TensorState) -> Node:
        """Return a tensor of a model, with the rows of the output where it has one for each token."""
        tensor, alignment = self.find(model, name), self.alignments[state.save]
        if tensor.name in alignment.tensors.get(model, ()):
            if model in alignment.gathers:
                return self._gathered(alignment, model, name, state)
            if model in alignment.strangers:
                self.faults.stranger(model, alignment, self._saves[state.save])
                raise Unlowerable
        # A tensor without axes is one element in a row: shape () means a scalar that was computed.
        return self.read(state.bind(TensorRef(self.models[model], tensor.name)), tensor, tensor.shape or (1,))

    def find(self, model: Node, name: str) -> Tensor:
        """Return the tensor of a model that is read for a name: the partner of one that is tied."""
        checkpoint = self.checkpoints[model]
        found = name if name in checkpoint.tensors else tied_partner(name, checkpoint.tensors, checkpoint.config)
        if found is None:
            raise Missing(model, name)
        return checkpoint.tensors[found]

    def read(self, index: int, tensor: Tensor, shape: tuple[int, ...]) -> Node:
        """Return the leaf of the binding `index`, which is of this shape."""
        key = tensor.dtype, shape
        if key not in self._types:
            self._types[key] = TensorType(*key)
        place = index, self._types[key]
        if place not in self._leaves:
            self._leaves[place] = input_leaf(*place)
        return self._leaves[place]

    def _gathered(self, alignment: Alignment, model: Node, name: str, state: TensorState) -> Node:
        """Return a vocabulary matrix of a model with the rows of the output."""
        gather = alignment.gathers[model]
        tensors = [self._part(alignment, part, name) for part in gather.parts]
        rows = gather.table.shape[1]
        leaves = [
            self.read(
                state.bind(RowsRef(self.models[part], tensor.name, gather.name, number)),
                tensor,
                (rows, *tensor.shape[1:]),
            )
            for number, (part, tensor) in enumerate(zip(gather.parts, tensors, strict=True))
        ]
        if any(not tensor.dtype.mergeable for tensor in tensors):
            self.faults.arithmetic(model, name, leaves)
            raise Unlowerable
        if len({leaf.tensor.shape for leaf in leaves}) > 1:
            self.faults.shapes(model, name, leaves, state.bindings)
            raise Unlowerable
        width = leaves[0].tensor.count // rows
        gathered = gather_rows(leaves, table_leaf(state.bind(Table(gather.name))), width=width)
        if gather.tokens == rows:
            return gathered
        return pad_rows(
            gathered, column_mean(gathered, rows=gather.tokens, width=width), rows=gather.tokens, width=width
        )

    def _part(self, alignment: Alignment, part: Node, name: str) -> Tensor:
        """Return the matrix of a model that gives rows, or of an adapter."""
        if part.op == "model":
            return self.find(part, name)
        adapter = alignment.adapters[part]
        key = adapter.whole(name, self.checkpoints[adapter.home].config)
        if key is None:
            raise Missing(part, name)
        return self.checkpoints[part].tensors[key]

    def is_of_tokens(self, alignment: Alignment, home: Node, name: str) -> bool:
        """Tell whether a tensor of a model has a row for each token, be it through one that it is tied to."""
        try:
            return self.find(home, name).name in alignment.tensors.get(home, ())
        except Missing:
            return False

    def aligned(self, gather: Gather, adapter: Node, state: TensorState) -> Aligned:
        """Return how what an adapter adds row by row is given the rows of the output."""

        def rows(key: str) -> Node:
            tensor = self.checkpoints[adapter].tensors[key]
            place = state.bind(RowsRef(self.models[adapter], key, gather.name, 0))
            return self.read(place, tensor, (gather.table.shape[1], *tensor.shape[1:]))

        return Aligned(table_leaf(state.bind(Table(gather.name))), rows, gather.table[0])

    def number(self, state: TensorState, value: float) -> Node:
        """Return the leaf of a number that other tensors of the same template have otherwise."""
        return number_leaf(state.bind(Number(float(value))))

    def held(self, adapter: Node, state: TensorState, key: str, whole: bool) -> Node:
        """Return the leaf of a tensor of an adapter: held in memory, or, if it is `whole`, read in tiles."""
        tensor = self.checkpoints[adapter].tensors[key]
        place = state.bind(TensorRef(self.models[adapter], key))
        leaf = input_leaf if whole else matrix_leaf
        return leaf(place, TensorType(tensor.dtype, tensor.shape or (1,)))
