"""Read JSON from strangers: one object, no key twice, no text that is not Unicode, bounded depth."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.faults import fault, quoted
from mergegraph.diagnostics import MergeGraphError

MAX_DEPTH = 64
"""How deep lists and objects may nest in a configuration or an index."""


class _RepeatedError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def parse_object(data: bytes, what: str, path: Path, *, flat: bool = False) -> dict[str, Any]:
    """Return the object that `data` is; `what` names the text in messages.

    Raises MG506 when it is not UTF-8, begins with a byte order mark, is not JSON, is no object, nests deeper than
    `MAX_DEPTH` or has half a surrogate pair in a text; MG507 when an object gives a key twice. NaN and Infinity are
    read, as Python's own writer makes them. With `flat` the depth is left to the caller, who knows the one right shape.
    """
    try:
        value = (_SIGNED if b"-0" in data else _DECODER).decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise fault("MG506", f"the {what} is not UTF-8 at byte {error.start:,}", path) from error
    except json.JSONDecodeError as error:
        raise fault("MG506", f"the {what} is not JSON at character {error.pos:,}", path) from error
    except _RepeatedError as error:
        raise fault("MG507", f"the {what} gives {quoted(error.key)} twice", path) from error
    except RecursionError as error:
        raise _too_deep(what, path) from error
    except ValueError as error:
        raise fault("MG506", f"the {what} has a number of too many digits", path) from error
    if not isinstance(value, dict):
        raise fault("MG506", f"the {what} is not a JSON object", path)
    if b"\\u" in data or (not flat and data.count(b"[") + data.count(b"{") > MAX_DEPTH):
        _check_nested(value, what, path)
    return value


def _check_nested(value: object, what: str, path: Path) -> None:
    """Raise MG506 when a parsed value nests deeper than `MAX_DEPTH` or holds half of a surrogate pair."""
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(what, path)
        if isinstance(item, str) and not _is_unicode(item):
            raise fault("MG506", f"the {what} has text that is not Unicode: {quoted(item)}", path)
        if isinstance(item, dict):
            stack.extend((inner, depth + 1) for inner in chain(item, item.values()))
        elif isinstance(item, list):
            stack.extend((inner, depth + 1) for inner in item)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return members


def _integer(text: str) -> int | float:
    # safetensors takes -0 for a float and so refuses it as a size.
    return -0.0 if text == "-0" else int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_SIGNED = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer)
"""What reads a text that may have a -0: three times slower."""


def _too_deep(what: str, path: Path) -> MergeGraphError:
    return fault("MG506", f"the {what} nests too deep", path)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
