"""Find which tokens the adapters of a recipe bring, and which rows of vocabulary matrices they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mergegraph.checkpoint.adapter import WRAPPED, Adapter, known_name
from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.tied import tied_partner
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape, listed
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.recipe import Recipe, Save, donor
from mergegraph.vocabulary.tensors import vocabulary_tensors
from mergegraph.vocabulary.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Spoken:
    """What an adapter, which changes matrices of the vocabulary, has to do with tokens.

    `home` is the model that its matrices belong to, whose vocabulary matrices are `tensors`. It gives `wholes` of them
    anew, by the name of the matrix, with `height` rows each where the model has `before`. `tokens` are those of the
    tokenizer in its folder; it `brings` them where they or their rows are others than those of its model.
    """

    node: Node
    home: Node
    tensors: frozenset[str]
    wholes: Mapping[str, str]
    before: int
    height: int
    tokens: Tokens | None
    brings: bool

    @property
    def lacking(self) -> list[str]:
        """The matrices that it does not give anew."""
        return sorted(self.tensors - self.wholes.keys())

    def whole(self, name: str, config: Mapping[str, object]) -> str | None:
        """Return the adapter's tensor with all rows of a matrix; for a head that is tied that of the embedding."""
        return self.wholes.get(name) or self.wholes.get(tied_partner(name, self.wholes, config) or "")


def spoken(
    save: Save,
    recipe: Recipe,
    checkpoints: Mapping[Node, Checkpoint],
    adapters: Mapping[Node, Adapter],
    tokens: Mapping[Node, Tokens | None],
) -> dict[Node, Spoken]:
    """Return, of the adapters of a save, those that change matrices of the vocabulary or give the output its tokens."""
    found = {}
    for node in adapters_of(save):
        home = donor(recipe.anchors[node])
        tensors, adapter = vocabulary_tensors(checkpoints[home]), adapters[node]
        if node in save.vocabulary.models or touches(adapter, checkpoints[home], tensors):
            found[node] = _spoken(node, home, save, adapter, checkpoints[home], tensors, tokens)
    return found


def adapters_of(save: Save) -> list[Node]:
    """Return the adapters that have a say in a save, in order of first use."""
    return [node for node in postorder([save.value, *save.vocabulary.needed]) if node.op == "lora"]


def touches(adapter: Adapter, home: Checkpoint, tensors: frozenset[str]) -> bool:
    """Tell whether an adapter changes any of these tensors of its model."""
    weights = (
        f"{module.replace(WRAPPED, '')}.weight" for module in (*adapter.rows, *(p.module for p in adapter.pairs))
    )
    biases = (f"{module}.bias" for module in adapter.biases)
    return any(_home_name(name, home) in tensors for name in (*adapter.wholes, *weights, *biases))


def _home_name(name: str, home: Checkpoint) -> str | None:
    """Return which tensor of its model an adapter means: of a head that is tied the embedding."""
    return known_name(name, home.tensors) or tied_partner(name, home.tensors, home.config)


def _spoken(
    node: Node,
    home: Node,
    save: Save,
    adapter: Adapter,
    checkpoint: Checkpoint,
    tensors: frozenset[str],
    tokens: Mapping[Node, Tokens | None],
) -> Spoken:
    given = {
        known_name(name, checkpoint.tensors) or name: key
        for name, key in adapter.wholes.items()
        if _home_name(name, checkpoint) in tensors
    }
    before = min((checkpoint.tensors[name].shape[0] for name in tensors), default=0)
    height = min((adapter.checkpoint.tensors[key].shape[0] for key in given.values()), default=before)
    own, theirs = tokens[node], tokens[home]
    if own is None and theirs is not None and theirs.size <= height <= before:
        own = theirs
    other = own is not None and (theirs is None or own.digest != theirs.digest)
    named = bool(given or adapter.rows) or node in save.vocabulary.models
    brings = height != before or (other and named)
    return Spoken(node, home, tensors, given, before, height, own, brings)


def check(found: Sequence[Spoken], recipe: Recipe, tokens: Mapping[Node, Tokens | None]) -> None:
    """Raise MergeGraphError (MG350, MG352) for adapters that bring tokens of which too little is known."""
    errors = [error for one in found if one.brings for error in _errors(one, recipe, tokens[one.home])]
    if errors:
        raise MergeGraphError(*errors)


def _errors(one: Spoken, recipe: Recipe, before: Tokens | None) -> Iterator[Diagnostic]:
    name, home = escape(recipe.name(one.node)), escape(recipe.name(one.home))
    place = (Label(recipe.spans[one.node], "this adapter"),)
    if one.tokens is None:
        message = f"`{name}` has {one.height:,} rows for tokens, unlike `{home}`, and no tokenizer that names them"
        help = (
            "put the `tokenizer.json` that it was trained with into its folder",
            f"or leave out what `{home}` lacks: `save … with tokenizer={home}`",
        )
        yield Diagnostic("MG350", message, place, help)
    elif one.lacking and one.height > one.before:
        message = (
            f"`{name}` has {one.height:,} rows for tokens, and not in all matrices: it lacks {listed(one.lacking)}"
        )
        help = (
            "have peft save them too: `modules_to_save=[…]`, or `save_embedding_layers=True`",
            f"or leave out what `{home}` lacks: `save … with tokenizer={home}`",
        )
        yield Diagnostic("MG352", message, place, help)
    elif one.lacking and before is not None and (moved := _moved(one.tokens, before)):
        message = f"the tokenizer of `{name}` gives tokens other numbers than that of `{home}`: {listed(moved)}"
        yield Diagnostic("MG352", message, place, (f"keep the tokens of the model: `save … with tokenizer={home}`",))


def _moved(own: Tokens, before: Tokens) -> list[str]:
    return sorted(token for token, number in own.ids.items() if before.ids.get(token, number) != number)
