"""Write the card of a model or an adapter: what it is made of, its recipe and its graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from mergegraph.checkpoint.licence import Licence
from mergegraph.diagnostics import escape

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@:])")


@dataclass(frozen=True, slots=True)
class Parent:
    """A model that went in: its source as the recipe writes it, its id on the Hub if it has one, its commit."""

    source: str
    hub_id: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a card says of the kind of an output. `relation` is the Hub's word for what it is to its base models."""

    relation: str
    library: str
    tag: str
    sentence: str


_MERGE = _Kind("merge", "transformers", "merge", "A merge of the models below, made with MergeGraph.")
_ADAPTER = _Kind("adapter", "peft", "lora", "A LoRA adapter for peft, made from the models below with MergeGraph.")


def model_card(
    title: str,
    parents: Sequence[Parent],
    *,
    recipe: str,
    mermaid: str,
    licences: Sequence[Licence | None] = (),
    adapts: Sequence[Parent] | None = None,
) -> str:
    """Return `README.md`. `mermaid` is the graph as Mermaid text, `licences` those of the parents, None if unknown.

    That of an adapter says what it `adapts`; a model's base models are its parents. A licence is stated only where all
    parents have the same. Nothing that comes from files can end a block, start markup or steer a terminal.
    """
    kind, bases = (_MERGE, parents) if adapts is None else (_ADAPTER, adapts)
    return "\n".join(
        (
            f"---\n{_front_matter(kind, bases, licences)}\n---",
            f"\n# {_text(title)}\n",
            f"{kind.sentence}\n",
            "## Parents\n",
            *_rows(parents),
            "\n## Recipe\n",
            _fenced(recipe, "text"),
            "\n## Graph\n",
            _fenced(mermaid, "mermaid"),
            "\nThe exact inputs, versions and checksums are in `mergegraph.json`.\n",
        )
    )


def _front_matter(kind: _Kind, bases: Iterable[Parent], licences: Sequence[Licence | None]) -> str:
    models = list(dict.fromkeys(escape(base.hub_id) for base in bases if base.hub_id))
    shared = licences[0] if len(set(licences)) == 1 else None
    data = {
        "base_model": models,
        "library_name": kind.library,
        "license": shared.id if shared else None,
        "license_name": shared.name if shared else None,
        "license_link": shared.link if shared else None,
        "tags": [kind.tag, "mergegraph"],
        "base_model_relation": kind.relation if models else None,
    }
    stated = {key: value for key, value in data.items() if value}
    return yaml.safe_dump(stated, sort_keys=False, allow_unicode=True).rstrip("\n")


def _rows(parents: Iterable[Parent]) -> list[str]:
    rows = dict.fromkeys(f"| {_text(p.source)} | {_text(p.commit or '—')} |" for p in parents)
    return ["| model | commit |", "|---|---|", *rows]


def _text(text: str) -> str:
    return _MARKUP.sub(r"\\\1", escape(text))


def _fenced(text: str, language: str) -> str:
    lines = [escape(line.replace("\t", "    ")) for line in text.rstrip("\n").split("\n")]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}{language}", *lines, fence))
