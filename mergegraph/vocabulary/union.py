"""Join the tokens of several tokenizers: those of the first keep their numbers, the others follow in their order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.vocabulary.room import Room
from mergegraph.vocabulary.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Foreign:
    """Tokens of a tokenizer of one `kind` that were put into one `into` another kind."""

    kind: str
    into: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Joined:
    """The tokens of an output. `sources` are the tokenizers they come from, `new` the tokens that none of them has.

    There are `size` numbers, and `rows` rows: one for each, up to a multiple. The first tokenizer is `changed` where it
    lacks any.
    """

    ids: Mapping[str, int]
    sources: tuple[Tokens, ...]
    new: tuple[str, ...]
    size: int
    rows: int

    @property
    def changed(self) -> bool:
        """Whether the first tokenizer has to be changed."""
        return len(self.ids) > len(self.sources[0].ids)

    @cached_property
    def holes(self) -> tuple[int, ...]:
        """The numbers below the highest that no token has."""
        taken = set(self.ids.values())
        return tuple(number for number in range(self.sources[0].size) if number not in taken)

    @property
    def text(self) -> bytes:
        """The `tokenizer.json`, of a tokenizer that is changed. MergeGraphError (MG342) where it can't be."""
        return self._made[0]

    @property
    def foreign(self) -> tuple[Foreign, ...]:
        """The tokens of a tokenizer that is changed which come from tokenizers of another kind."""
        return self._made[1] if self.changed else ()

    @cached_property
    def _made(self) -> tuple[bytes, tuple[Foreign, ...]]:
        found = self.sources[0].parsed()
        foreign: list[Foreign] = []
        added = {entry["content"]: entry for entry in _added(found)}
        entries, there = dict(added), set(self.sources[0].ids)
        for source in self.sources[1:]:
            if new := source.ids.keys() - there:
                other = source.parsed()
                for entry in _added(other):
                    entries.setdefault(entry["content"], {**entry, "id": self.ids[entry["content"]]})
                plain = sorted(new - entries.keys(), key=lambda token: self.ids[token])
                if plain:
                    foreign += _extend(found["model"], other["model"], {token: self.ids[token] for token in plain})
                there |= new
        for token in self.new:
            entries.setdefault(token, _plain_entry(token, self.ids[token]))
        found["added_tokens"] = sorted(entries.values(), key=lambda entry: entry["id"])
        # A token that is in the model, too, keeps its number wherever the library would put it.
        _include(found["model"], {token: self.ids[token] for token in entries})
        return (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode("utf-8"), tuple(foreign)

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """Yield the added tokens of a tokenizer that is changed: those that the first one lacks."""
        for entry in json.loads(self.text)["added_tokens"]:
            if entry["content"] not in self.sources[0].ids:
                yield entry


def join(sources: Sequence[Tokens], asked: Iterable[str], multiple: int, room: Room | None = None) -> Joined:
    """Return the tokens of the sources and those that are asked for besides. MergeGraphError (MG342) if they can't be.

    What the first has keeps its number; of each other source the tokens that are new follow in the order they have.
    Where that changes a tokenizer, there must be `room` for it (MG402).
    """
    ids = dict(sources[0].ids)
    number = sources[0].size
    for source in sources[1:]:
        for token in sorted(source.ids.keys() - ids.keys(), key=lambda token: (source.ids[token], token)):
            ids[token] = number
            number += 1
    new = tuple(token for token in asked if token not in ids)
    for token in new:
        ids[token] = number
        number += 1
    joined = Joined(ids, tuple(sources), new, number, -(-number // multiple) * multiple)
    if joined.changed:
        if room:
            room.for_joining([(source.data, len(source.ids)) for source in sources])
        _check(joined)
    return joined


def _check(joined: Joined) -> None:
    """Raise MergeGraphError (MG342) unless the tokenizer library reads the changed tokenizer as it is meant."""
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_buffer(joined.text).get_vocab(with_added_tokens=True)
    except MergeGraphError:
        raise
    except Exception as error:
        raise _refused(joined.sources[0], f"{type(error).__name__}: {error}") from None
    if found != joined.ids:
        raise _refused(joined.sources[0], "its tokens would get other numbers")


def _refused(tokens: Tokens, reason: str) -> MergeGraphError:
    message = f"no tokens can be added to this tokenizer: {escape(reason[:200])}"
    help = ("take the tokenizer of one model: `tokenizer=base`",)
    return MergeGraphError(Diagnostic("MG342", message, place=str(tokens.path), help=help))


def _added(tokenizer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(tokenizer.get("added_tokens") or ())


def _plain_entry(token: str, number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": token, **flags}


def _extend(model: dict[str, Any], other: Mapping[str, Any], tokens: Mapping[str, int]) -> Iterator[Foreign]:
    """Add the tokens of another model, in the order of their numbers; yield them if it is of another kind.

    Those then have numbers, and text is cut as before: there are no merges that make them, or their score is so low
    that any other way is taken. WordPiece takes whatever a word begins with.
    """
    kind, into = (m.get("type", "BPE") for m in (other, model))
    if into == "Unigram":
        same = kind == into
        scores = dict(map(tuple, other["vocab"])) if same else dict.fromkeys(tokens, _last_score(model["vocab"]))
        for token, number in tokens.items():
            _pad(model["vocab"], number)
            model["vocab"].append([token, scores[token]])
    else:
        model["vocab"].update(tokens)
    if kind != into:
        yield Foreign(kind, into, tuple(tokens))
    elif kind == "BPE":
        made = [pair for pair in map(_pair, other["merges"]) if "".join(pair) in tokens]
        written = not model["merges"] or isinstance(model["merges"][0], list)
        model["merges"] += [list(pair) if written else " ".join(pair) for pair in made]


def _last_score(pieces: Sequence[Sequence[Any]]) -> float:
    """Return a score below that of any way to write a piece with the others."""
    lowest = min((float(score) for _, score in pieces), default=0.0)
    return (min(0.0, lowest) - 10) * (1 + max((len(piece or "") for piece, _ in pieces), default=0))


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _include(model: dict[str, Any], tokens: Mapping[str, int]) -> None:
    """Put added tokens into a model, at their numbers."""
    if model.get("type") != "Unigram":
        model["vocab"].update({token: number for token, number in tokens.items() if token not in model["vocab"]})
        return
    pieces = model["vocab"]
    for token, number in sorted(tokens.items(), key=lambda item: item[1]):
        if number >= len(pieces):
            _pad(pieces, number)
            pieces.append([token, 0.0])
        elif pieces[number][0] is None:
            pieces[number][0] = token


def _pad(pieces: list[list[Any]], number: int) -> None:
    """Make room before a number for tokens that are put there later."""
    while len(pieces) < number:
        pieces.append([None, 0.0])
