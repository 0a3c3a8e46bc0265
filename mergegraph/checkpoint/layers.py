"""Find a model's layers in the names of its tensors, whatever the architecture.

A name is parts between dots. A part that is a number `N` (no leading zeros), with parts after it, numbers a member of
the list named by the parts before it: `model.layers.3.mlp.down_proj.weight` is in member 3 of `model.layers`. Each
name is looked at from its first number; the list found there is a **stack of layers** when

1. its members are 0, 1, …, count − 1, none left out;
2. every member has a suffix in common with another member (dense and expert layers share their norms, a sequence
   of unlike modules shares nothing); a list of one member needs a name instead: its prefix is not empty;
3. its members are modules with modules inside: some suffix has two parts or more. Lists of bare parameters
   (`lm_heads.0.weight`) are stacks only where this leaves no stack at all.

Numbers inside a stack (experts, the sublayers of T5) number parts of one layer and are not looked at. Names in a list
that is no stack (`features.0`, `features.3`) are looked at again from their next number, so that the layers inside
`0.auto_model.encoder.layer.5` are found. Names with an empty part (`a..0.b`) have no layer.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

MAX_DIGITS = 6
"""The longest number that can be a layer's."""

MODELS_ALIKE = 2
"""How many lists of names are remembered: the models of a merge mostly have the same."""

MAX_NUMBERS = 4
"""How many numbers of a name are looked at in search of its layer's."""

_NUMBER = re.compile(rf"(?<![^.])(0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})\.")
_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Stack:
    """`count` layers, named `prefix.0` to `prefix.(count − 1)`."""

    prefix: str
    count: int


@dataclass(frozen=True, slots=True)
class LayerName:
    """A tensor's name, split at its layer: `prefix.index.suffix`. Only the prefix may be empty."""

    prefix: str
    index: int
    suffix: str


@dataclass(frozen=True, slots=True)
class _Member:
    """One name, seen as lying in member `number` of the list `prefix`."""

    name: str
    prefix: str
    number: int
    suffix: str


def find_stacks(names: Iterable[str]) -> tuple[Stack, ...]:
    """Return the stacks of layers among tensor names, those with the most tensors first, then in natural order."""
    return _stacks(tuple(names))


@lru_cache(maxsize=MODELS_ALIKE)
def _stacks(names: tuple[str, ...]) -> tuple[Stack, ...]:
    found: dict[str, list[_Member]] = {}
    pending = [member for name in names for member in islice(_numbered(name), 1)]
    for _ in range(MAX_NUMBERS):
        lists = _by_prefix(pending)
        stacks = {prefix: members for prefix, members in lists.items() if _is_stack(prefix, members)}
        found |= stacks
        others = chain.from_iterable(members for prefix, members in lists.items() if prefix not in stacks)
        pending = [
            inner
            for member in others
            for inner in islice(_numbered(member.name, len(member.name) - len(member.suffix)), 1)
        ]
    chosen = {prefix: members for prefix, members in found.items() if _has_modules(members)} or found
    ranked = sorted(chosen.items(), key=lambda item: (-len(item[1]), natural_key(item[0])))
    return tuple(Stack(prefix, 1 + max(member.number for member in members)) for prefix, members in ranked)


def _numbered(name: str, start: int = 0) -> Iterator[_Member]:
    """Yield the name as a member at each of its numbers that begins at `start` or later and has parts after it."""
    if ".." in name or name.startswith(".") or name.endswith("."):
        return
    for number in _NUMBER.finditer(name, start):
        yield _Member(name, name[: max(0, number.start() - 1)], int(number[1]), name[number.end() :])


def _by_prefix(members: Iterable[_Member]) -> dict[str, list[_Member]]:
    lists = defaultdict(list)
    for member in members:
        lists[member.prefix].append(member)
    return lists


def _is_stack(prefix: str, members: list[_Member]) -> bool:
    numbers = {member.number for member in members}
    if len(numbers) <= max(numbers):
        return False
    if len(numbers) == 1:
        return bool(prefix)
    owners = Counter(member.suffix for member in members)
    return {member.number for member in members if owners[member.suffix] > 1} == numbers


def _has_modules(members: Iterable[_Member]) -> bool:
    return any("." in member.suffix for member in members)


def split_layer(name: str, prefixes: Collection[str]) -> LayerName | None:
    """Return the name split at the outermost of the stacks `prefixes`, or None when it is in no layer of theirs."""
    found = next((member for member in _numbered(name) if member.prefix in prefixes), None)
    return None if found is None else LayerName(found.prefix, found.number, found.suffix)


def rename(layer: LayerName) -> str:
    """Return the tensor name that `split_layer` splits into `layer`."""
    head = f"{layer.prefix}." if layer.prefix else ""
    return f"{head}{layer.index}.{layer.suffix}"


@lru_cache(maxsize=MODELS_ALIKE)
def natural_order(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the indices of names in natural order."""
    keys = list(map(natural_key, names))
    return tuple(sorted(range(len(keys)), key=keys.__getitem__))


def natural_key(name: str) -> str:
    """Return the key that sorts names as people count: `layers.2` before `layers.10`.

    Longer numbers come later, so a number is compared by its count of digits first.
    """
    return _DIGITS.sub(lambda digits: chr(len(digits[0])) + digits[0], name)
