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

    @cached_property
    def text(self) -> bytes:
        """The `tokenizer.json`, of a tokenizer that is changed. MergeGraphError (MG342) where it can't be."""
        found = self.sources[0].parsed()
        added = {entry["content"]: entry for entry in _added(found)}
        entries, there = dict(added), set(self.sources[0].ids)
        for source in self.sources[1:]:
            if new := source.ids.keys() - there:
                other = source.parsed()
                for entry in _added(other):
                    entries.setdefault(entry["content"], {**entry, "id": self.ids[entry["content"]]})
                plain = sorted(new - entries.keys(), key=lambda token: self.ids[token])
                _extend(found["model"], other["model"], {token: self.ids[token] for token in plain}, source)
                there |= new
        for token in self.new:
            entries.setdefault(token, _plain_entry(token, self.ids[token]))
        found["added_tokens"] = sorted(entries.values(), key=lambda entry: entry["id"])
        # A token that is in the model, too, keeps its number wherever the library would put it.
        _include(found["model"], {token: self.ids[token] for token in entries})
        return (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode("utf-8")

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


def _extend(model: dict[str, Any], other: Mapping[str, Any], tokens: Mapping[str, int], source: Tokens) -> None:
    """Add the tokens of another model of the same kind, in the order of their numbers."""
    kinds = [m.get("type", "BPE") for m in (model, other)]
    if tokens and kinds[0] != kinds[1]:
        message = (
            f"a {kinds[1]} tokenizer has no union with a {kinds[0]} tokenizer: they write and cut text differently"
        )
        help = (
            "take the tokenizer of one model: `tokenizer=base`; others give rows of tokens that they have, too",
            'what another writes otherwise has a row by `union(base, tokens=[token("Ġthe", other, of="▁the")])`',
        )
        raise MergeGraphError(Diagnostic("MG342", escape(message), place=str(source.path), help=help))
    if kinds[0] == "Unigram":
        scores = dict(map(tuple, other["vocab"]))
        for token, number in tokens.items():
            _pad(model["vocab"], number)
            model["vocab"].append([token, scores[token]])
        return
    model["vocab"].update(tokens)
    if kinds[0] == "BPE":
        made = [pair for pair in map(_pair, other["merges"]) if "".join(pair) in tokens]
        written = not model["merges"] or isinstance(model["merges"][0], list)
        model["merges"] += [list(pair) if written else " ".join(pair) for pair in made]


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
