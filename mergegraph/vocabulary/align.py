"""Say for an output which rows of which models make the rows of its vocabulary matrices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from mergegraph.checkpoint.adapter import Adapter
from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.recipe import Recipe, Save, donor
from mergegraph.recipe.tokens import Vocabulary, files_of
from mergegraph.vocabulary.adapters import Spoken, adapters_of, check, spoken
from mergegraph.vocabulary.room import Room
from mergegraph.vocabulary.templates import ChatTemplate, chosen_template, differing, read_template
from mergegraph.vocabulary.tensors import vocabulary_tensors
from mergegraph.vocabulary.tokens import Reader, Tokens
from mergegraph.vocabulary.union import Joined, join

if TYPE_CHECKING:
    from mergegraph.vocabulary.gathers import Gather, Rows

NO_ADAPTERS: Mapping[Node, Adapter] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How the vocabularies of models become that of an output, which has `rows` rows. Compared by identity.

    `tensors` are the matrices with a row for each token, by model. Those of a model in `gathers` are put together
    anew. Those of a model in `strangers` can't be used, for the reason given there: its vocabulary is another one, and
    the recipe does not say what the output's is. Adapters are among both; `adapters` are those that change such
    matrices. `joined` are the tokens of the output, None where they are not known, and `tokenizer` has its files.
    `template` is the chat template that it asks for.
    """

    tokenizer: Node
    rows: int
    tensors: Mapping[Node, frozenset[str]]
    gathers: Mapping[Node, Gather]
    strangers: Mapping[Node, str]
    joined: Joined | None
    adapters: Mapping[Node, Spoken]
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


def align(
    recipe: Recipe,
    checkpoints: Mapping[Node, Checkpoint],
    adapters: Mapping[Node, Adapter] = NO_ADAPTERS,
    room: Room | None = None,
) -> Alignments:
    """Return how the vocabularies of the models of a recipe become those of its outputs.

    MergeGraphError (MG341 to MG352) for tokenizers that can't be read or joined and for tokens that do not exist, MG402
    where there is too little `room` for them.
    """
    read = Reader(room)
    tokens: dict[Node, Tokens | None] = {}
    errors: list[Diagnostic] = []
    found = []
    warnings: list[Diagnostic] = []
    for save in recipe.saves:
        try:
            for model in (*_models(save), *adapters_of(save), save.config):
                if model not in tokens:
                    tokens[model] = read(checkpoints[model])
            changing = spoken(save, recipe, checkpoints, adapters, tokens)
            aligning = _Aligning(recipe, checkpoints, tokens, save, changing, room)
            aligned = aligning.alignment()
            found.append(replace(aligned, template=_template(save, recipe, checkpoints, aligned)))
            warnings += (*aligning.left_out(), *_foreign(save, aligned))
        except MergeGraphError as error:
            label = Label(save.span, "for this output")
            errors += [d if d.labels else _labelled(d, label) for d in error.diagnostics]
    if errors:
        raise MergeGraphError(*dict.fromkeys(errors))
    warnings += differing(recipe, checkpoints, [alignment.tokenizer for alignment in found])
    return Alignments(tuple(found), tokens, tuple(dict.fromkeys(warnings)))


def _foreign(save: Save, aligned: Alignment) -> Iterator[Diagnostic]:
    """Yield warnings of tokens that came from a tokenizer of another kind than the output's."""
    for found in aligned.joined.foreign if aligned.joined else ():
        kind, into = escape(found.kind), escape(found.into)
        count = f"{len(found.tokens):,} {'token' if len(found.tokens) == 1 else 'tokens'} of a {kind} tokenizer"
        yield Diagnostic(
            "MG354",
            f"{count} can't be made by the {into} tokenizer of this output: "
            "they have rows, and text hardly ever comes to them",
            (Label(save.span, "for this output"),),
            (
                "take the tokenizer of one model: `tokenizer=base`; others give rows of tokens that they have, too",
                'what another writes otherwise has a row by `tokens=[token("Ġthe", other, of="▁the")]`',
            ),
            severity="warning",
        )


def _models(save: Save) -> tuple[Node, ...]:
    """Return the models whose vocabularies matter: those that give tokens, then those that are merged."""
    merged = (node for node in postorder([save.value]) if node.op == "model")
    return tuple(dict.fromkeys((*(node for node in save.vocabulary.needed if node.op == "model"), *merged)))


def _template(
    save: Save, recipe: Recipe, checkpoints: Mapping[Node, Checkpoint], aligned: Alignment
) -> ChatTemplate | None:
    """Return the chat template that a save asks for; of a tokenizer in an adapter without one that of its model."""
    found = chosen_template(save, recipe, checkpoints)
    if found is not None or aligned.tokenizer.op == "model" or read_template(checkpoints[aligned.tokenizer]).given:
        return found
    home = read_template(checkpoints[donor(recipe.anchors[aligned.tokenizer])])
    return home if home.given else None


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
        adapters: Mapping[Node, Spoken],
        room: Room | None,
    ) -> None:
        self.recipe = recipe
        self.room = room
        self.save = save
        self.checkpoints = checkpoints
        self.adapters = adapters
        self.bringing = [adapter for adapter in adapters.values() if adapter.brings]
        self.homes = {adapter.home for adapter in self.bringing}
        self.known = {model: found for model in (*_models(save), *adapters) if (found := tokens[model]) is not None}
        self.known |= {a.node: a.tokens for a in self.bringing if a.tokens is not None}
        self.tensors = {
            model: vocabulary_tensors(checkpoints[model])
            for model in (*self.known, *self.homes)
            if model.op == "model" and (model in self.homes or self.known[model].size)
        }
        self.heights = {model: self._height(model) for model in (*self.tensors, *self.known, *adapters)}
        self.merged = [node for node in postorder([save.value]) if node.op == "model"]
        self.vocabulary = self._vocabulary()
        check(
            [a for a in self.bringing if not save.vocabulary.stated or a.node in self.vocabulary.models], recipe, tokens
        )

    def _height(self, model: Node) -> int:
        """Return how many rows the vocabulary matrices of a model have: the fewest, where they differ."""
        if model in self.adapters:
            return self.adapters[model].height
        tensors = self.checkpoints[model].tensors
        return min((tensors[name].shape[0] for name in self.tensors.get(model, ())), default=0)

    def _vocabulary(self) -> Vocabulary:
        """Return what the recipe says of tokens; where it says nothing, those that adapters bring to the donor."""
        found = self.save.vocabulary
        bringing = [adapter for adapter in self.bringing if adapter.home == self.save.tokenizer]
        if found.stated or not bringing:
            return found
        first, *others = bringing
        for other in others:
            if first.tokens and other.tokens and (reason := self._unlike(first, other)):
                raise MergeGraphError(self._disagreeing(first.node, other.node, reason))
        return files_of(first.node, stated=False)

    def _unlike(self, one: Spoken, other: Spoken) -> str | None:
        assert one.tokens is not None
        assert other.tokens is not None
        rows = f"it has {other.height:,} rows for them, not {one.height:,}" if one.height != other.height else None
        return _difference(one.tokens, other.tokens) or rows

    def _disagreeing(self, one: Node, other: Node, reason: str) -> Diagnostic:
        names = [escape(self.recipe.name(node)) for node in (one, other)]
        message = f"the adapter `{names[1]}` brings other tokens than `{names[0]}`: {reason}"
        labels = (Label(self.recipe.spans[other], "this adapter"), Label(self.recipe.spans[one], "and this one"))
        help = (
            "bind both to names, such as `one = lora(…)`, and keep the tokens of one: `save … with tokenizer=one`",
            "or those of all: `save … with tokenizer=union(one, other)`",
        )
        return Diagnostic("MG351", message, labels, help)

    def alignment(self) -> Alignment:
        (tokenizer, *_), vocabulary = self.vocabulary.models, self.vocabulary
        first = self.known.get(tokenizer)
        strangers: dict[Node, str] = {}
        if not vocabulary.exact:
            strangers = self._strangers(first)
            brought = tokenizer.op != "model" and first is not None
            if not brought and (first is None or not vocabulary.stated or not strangers):
                kept = join([first], (), 1) if first is not None else None
                rows = self.heights.get(tokenizer, 0)
                return Alignment(tokenizer, rows, self.tensors, {}, strangers, kept, self.adapters)
            if vocabulary.stated:
                strangers = {}
        sources = [self._tokens(model) for model in vocabulary.models]
        joined = join(sources, self._new(), vocabulary.multiple, self.room)
        if self._keeps_rows:
            joined = replace(joined, rows=self.heights[tokenizer])
        gathers = self._gathers(joined, strangers)
        return Alignment(tokenizer, joined.rows, self.tensors, gathers, strangers, joined, self.adapters)

    @property
    def _keeps_rows(self) -> bool:
        """Whether the output has the rows that an adapter has, padding included."""
        return not self.vocabulary.exact and self.vocabulary.models[0].op != "model"

    def left_out(self) -> Iterator[Diagnostic]:
        """Yield warnings of adapters whose tokens the output does not have, since the recipe names others."""
        given = {token for model in self.vocabulary.models if model in self.known for token in self.known[model].ids}
        for adapter in self.bringing:
            lost = [token for token in (adapter.tokens.ids if adapter.tokens else ()) if token not in given]
            if self.save.vocabulary.stated and lost:
                name = escape(self.recipe.name(adapter.node))
                lacking = _counted(lost, "of its tokens is not there", "of its tokens are not there")
                yield Diagnostic(
                    "MG353",
                    f"the adapter `{name}` brings tokens that the output does not have: {lacking}",
                    (Label(self.save.span, "this output has others"),),
                    ("add them: `tokenizer=union(base, adapter)`, where `adapter = lora(…)`",),
                    severity="warning",
                )

    def _strangers(self, first: Tokens | None) -> dict[Node, str]:
        """Return why models do not have the rows of the tokenizer's model; nothing where its tokens are not known.

        Adapters are among them that bring tokens, and not models that they bring the output's tokens to.
        """
        if first is None:
            return {}
        (tokenizer, *_) = self.vocabulary.models
        height = self.heights[tokenizer]
        fitted = {a.home for a in self.bringing if a.tokens and a.tokens.digest == first.digest and a.height == height}
        return {
            model: _difference(first, tokens) or f"it has {self.heights[model]:,} rows for them, not {height:,}"
            for model, tokens in self.known.items()
            if (model.op == "model" or self.adapters[model].brings) and (tokenizer.op == "model" or model not in fitted)
            if tokens.digest != first.digest or self.heights[model] != height
        }

    def _tokens(self, model: Node) -> Tokens:
        if model in self.known:
            return self.known[model]
        message = f"`{escape(self.recipe.name(model))}` has no tokenizer that can be read"
        help = ("put its `tokenizer.json` beside its weights",)
        raise MergeGraphError(Diagnostic("MG341", message, (Label(self.recipe.spans[model]),), help))

    def _ids(self, model: Node) -> Mapping[str, int]:
        """Return the rows of tokens in a model; an adapter that names rows of its model has given them these names."""
        if model.op != "model" and not self.adapters[model].brings:
            return self._ids(self.adapters[model].home)
        if model not in self.homes:
            return self._tokens(model).ids
        found = dict(self.known[model].ids) if model in self.known else {}
        taken = set(found.values())
        for adapter in self.bringing:
            if adapter.home == model and adapter.tokens is not None:
                new = ((t, n) for t, n in adapter.tokens.ids.items() if n < self.heights[model] and n not in taken)
                found = {**dict(new), **found}
        return found

    def _new(self) -> tuple[str, ...]:
        return tuple(row.token for row in self.vocabulary.tokens)

    def _gathers(self, joined: Joined, strangers: Collection[Node]) -> Mapping[Node, Gather]:
        from mergegraph.vocabulary.gathers import Gathering

        gathering = Gathering(
            self.recipe,
            self.vocabulary,
            joined,
            self.heights,
            self.adapters,
            self._tokens,
            self._ids,
            self._keeps_rows,
        )
        return gathering.gathers([model for model in self.merged if model not in strangers], strangers)


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
