"""What tokens an output has: the value of `tokenizer=`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mergegraph.diagnostics import Span
from mergegraph.ir.node import Node


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Where the row of a token comes from in models that lack it, or with `force` in all.

    It is the row of token `of`, a text or a number, of `model`; zeros where that is None.
    """

    token: str
    model: Node | None
    of: str | int
    force: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of `models`, one model after the other; the files are those of the first.

    A token that a model lacks takes the row that `tokens` says, else that of `base`, else the mean over those that
    have it. With `exact` there is a row for each token and no other, up to a multiple of `multiple`; without it models
    that agree keep the rows they have. `stated` tells that the recipe asks for it.
    """

    models: tuple[Node, ...]
    base: Node | None
    tokens: tuple[TokenRow, ...]
    multiple: int
    exact: bool
    stated: bool

    @property
    def needed(self) -> tuple[Node, ...]:
        """The models that give tokens or rows."""
        given = (*self.models, self.base, *(row.model for row in self.tokens))
        return tuple(dict.fromkeys(model for model in given if model is not None))


def files_of(model: Node, *, stated: bool) -> Vocabulary:
    """Return the vocabulary of one model, as its files have it."""
    return Vocabulary((model,), model, (), 1, exact=False, stated=stated)
