"""Find under which licence a model stands, as its card says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.files import opened, read_exactly

CARD = "README.md"
LONGEST = 65_536
"""How much of a card is read in search of the licence."""

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(
    r"^(license|license_name|license_link):[ \t]*([\"']?)([\w.:/+-]{1,200})\2[ \t]*(?:#.*)?\r?$", re.MULTILINE
)
"""One plain word: what else YAML can say, in lists or with tags, is not looked at."""


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence by its identifier on the Hub; `other` ones have a name and a link."""

    id: str
    name: str | None
    link: str | None


def licence_of(checkpoint: Checkpoint) -> Licence | None:
    """Return the licence in the front matter of a model's card; None where there is none, or it is not one word.

    Raises as `Checkpoint.member`.
    """
    if checkpoint.folder is None or not checkpoint.folder.has(CARD):
        return None
    path = checkpoint.member(CARD)
    with opened(path) as (descriptor, status):
        text = read_exactly(descriptor, 0, min(status.st_size, LONGEST), path).decode("utf-8", "replace")
    front = _FRONT_MATTER.match(text)
    found = {key: value for key, _, value in _ENTRY.findall(front[1])} if front else {}
    if "license" not in found:
        return None
    return Licence(found["license"], found.get("license_name"), found.get("license_link"))
