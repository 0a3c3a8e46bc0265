"""Run the parser that lark makes of the grammar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import cast

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from mergegraph.syntax.build import READING, Build, Reading, note_comment
from mergegraph.syntax.nesting import Progress, TooDeepError
from mergegraph.syntax.nodes import Statement
from mergegraph.syntax.stops import CHARACTER, END, TOO_DEEP, Stop, Word
from mergegraph.syntax.tables import make_parser


def statements(text: str, reading: Reading) -> tuple[Statement, ...] | Stop:
    """Return the statements of a text, or where the first mistake of it stopped the parser."""
    reading.progress = Progress()
    reading.latest = None
    token = READING.set(reading)
    try:
        found: tuple[Statement, ...] = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedInput as stopped:
        return _stop(stopped, reading)
    except TooDeepError as deep:
        return _stop_at(replace(_word(deep.token), kind=TOO_DEEP), reading)
    finally:
        READING.reset(token)
    return found


@cache
def _parser() -> Lark:
    return make_parser(transformer=Build(), postlex=_Watch(), lexer_callbacks={"COMMENT": note_comment})


class _Watch:
    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return READING.get().progress.watch(stream)


def _stop(stopped: UnexpectedInput, reading: Reading) -> Stop:
    if isinstance(stopped, UnexpectedCharacters):
        start = cast(int, stopped.pos_in_stream)
        return _stop_at(Word(CHARACTER, stopped.char, start, start + 1), reading)
    assert isinstance(stopped, UnexpectedToken)
    accepted = frozenset(stopped.accepts)
    if stopped.token.type != END:
        return _stop_at(_word(stopped.token), reading, accepted)
    end = reading.progress.recent[-1].end_pos or 0
    return _stop_at(Word(END, "", end, end), reading, accepted)


def _stop_at(word: Word, reading: Reading, expected: frozenset[str] = frozenset()) -> Stop:
    progress = reading.progress
    return Stop(reading.source, word, expected, tuple(map(_word, progress.recent)), tuple(map(_word, progress.opened)))


def _word(token: Token) -> Word:
    assert token.start_pos is not None
    assert token.end_pos is not None
    return Word(token.type, token.value, token.start_pos, token.end_pos)
