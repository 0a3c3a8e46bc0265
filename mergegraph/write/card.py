"""Write the model card: what the merge is made of, its recipe and its graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from huggingface_hub.repocard_data import ModelCardData

from mergegraph.checkpoint.licence import Licence
from mergegraph.diagnostics import escape

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@:])")


@dataclass(frozen=True, slots=True)
class Parent:
    """A model that went in: its source as the recipe writes it, its id on the Hub if it has one, its commit."""

    source: str
    hub_id: str | None = None
    commit: str | None = None


def model_card(
    title: str, parents: Sequence[Parent], *, recipe: str, mermaid: str, licences: Sequence[Licence | None] = ()
) -> str:
    """Return `README.md`. `mermaid` is the graph as Mermaid text, `licences` those of the parents, None if unknown.

    A licence is stated only where all parents have the same. Nothing that comes from files can end a block, start
    markup or steer a terminal.
    """
    return "\n".join(
        (
            f"---\n{_front_matter(parents, licences)}\n---",
            f"\n# {_text(title)}\n",
            "A merge of the models below, made with MergeGraph.\n",
            "## Parents\n",
            *_rows(parents),
            "\n## Recipe\n",
            _fenced(recipe, "text"),
            "\n## Graph\n",
            _fenced(mermaid, "mermaid"),
            "\nThe exact inputs, versions and checksums are in `mergegraph.json`.\n",
        )
    )


def _front_matter(parents: Iterable[Parent], licences: Sequence[Licence | None]) -> str:
    models = list(dict.fromkeys(escape(parent.hub_id) for parent in parents if parent.hub_id))
    shared = licences[0] if len(set(licences)) == 1 else None
    data = ModelCardData(
        base_model=models or None,
        base_model_relation="merge" if models else None,
        library_name="transformers",
        tags=["merge", "mergegraph"],
        license=shared.id if shared else None,
        license_name=shared.name if shared else None,
        license_link=shared.link if shared else None,
    )
    return data.to_yaml(line_break="\n")


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
