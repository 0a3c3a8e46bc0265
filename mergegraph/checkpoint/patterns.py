"""Match regular expressions of strangers without backtracking, in time that grows as the text does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

MAX_STATES = 20_000
"""The most states of a machine: what `{1000}` inside `{1000}` asks for is more."""

_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[dDwWsSnrtfv]|[^0-9A-Za-z])", re.DOTALL)
_COUNTS = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")

Part: TypeAlias = Callable[[int], int]
"""Builds the states of a part of an expression that go on with a given state, and returns the first."""


class Unsupported(ValueError):
    """Say that an expression has parts that only backtracking could match, or is too large."""


@dataclass(frozen=True, slots=True)
class _State:
    """Takes a character that `test` accepts, or, if there is none, nothing where `at` allows it; then goes on."""

    following: tuple[int, ...]
    test: Callable[[str], object] | None = None
    at: str = ""


@lru_cache(1_000)
def compiled(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a whole text matches. `re.error` if the pattern is none; Unsupported."""
    re.compile(pattern)
    try:
        return _Machine(pattern).matches
    except RecursionError:
        raise Unsupported("it is nested too deeply") from None


class _Machine:
    """Follows all ways through an expression at once (Thompson, 1968). State 0 is the end."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._place = 0
        self._states = [_State(())]
        self._first = self._alternatives()(0)

    def matches(self, text: str) -> bool:
        """Tell whether the whole text matches."""
        alive = self._reached([self._first], 0, len(text))
        for place, character in enumerate(text, 1):
            taken = (state for i in alive if (state := self._states[i]).test and state.test(character))
            alive = self._reached((i for state in taken for i in state.following), place, len(text))
        return 0 in alive

    def _reached(self, states: Iterable[int], place: int, length: int) -> set[int]:
        """Return these states and those that follow without a character."""
        stack, found = list(states), set[int]()
        while stack:
            number = stack.pop()
            state = self._states[number]
            if number in found or (state.at == "^" and place > 0) or (state.at == "$" and place < length):
                continue
            found.add(number)
            stack += () if state.test else state.following
        return found

    def _add(self, state: _State) -> int:
        if len(self._states) == MAX_STATES:
            raise Unsupported("it repeats too much")
        self._states.append(state)
        return len(self._states) - 1

    def _alternatives(self) -> Part:
        parts = [self._sequence()]
        while self._taken("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else lambda then: self._add(_State(tuple(part(then) for part in parts)))

    def _sequence(self) -> Part:
        parts: list[Part] = []
        while self._place < len(self._text) and self._text[self._place] not in "|)":
            parts.append(self._repeated(self._atom()))

        def build(then: int) -> int:
            for part in reversed(parts):
                then = part(then)
            return then

        return build

    def _repeated(self, part: Part) -> Part:
        counts = self._counts()
        if counts is None:
            return part
        least, most = counts
        if self._taken("+"):
            raise Unsupported("it has a possessive quantifier")
        self._taken("?")

        def build(then: int) -> int:
            if most is None:
                then = self._loop(part, then)
            for _ in range((most or least) - least):
                then = self._add(_State((part(then), then))) if most else then
            for _ in range(least):
                then = part(then)
            return then

        return build

    def _loop(self, part: Part, then: int) -> int:
        number = self._add(_State(()))
        self._states[number] = _State((part(number), then))
        return number

    def _counts(self) -> tuple[int, int | None] | None:
        """Take a quantifier, if there is one: return the least and the most, None for any number."""
        for sign, counts in {"*": (0, None), "+": (1, None), "?": (0, 1)}.items():
            if self._taken(sign):
                return counts
        found = _COUNTS.match(self._text, self._place)
        if found is None or found[0] == "{}":
            return None
        self._place = found.end()
        least = int(found[1] or 0)
        return least, int(found[3]) if found[3] else None if found[2] else least

    def _atom(self) -> Part:
        for pattern in (_CLASS, _ESCAPE):
            if found := pattern.match(self._text, self._place):
                self._place = found.end()
                return self._one(re.compile(found[0]).fullmatch)
        if found := _GROUP.match(self._text, self._place):
            self._place = found.end()
            inner = self._alternatives()
            self._taken(")")
            return inner
        character = self._text[self._place]
        if character in "(\\":
            raise Unsupported("it looks around, refers back, or has an escape that is not known here")
        self._place += 1
        if character in "^$":
            return lambda then: self._add(_State((then,), at=character))
        return self._one((lambda c: c != "\n") if character == "." else character.__eq__)

    def _one(self, test: Callable[[str], object]) -> Part:
        return lambda then: self._add(_State((then,), test))

    def _taken(self, character: str) -> bool:
        """Tell whether this character is next, and go past it."""
        found = self._text.startswith(character, self._place)
        self._place += found
        return found
