"""Watch the tokens on their way to the parser: which brackets are open, and how deep."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Token

MAX_DEPTH = 100
"""The deepest nesting of a recipe: code that walks the Syntax may recurse."""

OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}


class TooDeepError(Exception):
    """Name the token at which the nesting exceeds `MAX_DEPTH`."""

    def __init__(self, token: Token) -> None:
        super().__init__(token)
        self.token = token


@dataclass(slots=True)
class Progress:
    """How far the parser has come: the open brackets and the latest tokens, none of them refused yet."""

    opened: list[Token] = field(default_factory=list)
    recent: deque[Token] = field(default_factory=lambda: deque(maxlen=3))

    def watch(self, tokens: Iterator[Token]) -> Iterator[Token]:
        """Pass the tokens on. TooDeepError before a bracket or a sign too many is taken."""
        signs = 0
        for token in tokens:
            signs = signs + 1 if token.type == "MINUS" else 0
            if signs > MAX_DEPTH or (token.type in OPENERS and len(self.opened) == MAX_DEPTH):
                raise TooDeepError(token)
            yield token
            self._taken(token)

    def _taken(self, token: Token) -> None:
        self.recent.append(token)
        if token.type in OPENERS:
            self.opened.append(token)
        elif token.type in CLOSERS:
            self.opened.pop()
