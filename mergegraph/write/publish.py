"""Give a complete directory its final name in one step, or leave everything as it was."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from mergegraph.write.files import remove_tree
from mergegraph.write.journal import Journal
from mergegraph.write.os import Os
from mergegraph.write.partial import Partial


def publish(os_: Os, partial: Partial, journal: Journal, *, replace: bool) -> tuple[str, ...]:
    """Rename the model to the output, what it replaces aside. The names are not on the disk yet.

    Return the new name of what was replaced, if anything was. Raise OSError after having put it back.
    """
    replaced = _set_aside(os_, partial.target, journal) if replace else ()
    try:
        os_.rename(partial.model, partial.target)
    except OSError:
        _put_back(os_, partial.target, replaced)
        raise
    return replaced


def withdraw(os_: Os, partial: Partial, replaced: tuple[str, ...]) -> None:
    """Take a published output back into its partial directory, and give what it replaced its name again."""
    os_.rename(partial.target, partial.model)
    _put_back(os_, partial.target, replaced)


def _put_back(os_: Os, target: Path, replaced: tuple[str, ...]) -> None:
    for name in replaced:
        os_.rename(target.with_name(name), target)


def _set_aside(os_: Os, target: Path, journal: Journal) -> tuple[str, ...]:
    aside = target.with_name(f"{target.name}.old-{secrets.token_hex(4)}")
    journal.append_replaced(aside.name)
    os_.rename(target, aside)
    return (aside.name,)


def clean_up(os_: Os, partial: Partial, replaced: tuple[str, ...]) -> None:
    """Remove what the output replaced and the remains of the partial directory; what resists is left lying there."""
    for name in replaced:
        if name.startswith(f"{partial.target.name}.old-") and "/" not in name:
            with suppress(OSError):
                remove_tree(os_, partial.target.with_name(name))
    with suppress(OSError):
        remove_tree(os_, partial.root)
