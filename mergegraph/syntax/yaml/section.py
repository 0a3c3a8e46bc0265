"""Read maps whose keys are known: what is none of them is an error that offers the closest."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mergegraph.diagnostics import Span, did_you_mean, escape
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.scalars import is_null
from mergegraph.syntax.yaml.tree import Entry, Items, Map, Scalar, Tree, head, kind

NOWHERE: Mapping[str, str] = {}


class Section:
    """A map that is called `what`. Keys without a value count as absent; `elsewhere` says where others belong.

    `damaged` tells that it has keys that it shouldn't have, or is no map at all.
    """

    def __init__(
        self, tree: Tree, what: str, keys: Collection[str], notes: Notes, elsewhere: Mapping[str, str] = NOWHERE
    ) -> None:
        self.what = what
        self.elsewhere = elsewhere
        self.notes = notes
        self.span = tree.span
        self.damaged = not isinstance(tree, Map)
        self._entries: dict[str, Entry] = {}
        for entry in self._read(tree, keys):
            if entry.key.text not in keys:
                self._unknown(entry.key, keys)
            elif not is_null(entry.value):
                self._entries[entry.key.text] = entry

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Tree | None:
        """Return the value of a key."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def place(self, key: str) -> Span:
        """Return where a key stands; the whole section where it doesn't."""
        entry = self._entries.get(key)
        return entry.key.span if entry else head(self.span)

    def text(self, key: str) -> Scalar | None:
        """Return a value that must be text; None if it is absent, or, with the error noted, anything else."""
        value = self.get(key)
        if value is None or (isinstance(value, Scalar) and value.text):
            return value if isinstance(value, Scalar) else None
        help = (f"write one value: `{key}: {escape(_first(value))}`",)
        self.notes.error("MG161", f"`{key}` must be text", head(value.span), f"this is {kind(value)}", help=help)
        return None

    def items(self, key: str) -> tuple[Tree, ...]:
        """Return a value that must be a list; none, with the error noted, if it is anything else."""
        value = self.get(key)
        if value is None or isinstance(value, Items):
            return value.items if isinstance(value, Items) else ()
        help = ("each entry is a line that begins with `- `",)
        self.notes.error("MG161", f"`{key}` must be a list", head(value.span), f"this is {kind(value)}", help=help)
        return ()

    def need(self, key: str, help: str) -> None:
        """Note an error if a key is absent, and no key that was misspelt may stand for it."""
        if key not in self._entries and not self.damaged:
            self.notes.error("MG162", f"{self.what} needs `{key}`", head(self.span), help=(help,))

    def _read(self, tree: Tree, keys: Collection[str]) -> tuple[Entry, ...]:
        if isinstance(tree, Map):
            return tree.entries
        if not is_null(tree):
            help = (f"a map has lines of the form `key: value`; it takes: {', '.join(keys)}",)
            self.notes.error("MG161", f"{self.what} must be a map", head(tree.span), f"this is {kind(tree)}", help=help)
        return ()

    def _unknown(self, key: Scalar, keys: Collection[str]) -> None:
        self.damaged = True
        place = (self.elsewhere[key.text],) if key.text in self.elsewhere else did_you_mean(key.text, keys)
        help = (*place, f"it takes: {', '.join(keys)}")
        message = f"{self.what} has no key `{escape(key.text)}`"
        self.notes.error("MG160", message, key.span, "unknown key", help=help)


def _first(tree: Tree) -> str:
    """Return the first single value in a part of a text, which was probably meant; `…` where there is none."""
    match tree:
        case Scalar(text=text):
            return text or "…"
        case Items(items=(first, *_)):
            return _first(first)
    return "…"
