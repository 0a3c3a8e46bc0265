"""Read which token has which number in a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.vocabulary.room import Room

MAX_BYTES = 256_000_000
"""The longest file of a tokenizer that is read."""

TOKENIZER = "tokenizer.json"
ADDED = "added_tokens.json"


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one tokenizer, from the file `path`; `data` is its text where that is a `tokenizer.json`."""

    ids: Mapping[str, int]
    path: Path
    data: bytes

    @cached_property
    def size(self) -> int:
        """One more than the highest number."""
        return max(self.ids.values(), default=-1) + 1

    @cached_property
    def digest(self) -> str:
        """A hash of what token has what number."""
        return sha256(repr(sorted(self.ids.items())).encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def by_number(self) -> Mapping[int, str]:
        """The tokens by their numbers; of several with one number the first by the alphabet."""
        return {number: token for token, number in sorted(self.ids.items(), reverse=True)}

    def parsed(self) -> dict[str, Any]:
        """Return `tokenizer.json` as data. MergeGraphError (MG342) for tokenizers in other files."""
        if self.path.name != TOKENIZER:
            message = "a tokenizer can be changed only where it is a `tokenizer.json`"
            help = ("save it with `AutoTokenizer.from_pretrained(…).save_pretrained(…)` of transformers",)
            raise MergeGraphError(Diagnostic("MG342", message, place=str(self.path), help=help))
        return parse_object(self.data, "tokenizer", self.path)


class Reader:
    """Reads the tokens of models where there is `room`; those with equal files share them."""

    def __init__(self, room: Room | None = None) -> None:
        self._room = room
        self._found: dict[tuple[str, str], Tokens] = {}

    def __call__(self, checkpoint: Checkpoint) -> Tokens | None:
        """Return the tokens of a model, None where no file says them.

        MergeGraphError for a file that lies (MG341), and for one that is too large for the room (MG402).
        """
        extras = {path.as_posix() for path in checkpoint.extras}
        for name, read in _READERS.items():
            if checkpoint.root is not None and name in extras:
                path = checkpoint.member(name)
                if self._room:
                    self._room.for_reading(path)
                data = read_small(path, MAX_BYTES, "tokenizer")
                added = _added(checkpoint) if name != TOKENIZER and ADDED in extras else {}
                key = sha256(data).hexdigest(), repr(sorted(added.items()))
                if key not in self._found:
                    self._found[key] = Tokens({**read(path, data), **added}, path, data)
                    if self._room:
                        self._room.keep(path, len(data))
                return self._found[key]
        return None


def read_tokenizer(path: Path, data: bytes) -> Mapping[str, int]:
    """Return the tokens as the tokenizers library numbers them; it is asked where that is not plain.

    It takes several times the memory and time that reading the text does.
    """
    found = _plain_ids(parse_object(data, "tokenizer", path, flat=True))
    if found is not None:
        return found
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_buffer(data).get_vocab(with_added_tokens=True)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # What the library was not made for can end in a panic, which is no Exception.
        raise _unreadable(path, str(error) or "it makes no sense") from None


def _plain_ids(found: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Return the tokens of a tokenizer whose added ones follow those of its model or are among them; None of others."""
    model, added = found.get("model"), found.get("added_tokens") or []
    pieces = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(pieces, list):
        pairs = all(isinstance(piece, list) and len(piece) == 2 for piece in pieces)
        pieces = {piece[0]: number for number, piece in enumerate(pieces)} if pairs else None
    if not isinstance(pieces, dict) or not isinstance(added, list) or not all(map(_is_entry, added)):
        return None
    ids = {str(token): number for token, number in pieces.items() if type(number) is int}
    size = following = len(ids)
    for entry in added:
        if entry["id"] != ids.setdefault(entry["content"], following):
            return None
        following = max(following, entry["id"] + 1)
    return ids if size == len(pieces) and sorted(ids.values()) == list(range(len(ids))) else None


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and type(entry.get("id")) is int and isinstance(entry.get("content"), str)


def _added(checkpoint: Checkpoint) -> Mapping[str, int]:
    path = checkpoint.member(ADDED)
    return _vocab_json(path, read_small(path, MAX_BYTES, "list of tokens"))


def _vocab_json(path: Path, data: bytes) -> Mapping[str, int]:
    found = parse_object(data, "vocabulary", path)
    if not all(type(number) is int and number >= 0 for number in found.values()):
        raise _unreadable(path, "a token has no number")
    return found


def _vocab_txt(path: Path, data: bytes) -> Mapping[str, int]:
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 at byte {error.start:,}") from None
    return {line.rstrip("\r"): number for number, line in enumerate(lines[: len(lines) - (lines[-1] == "")])}


def _sentencepiece(path: Path, data: bytes) -> Mapping[str, int]:
    """Read the pieces of a SentencePiece model, a message of protocol buffers: field 1 of each field 1 is a text."""
    try:
        pieces = [dict(_fields(piece))[1] for field, piece in _fields(data) if field == 1]
        found = {piece.decode("utf-8"): number for number, piece in enumerate(pieces)}
    except (ValueError, KeyError, IndexError):
        found = {}
    if not found:
        raise _unreadable(path, "it is no SentencePiece model")
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each field of a message. ValueError or IndexError if it is none."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            _, end = _varint(data, place)
        elif tag & 7 == 2:
            size, place = _varint(data, place)
            end = place + size
        elif tag & 7 in (1, 5):
            end = place + (8 if tag & 7 == 1 else 4)
        else:
            raise ValueError(tag)
        if end > len(data):
            raise ValueError(end)
        yield tag >> 3, data[place:end]
        place = end


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError(place)


_READERS: Mapping[str, Callable[[Path, bytes], Mapping[str, int]]] = {
    TOKENIZER: read_tokenizer,
    "vocab.json": _vocab_json,
    "vocab.txt": _vocab_txt,
    "tokenizer.model": _sentencepiece,
    "spiece.model": _sentencepiece,
}


def _unreadable(path: Path, reason: str) -> MergeGraphError:
    message = f"the tokenizer can't be read: {escape(reason[:200])}"
    help = ('name a model whose tokenizer is to be taken: `save … with tokenizer="base"`',)
    return MergeGraphError(Diagnostic("MG341", message, place=str(path), help=help))
