"""Read the slices of a mergekit configuration: which layers of which models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mergegraph.diagnostics import Label, Span
from mergegraph.syntax.yaml.methods import ELSEWHERE
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.parameters import Level, Parameters
from mergegraph.syntax.yaml.scalars import number
from mergegraph.syntax.yaml.section import Section
from mergegraph.syntax.yaml.tree import Items, Tree, head

ReadModel = Callable[[Tree], "str | None"]
"""Gives the name that a model is bound to; None, with the error noted, if it names none."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A half-open range of layers."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """How many layers there are."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Input:
    """A model that goes into a slice, by the name it is bound to; `layers` None takes it whole."""

    model: str
    layers: Layers | None
    parameters: Level
    span: Span


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the merged model: the merge of its inputs. `levels` are its parameters, the nearest first."""

    inputs: tuple[Input, ...]
    levels: tuple[Level, ...]
    span: Span


def whole_models(section: Section, levels: tuple[Level, ...], read: ReadModel, parameters: Parameters) -> Slice:
    """Return `models` as the one slice that they are."""
    inputs = [
        _input(item, "an entry of `models`", ("model", "parameters"), read, parameters)
        for item in section.items("models")
    ]
    return Slice(tuple(i for i in inputs if i), levels, section.place("models"))


def slices(section: Section, levels: tuple[Level, ...], read: ReadModel, parameters: Parameters) -> Iterator[Slice]:
    """Yield what is listed under `slices`."""
    for item in section.items("slices"):
        inner = Section(item, "a slice", ("sources", "parameters"), parameters.notes, ELSEWHERE)
        inner.need("sources", "list its models: `sources: [{model: ./a, layer_range: [0, 16]}]`")
        own = parameters.level("slice", inner.get("parameters"))
        keys = ("model", "layer_range", "parameters")
        inputs = [_input(source, "a source", keys, read, parameters) for source in inner.items("sources")]
        found = tuple(i for i in inputs if i)
        _check_lengths(found, parameters.notes)
        if found:
            yield Slice(found, (own, *levels), head(inner.span))


def _input(tree: Tree, what: str, keys: tuple[str, ...], read: ReadModel, parameters: Parameters) -> Input | None:
    section = Section(tree, what, keys, parameters.notes, ELSEWHERE)
    section.need("model", "name a folder, or a model of the Hub")
    model = section.get("model")
    name = read(model) if model else None
    layers = _layers(section, parameters.notes) if "layer_range" in keys else None
    level = parameters.level("source", section.get("parameters"))
    if model is None or name is None or (layers is None and "layer_range" in keys):
        return None
    return Input(name, layers, level, head(model.span))


def _layers(section: Section, notes: Notes) -> Layers | None:
    section.need("layer_range", "say which layers: `layer_range: [0, 16]` takes layers 0 to 15")
    tree = section.get("layer_range")
    if tree is None:
        return None
    bounds = [number(item, "layer_range", notes) for item in tree.items] if isinstance(tree, Items) else []
    if None in bounds:
        return None
    found = [int(b) for b in bounds if b is not None and b.is_integer()]
    if len(bounds) == len(found) == 2 and 0 <= found[0] < found[1]:
        return Layers(found[0], found[1])
    help = ("`[0, 16]` takes layers 0 to 15",)
    notes.error("MG165", "`layer_range` goes from a lower whole number to a higher", head(tree.span), help=help)
    return None


def _check_lengths(inputs: tuple[Input, ...], notes: Notes) -> None:
    for other in inputs[1:]:
        first = inputs[0]
        if first.layers and other.layers and first.layers.count != other.layers.count:
            notes.error(
                "MG165",
                "the models of a slice must have equally many layers in it",
                other.span,
                f"{other.layers.count} of this",
                Label(first.span, f"{first.layers.count} of this"),
                help=("make the ranges equally long",),
            )
