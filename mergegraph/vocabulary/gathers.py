"""Number the rows of vocabulary matrices: which rows of which models make those of an output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, did_you_mean, escape
from mergegraph.ir.node import Node
from mergegraph.recipe.recipe import Recipe
from mergegraph.recipe.tokens import TokenRow, Vocabulary
from mergegraph.vocabulary.adapters import Spoken
from mergegraph.vocabulary.tokens import Tokens
from mergegraph.vocabulary.union import Joined

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gather:
    """The rows of one model's matrices: row `i` is made of the rows `table[part, i]` of the models `parts`.

    A -1 stands for no row. `name` is a hash of the table. The first `tokens` rows are for tokens, the others padding.
    Of an adapter, part 0 are the rows of its matrices and part 1 those of the result that it does not change.
    """

    parts: tuple[Node, ...]
    table: Rows
    name: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Gathering:
    """Gathers the rows for the tokens of one output, which are `joined`, by what the recipe says of them.

    `heights` tell how many rows the matrices of a model have; `tokens` and `ids` give the tokens of a model, and the
    rows of these in its matrices. With `keeps_rows` the output has the rows that an adapter has, padding included.
    """

    recipe: Recipe
    vocabulary: Vocabulary
    joined: Joined
    heights: Mapping[Node, int]
    adapters: Mapping[Node, Spoken]
    tokens: Callable[[Node], Tokens]
    ids: Callable[[Node], Mapping[str, int]]
    keeps_rows: bool

    def gathers(self, merged: Sequence[Node], strangers: Collection[Node]) -> dict[Node, Gather]:
        """Return the gathers of the models that are merged; a model whose rows are as they should be has none.

        Adapters among the strangers are left out.
        """
        needed = (*self.vocabulary.models, *self.vocabulary.needed)
        givers = tuple(dict.fromkeys((*map(self._giver, needed), *merged)))
        own = {model: self._own(model) for model in givers}
        found = {}
        for model in merged:
            gather = self._gather(model, givers, own)
            if self._changes(model, gather):
                found[model] = gather
        for node, adapter in self.adapters.items():
            if node not in strangers and adapter.home in own:
                rows = self._adapted(adapter, own[adapter.home])
                if len(rows) != self.heights[node] or not np.array_equal(rows, np.arange(len(rows))):
                    kept = np.where(rows < 0, np.arange(len(rows)), -1)
                    found[node] = _named((node, adapter.home), np.stack([rows, kept]), self.joined.size)
        return found

    def _giver(self, model: Node) -> Node:
        """Return the model itself, of an adapter that lacks a matrix the model that it belongs to."""
        adapter = self.adapters.get(model)
        return model if adapter is None or not adapter.lacking else adapter.home

    def _own(self, model: Node) -> Rows:
        """Return the row that each token of the output has in a model, -1 where it has none."""
        rows = np.full(self.joined.rows, -1, dtype=np.int64)
        ids, height = self.ids(model), self.heights[model]
        for token, number in self.joined.ids.items():
            row = ids.get(token, -1)
            if number < self.joined.rows:
                rows[number] = row if row < height else -1
        if self.keeps_rows and model in (self.vocabulary.models[0], self.adapters[self.vocabulary.models[0]].home):
            rest = np.arange(self.joined.size, self.joined.rows)
            rows[self.joined.size :] = np.where(rest < height, rest, -1)
        return rows

    def _adapted(self, adapter: Spoken, home: Rows) -> Rows:
        """Return the row that each token of the output has in an adapter, -1 where that does not change it.

        It does not change rows that the recipe takes from elsewhere.
        """
        rows = self._own(adapter.node)
        for row in self.vocabulary.tokens:
            number = self.joined.ids[row.token]
            if row.force or home[number] < 0:
                rows[number] = -1
        return rows

    def _gather(self, model: Node, givers: Sequence[Node], own: Mapping[Node, Rows]) -> Gather:
        table = {giver: np.full(self.joined.rows, -1, dtype=np.int64) for giver in givers}
        table[model][:] = own[model]
        absent = own[model] < 0
        base = self._giver(self.vocabulary.base) if self.vocabulary.base is not None else None
        if base is not None:
            given = absent & (own[base] >= 0)
            table[base][given] = own[base][given]
            absent &= ~given
        for giver in givers:
            table[giver][absent] = own[giver][absent]
        self._fill_holes(table)
        for row in self.vocabulary.tokens:
            number = self.joined.ids[row.token]
            if row.force or own[model][number] < 0:
                for giver in givers:
                    table[giver][number] = -1
                if row.model is not None:
                    table[row.model][number] = self._row(row)
        parts = tuple(giver for giver in givers if giver == model or (table[giver] >= 0).any())
        rows = self.joined.rows if self.keeps_rows else self.joined.size
        return _named(parts, np.stack([table[giver] for giver in parts]), rows)

    def _fill_holes(self, table: Mapping[Node, Rows]) -> None:
        """Take the rows of numbers that no token has from the model whose numbers they are."""
        first = self._giver(self.vocabulary.models[0])
        for number in self.joined.holes:
            if number < min(self.heights[first], self.joined.rows):
                table[first][number] = number

    def _row(self, row: TokenRow) -> int:
        """Return the row of a token's source. MergeGraphError (MG343) if there is none."""
        assert row.model is not None
        tokens, name = self.tokens(row.model), escape(self.recipe.name(row.model))
        number = row.of if isinstance(row.of, int) else tokens.ids.get(row.of, -1)
        if 0 <= number < self.heights[row.model]:
            return number
        what = f"token {number}" if isinstance(row.of, int) else f"token `{escape(row.of)}`"
        meant = did_you_mean(row.of, tokens.ids) if isinstance(row.of, str) else ()
        help = (*meant, 'name a token that it has: `token("<new>", a, of="<s>")`, or `none` for zeros')
        raise MergeGraphError(Diagnostic("MG343", f"`{name}` has no row for the {what}", (Label(row.span),), help))

    def _changes(self, model: Node, gather: Gather) -> bool:
        """Tell whether a gather is more than the rows of the model as they are."""
        if gather.parts != (model,) or gather.table.shape[1] != self.heights[model]:
            return True
        return not np.array_equal(gather.table[0], np.arange(self.heights[model]))


def _named(parts: tuple[Node, ...], table: Rows, tokens: int) -> Gather:
    digest = sha256(repr(table.shape).encode() + np.ascontiguousarray(table).astype("<i8").tobytes())
    return Gather(parts, table, digest.hexdigest()[:32], tokens)
