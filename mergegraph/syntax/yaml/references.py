"""Read how a mergekit configuration names models: `path`, `org/name@revision`, `base+adapter`, or a map."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from mergegraph.syntax.vocabulary import KEYWORDS
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.section import Section
from mergegraph.syntax.yaml.tree import Map, Scalar, Tree, head, kind

LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Reference:
    """A model as a configuration names it, and the adapter that is added to it. Equal ones are one model everywhere."""

    source: str
    revision: str | None
    adapter: Reference | None = None


def reference(tree: Tree, notes: Notes) -> Reference | None:
    """Return the model that is named; None, with the error noted, if none is."""
    if isinstance(tree, Map):
        return _mapped(tree, notes)
    if not isinstance(tree, Scalar) or not tree.text.strip():
        help = ("such as `./folder`, or `org/name` on the Hub",)
        notes.error("MG161", "a model must be a path or a name", head(tree.span), f"this is {kind(tree)}", help=help)
        return None
    base, plus, adapter = tree.text.partition("+")
    return replace(_revised(base), adapter=_revised(adapter)) if plus else _revised(base)


def _revised(text: str) -> Reference:
    """Split off a revision; only models of the Hub have one."""
    name, _, revision = text.partition("@")
    if text.startswith((".", "/", "~")) or not revision:
        return Reference(text, None)
    return Reference(name, revision)


def _mapped(tree: Map, notes: Notes) -> Reference | None:
    section = Section(tree, "a model", ("model", "lora", "override_architecture"), notes)
    section.need("model", "name it: `model: {path: ./folder}`")
    model, adapter = section.get("model"), section.get("lora")
    found, added = _path(model, notes) if model else None, _path(adapter, notes) if adapter else None
    return replace(found, adapter=added) if found and added else found


def _path(tree: Tree, notes: Notes) -> Reference | None:
    if not isinstance(tree, Map):
        return reference(tree, notes)
    path = Section(tree, "a model", ("path", "revision"), notes)
    path.need("path", "name a folder, or a model of the Hub")
    source, revision = path.text("path"), path.text("revision")
    return Reference(source.text, revision.text if revision else None) if source else None


def binding_name(source: str, taken: Collection[str]) -> str:
    """Return a name for a model that is not taken yet: the last part of its path, made of letters and digits."""
    last = re.split(r"[/\\:]", source.rstrip("/\\"))[-1]
    word = re.sub(r"[^A-Za-z0-9]+", "_", last).strip("_")[:LONGEST_NAME] or "model"
    if not word[0].isalpha() or word in KEYWORDS.values():
        word = f"model_{word}"
    found, count = word, 1
    while found in taken:
        count += 1
        found = f"{word}_{count}"
    return found
