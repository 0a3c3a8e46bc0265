"""Remember which tensors are safely on the disk, so that a broken run can be continued.

The first line says what the partial output belongs to; every other line is one finished tensor and its digest, or the
name under which a replaced directory waits to be removed. What follows a line that can't be read is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from mergegraph.diagnostics import escape, listed
from mergegraph.write.files import pwrite_all
from mergegraph.write.os import Os

NAME = "mergegraph-journal.jsonl"
_FORMAT = "mergegraph-journal-1"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a partial output belongs to: fingerprints of the plan, the layout and each input, and versions by name."""

    plan: str
    layout: str
    versions: Mapping[str, str]
    inputs: Mapping[str, str]

    def line(self) -> bytes:
        """Return the first line of a journal of this identity."""
        return _line({"format": _FORMAT, **asdict(self)})


@dataclass(frozen=True, slots=True)
class Record:
    """What a journal says: digests by tensor, names of replaced directories, and its valid length in bytes."""

    identity: Identity
    digests: Mapping[str, str]
    replaced: tuple[str, ...]
    nbytes: int


@dataclass(slots=True)
class Journal:
    """An open journal whose next line goes to `end`."""

    os: Os
    fd: int
    end: int

    def append_digests(self, digests: Mapping[str, str]) -> None:
        """Add finished tensors, whose data must be synced, and wait until the lines are on the disk."""
        self.append(b"".join(_line({"tensor": name, "digest": digest}) for name, digest in digests.items()))

    def append_replaced(self, name: str) -> None:
        """Add the name under which the directory that the output replaces is kept until the end."""
        self.append(_line({"replaced": name}))

    def append(self, lines: bytes) -> None:
        """Add whole lines and wait until they are on the disk."""
        pwrite_all(self.os, self.fd, lines, self.end)
        self.os.fdatasync(self.fd)
        self.end += len(lines)


def _line(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()


def read_journal(data: bytes) -> Record | None:
    """Return what the bytes of a journal say, or None where even its first line is torn."""
    lines = _whole_lines(data)
    identity = _identity(next(lines, ({}, 0))[0])
    if identity is None:
        return None
    digests: dict[str, str] = {}
    replaced: list[str] = []
    end = data.index(b"\n") + 1
    for value, after in lines:
        match value:
            case {"tensor": str(name), "digest": str(digest)}:
                digests[name] = digest
            case {"replaced": str(name)}:
                replaced.append(name)
            case _:
                break
        end = after
    return Record(identity, digests, tuple(replaced), end)


def _whole_lines(data: bytes) -> Iterator[tuple[object, int]]:
    end = 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not line.endswith(b"\n"):
            return
        yield value, end


def _identity(value: object) -> Identity | None:
    match value:
        case {
            "format": str(form),
            "plan": str(plan),
            "layout": str(layout),
            "versions": dict(versions),
            "inputs": dict(i),
        }:
            return Identity(plan, layout, versions, i) if form == _FORMAT else None
    return None


def differences(then: Identity, now: Identity) -> tuple[str, ...]:
    """Return, as sentences, why what `then` began can't be continued by `now`; nothing where it can."""
    return tuple(_differences(then, now))


def _differences(then: Identity, now: Identity) -> Iterator[str]:
    for name in sorted({*then.versions, *now.versions}):
        old, new = then.versions.get(name, "none"), now.versions.get(name, "none")
        if old != new:
            yield f"it was begun with {escape(name)} {escape(old)}, and this is {escape(new)}"
    names = sorted({*then.inputs, *now.inputs})
    changed = [name for name in names if then.inputs.get(name) != now.inputs.get(name)]
    if changed:
        yield f"these inputs have changed since: {listed(changed)}"
    # What else is computed may be what follows from other inputs.
    if then.plan != now.plan and not (changed and then.inputs.keys() == now.inputs.keys()):
        yield "it was begun by another recipe, or with other options"
    elif then.layout != now.layout and not changed:
        yield "its shards are cut differently"
