"""Say for an output which rows of which models make the rows of its vocabulary matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, did_you_mean, escape
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.recipe import Recipe, Save
from mergegraph.recipe.tokens import TokenRow
from mergegraph.vocabulary.templates import ChatTemplate, chosen_template, differing
from mergegraph.vocabulary.tensors import vocabulary_tensors
from mergegraph.vocabulary.tokens import Reader, Tokens
from mergegraph.vocabulary.union import Joined, join

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gather:
    """The rows of one model's matrices: row `i` is made of the rows `table[part, i]` of the models `parts`.

    A -1 stands for no row. `name` is a hash of the table. The first `tokens` rows are for tokens, the others padding.
    """

    parts: tuple[Node, ...]
    table: Rows
    name: str
    tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How the vocabularies of models become that of an output, which has `rows` rows. Compared by identity.

    `tensors` are the matrices with a row for each token, by model. Those of a model in `gathers` are put together
    anew. Those of a model in `strangers` can't be used, for the reason given there: its vocabulary is another one, and
    the recipe does not say what the output's is. `joined` are the tokens of the output, None where they are not known,
    `template` is the chat template that it asks for.
    """

    rows: int
    tensors: Mapping[Node, frozenset[str]]
    gathers: Mapping[Node, Gather]
    strangers: Mapping[Node, str]
    joined: Joined | None
    template: ChatTemplate | None = None


@dataclass(frozen=True, slots=True)
class Alignments:
    """The alignment of every save, and what is known of the tokens of each model."""

    saves: tuple[Alignment, ...]
    tokens: Mapping[Node, Tokens | None]
    warnings: tuple[Diagnostic, ...]

    @property
    def tables(self) -> Mapping[str, Rows]:
        """Every table by its name."""
        return {g.name: g.table for alignment in self.saves for g in alignment.gathers.values()}


def align(recipe: Recipe, checkpoints: Mapping[Node, Checkpoint]) -> Alignments:
    """Return how the vocabularies of the models of a recipe become those of its outputs.

    MergeGraphError (MG341 to MG345) for tokenizers that can't be read or joined and for tokens that do not exist.
    """
    read = Reader()
    tokens: dict[Node, Tokens | None] = {}
    errors: list[Diagnostic] = []
    found = []
    for save in recipe.saves:
        try:
            for model in (*_models(save), save.config):
                if model not in tokens:
                    tokens[model] = read(checkpoints[model])
            aligned = _Aligning(recipe, checkpoints, tokens, save).alignment()
            found.append(replace(aligned, template=chosen_template(save, recipe, checkpoints)))
        except MergeGraphError as error:
            label = Label(save.span, "for this output")
            errors += [d if d.labels else _labelled(d, label) for d in error.diagnostics]
    if errors:
        raise MergeGraphError(*dict.fromkeys(errors))
    return Alignments(tuple(found), tokens, tuple(differing(recipe, checkpoints)))


def _models(save: Save) -> tuple[Node, ...]:
    """Return the models whose vocabularies matter: those that give tokens, then those that are merged."""
    merged = (node for node in postorder([save.value]) if node.op == "model")
    return tuple(dict.fromkeys((*save.vocabulary.needed, *merged)))


def _labelled(diagnostic: Diagnostic, label: Label) -> Diagnostic:
    return Diagnostic(diagnostic.code, diagnostic.message, (label,), diagnostic.help, diagnostic.place)


class _Aligning:
    """Aligns the vocabularies of one save."""

    def __init__(
        self,
        recipe: Recipe,
        checkpoints: Mapping[Node, Checkpoint],
        tokens: Mapping[Node, Tokens | None],
        save: Save,
    ) -> None:
        self.recipe = recipe
        self.save = save
        self.vocabulary = save.vocabulary
        self.checkpoints = checkpoints
        self.known = {model: found for model in _models(save) if (found := tokens[model]) is not None}
        self.tensors = {
            model: vocabulary_tensors(checkpoints[model], found.size) for model, found in self.known.items()
        }
        self.heights = {model: self._height(model) for model in self.known}

    def _height(self, model: Node) -> int:
        """Return how many rows the vocabulary matrices of a model have: the fewest, where they differ."""
        tensors = self.checkpoints[model].tensors
        return min((tensors[name].shape[0] for name in self.tensors[model]), default=0)

    def alignment(self) -> Alignment:
        first = self.known.get(self.save.tokenizer)
        if not self.vocabulary.exact:
            strangers = self._strangers(first)
            if first is None or not self.vocabulary.stated or not strangers:
                kept = join([first], (), 1) if first is not None else None
                return Alignment(self.heights.get(self.save.tokenizer, 0), self.tensors, {}, strangers, kept)
        joined = join([self._tokens(model) for model in self.vocabulary.models], self._new(), self.vocabulary.multiple)
        gathers = self._gathers(joined)
        return Alignment(joined.rows, self.tensors, gathers, {}, joined)

    def _strangers(self, first: Tokens | None) -> dict[Node, str]:
        """Return why models do not have the rows of the tokenizer's model; nothing where its tokens are not known."""
        if first is None:
            return {}
        height = self.heights[self.save.tokenizer]
        return {
            model: _difference(first, tokens) or f"it has {self.heights[model]:,} rows for them, not {height:,}"
            for model, tokens in self.known.items()
            if tokens.digest != first.digest or self.heights[model] != height
        }

    def _tokens(self, model: Node) -> Tokens:
        if model in self.known:
            return self.known[model]
        message = f"`{escape(self.recipe.name(model))}` has no tokenizer that can be read"
        help = ("put its `tokenizer.json` beside its weights",)
        raise MergeGraphError(Diagnostic("MG341", message, (Label(self.recipe.spans[model]),), help))

    def _new(self) -> tuple[str, ...]:
        return tuple(row.token for row in self.vocabulary.tokens)

    def _gathers(self, joined: Joined) -> dict[Node, Gather]:
        """Return the gathers of the models that are merged; a model whose rows are as they should be has none."""
        merged = [node for node in postorder([self.save.value]) if node.op == "model"]
        givers = tuple(dict.fromkeys((*self.vocabulary.models, *self.vocabulary.needed, *merged)))
        own = {model: self._own(self._tokens(model), self.heights[model], joined) for model in givers}
        found = {}
        for model in merged:
            gather = self._gather(model, givers, own, joined)
            if self._changes(model, gather):
                found[model] = gather
        return found

    def _own(self, tokens: Tokens, height: int, joined: Joined) -> Rows:
        """Return the row that each token of the output has in a model, -1 where it has none."""
        rows = np.full(joined.rows, -1, dtype=np.int64)
        for token, number in joined.ids.items():
            row = tokens.ids.get(token, -1)
            rows[number] = row if row < height else -1
        return rows

    def _gather(self, model: Node, givers: Sequence[Node], own: Mapping[Node, Rows], joined: Joined) -> Gather:
        table = {giver: np.full(joined.rows, -1, dtype=np.int64) for giver in givers}
        table[model][:] = own[model]
        absent = own[model] < 0
        base = self.vocabulary.base
        if base is not None:
            given = absent & (own[base] >= 0)
            table[base][given] = own[base][given]
            absent &= ~given
        for giver in givers:
            table[giver][absent] = own[giver][absent]
        self._fill_holes(table, joined)
        for row in self.vocabulary.tokens:
            number = joined.ids[row.token]
            if row.force or own[model][number] < 0:
                for giver in givers:
                    table[giver][number] = -1
                if row.model is not None:
                    table[row.model][number] = self._row(row)
        parts = tuple(giver for giver in givers if giver == model or (table[giver] >= 0).any())
        return _named(parts, np.stack([table[giver] for giver in parts]), joined.size)

    def _fill_holes(self, table: Mapping[Node, Rows], joined: Joined) -> None:
        """Take the rows of numbers that no token has from the model whose numbers they are."""
        first = self.vocabulary.models[0]
        for number in joined.holes:
            if number < self.heights[first]:
                table[first][number] = number

    def _row(self, row: TokenRow) -> int:
        """Return the row of a token's source. MergeGraphError (MG343) if there is none."""
        assert row.model is not None
        tokens, name = self._tokens(row.model), escape(self.recipe.name(row.model))
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


def _difference(one: Tokens, other: Tokens) -> str | None:
    """Return how the tokens of `other` differ from those of `one`, None if they do not."""
    if one.digest == other.digest:
        return None
    new = [token for token in other.ids if token not in one.ids]
    lost = [token for token in one.ids if token not in other.ids]
    moved = [token for token, number in other.ids.items() if one.ids.get(token, number) != number]
    found = [
        _counted(tokens, one_is, more_are)
        for tokens, one_is, more_are in (
            (new, "of its tokens is not there", "of its tokens are not there"),
            (lost, "token is missing in it", "tokens are missing in it"),
            (moved, "token has another number in it", "tokens have other numbers in it"),
        )
        if tokens
    ]
    return "; ".join(found)


def _counted(tokens: Iterable[str], one: str, more: str) -> str:
    found = sorted(tokens)
    shown = ", ".join(f"`{escape(token[:40])}`" for token in found[:3])
    return f"{len(found):,} {one if len(found) == 1 else more} ({shown}{', …' if len(found) > 3 else ''})"
