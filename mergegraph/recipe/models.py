"""Open the models and adapters that a Recipe names: their headers are read, and no tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mergegraph.checkpoint.adapter import Adapter, open_adapter
from mergegraph.checkpoint.checkpoint import Checkpoint, open_checkpoint
from mergegraph.checkpoint.source import is_local, locate
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape
from mergegraph.ir.node import Node
from mergegraph.recipe.recipe import Recipe, donor, text_attribute
from mergegraph.syntax import nodes as s
from mergegraph.syntax.tree import walk


@dataclass(frozen=True, slots=True)
class Opened:
    """What a recipe names: the adapters, and the tensors of these and of the models."""

    adapters: Mapping[Node, Adapter]
    checkpoints: Mapping[Node, Checkpoint]


def open_models(recipe: Recipe, folder: Path) -> Opened:
    """Open all that a recipe names; paths begin at `folder`. MergeGraphError with everything that is wrong."""
    found: dict[Node, Checkpoint | Adapter] = {}
    errors: list[Diagnostic] = []
    for model in recipe.models:
        try:
            found[model] = _open(model, folder)
        except MergeGraphError as error:
            place = Label(recipe.spans[model])
            errors += [_labelled(diagnostic, place) for diagnostic in error.diagnostics]
    if errors:
        raise MergeGraphError(*errors)
    return Opened(
        {node: each for node, each in found.items() if isinstance(each, Adapter)},
        {node: each.checkpoint if isinstance(each, Adapter) else each for node, each in found.items()},
    )


def missing_models(syntax: s.Recipe, folder: Path) -> Iterator[Diagnostic]:
    """Yield an error for each path in a text that leads to no model: what can be told while names are wrong."""
    seen = set()
    for part in walk(syntax):
        match part:
            case s.Call(s.Name("model" | "lora"), (s.Argument(None, s.String(source, span)), *_)):
                if source in seen or "{" in source or not is_local(source, folder):
                    continue
                seen.add(source)
                try:
                    locate(source, folder, None)
                except MergeGraphError as error:
                    yield from (_labelled(diagnostic, Label(span)) for diagnostic in error.diagnostics)


def warnings(recipe: Recipe, opened: Opened) -> Iterator[Diagnostic]:
    """Yield what is allowed and probably not meant of the models, and of the adapters that are added to them."""
    for checkpoint in opened.checkpoints.values():
        yield from checkpoint.warnings
    for node, adapter in opened.adapters.items():
        base = opened.checkpoints[donor(recipe.anchors[node])]
        stated = adapter.config.base
        if stated and not _is_called(base, stated):
            message = f"this adapter was trained on `{escape(stated)}`, and is added to `{escape(base.source)}`"
            yield Diagnostic("MG386", message, (Label(recipe.spans[node]),), severity="warning")


def _is_called(model: Checkpoint, name: str) -> bool:
    """Tell whether a model may be the one of that path or id."""
    known = (model.source, model.config.get("_name_or_path"))
    return any(isinstance(each, str) and _last(each) == _last(name) for each in known)


def _open(model: Node, folder: Path) -> Checkpoint | Adapter:
    source, revision = text_attribute(model, "source"), model.attribute("revision")
    assert revision is None or isinstance(revision, str)
    if model.op == "lora":
        return open_adapter(source, relative_to=folder, revision=revision)
    checkpoint = open_checkpoint(source, relative_to=folder, revision=revision)
    if checkpoint.quantized:
        raise MergeGraphError(
            Diagnostic(
                "MG304",
                "this model is quantized: its numbers are codes that can't be averaged",
                place=checkpoint.source,
                help=("merge the model it was quantized from",),
            )
        )
    return checkpoint


def _last(name: str) -> str:
    """Return the last part of a path or of an id on the Hub."""
    return name.rstrip("/").rpartition("/")[2].lower()


def _labelled(diagnostic: Diagnostic, label: Label) -> Diagnostic:
    return replace(diagnostic, labels=(label, *diagnostic.labels))
