"""Refuse tokenizers for which there is no memory, before they are read or joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.sizes import format_size

READING_BYTES = 8
"""What a byte of a tokenizer takes in memory while it is read: measured, with a margin, as are the next."""

READ_BYTES = 5
"""What a byte of it takes when it has been read."""

JOINING_BYTES = {b"BPE": 1_700, b"Unigram": 2_400, b"WordPiece": 1_100}
"""What a token of each kind of tokenizer takes while its tokens are added to those of another."""

NEGLIGIBLE_BYTES = 20_000_000
"""What is left to the plan to refuse."""

_KIND = re.compile(rb'"type"\s*:\s*"(BPE|Unigram|WordPiece)"')


@dataclass(slots=True)
class Room:
    """The memory that tokenizers may take: of `memory` bytes what is beyond the `process`; those that are read so far.

    `files` are their paths and sizes; one that is equal to another is read and forgotten.
    """

    memory: int
    process: int
    files: dict[Path, int] = field(default_factory=dict)

    def for_reading(self, path: Path) -> None:
        """Raise MergeGraphError (MG402) if there is too little to read a file."""
        nbytes = path.stat().st_size
        self._refuse(
            "read", READ_BYTES * sum(self.files.values()) + READING_BYTES * nbytes, {**self.files, path: nbytes}
        )

    def keep(self, path: Path, nbytes: int) -> None:
        """Count a tokenizer that has been read."""
        self.files[path] = nbytes

    def for_joining(self, tokenizers: Sequence[tuple[bytes, int]]) -> None:
        """Raise MergeGraphError (MG402) if there is too little to join tokenizers: texts and numbers of tokens."""
        kinds = (_KIND.search(text) for text, _ in tokenizers)
        each = [JOINING_BYTES[kind[1]] if kind else max(JOINING_BYTES.values()) for kind in kinds]
        need = sum(nbytes * count for nbytes, (_, count) in zip(each, tokenizers, strict=True))
        self._refuse("join", need, self.files)

    def _refuse(self, what: str, need: int, files: dict[Path, int]) -> None:
        if need < NEGLIGIBLE_BYTES or self.process + need <= self.memory:
            return
        path = max(files, key=lambda path: files[path])
        message = f"there is too little memory to {what} the tokenizers of this merge: {format_size(self.memory)}"
        least = -(-(self.process + need) // 1_000_000)
        help = (
            f"give it `--memory {least}MB` or more: {format_size(sum(files.values()))} of text are in memory then",
            "or name one model whose tokens are kept: `save … with tokenizer=base`",
        )
        raise MergeGraphError(Diagnostic("MG402", message, place=str(path), help=help))
