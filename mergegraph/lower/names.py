"""Which tensors a value of the recipe has, and where each comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate

from mergegraph.checkpoint.adapter import Adapter
from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.layers import Stack, find_stacks, rename, split_layer
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, did_you_mean, escape
from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.lower.adapters import Fitted, fit
from mergegraph.recipe.anchors import adapters
from mergegraph.recipe.recipe import Recipe, changed, donor
from mergegraph.vocabulary.tensors import vocabulary_tensors

POINTS = (Type.MODEL, Type.DELTA, Type.MASK, Type.STAT)


@dataclass(frozen=True, slots=True)
class Names:
    """The tensor names of a value in order, and the stacks of layers among them."""

    names: Mapping[str, None]
    stacks: tuple[Stack, ...]

    @property
    def prefixes(self) -> frozenset[str]:
        """The prefixes of the stacks."""
        return frozenset(stack.prefix for stack in self.stacks)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor of a `stack` comes from: a value of the recipe and the name there."""

    value: Node
    name: str


class Namer:
    """Finds the names of every value of a recipe, once each."""

    def __init__(
        self, recipe: Recipe, checkpoints: Mapping[Node, Checkpoint], adapters: Mapping[Node, Adapter]
    ) -> None:
        self.recipe = recipe
        self.checkpoints = checkpoints
        self.adapters = adapters
        self._fitted: dict[Node, Fitted] = {}
        self._names: dict[Node, Names] = {}
        self._origins: dict[Node, Mapping[str, Origin]] = {}
        self._globs: dict[str, re.Pattern[str]] = {}

    def names(self, node: Node) -> Names:
        """Return the names of the tensors of a value. MergeGraphError if layers are asked for that do not exist."""
        if node not in self._names:
            self._names[node] = self._find(node)
        return self._names[node]

    def origin(self, stack: Node, name: str) -> Origin | None:
        """Return where a tensor of a `stack` comes from; None if it has none of this name in its layers.

        Outside layers `rest` gives even what it lacks, since its partner may be tied to that.
        """
        found, own = self.names(stack), self._origins[stack].get(name)
        outside = own is None and split_layer(name, found.prefixes) is None
        return Origin(stack.inputs[-1], name) if outside else own

    def home(self, node: Node, name: str) -> tuple[Node, str]:
        """Return the model that a tensor of a value is a change of, and its name there."""
        while node.op != "model":
            if node.op == "stack":
                origin = self.origin(node, name)
                if origin is None:
                    return donor(node), name
                node, name = origin.value, origin.name
            else:
                node = self.case(node, name) if node.op == "select" else changed(node)
        return node, name

    def fitted(self, adapter: Node) -> Fitted:
        """Return how an adapter changes the model that it belongs to. MergeGraphError if it does not fit."""
        if adapter not in self._fitted:
            base = self.recipe.anchors[adapter]
            home = self.checkpoints[donor(base)]
            found = fit(self.adapters[adapter], dict(self._shapes(base)), home.config, vocabulary_tensors(home))
            if found.problems:
                raise MergeGraphError(*(self._at(adapter, *problem) for problem in found.problems))
            self._fitted[adapter] = found
        return self._fitted[adapter]

    def supplied(self, delta: Node, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor that an adapter in a delta has and its model lacks."""
        return next((s for a in adapters(delta) if (s := self.fitted(a).added.get(name)) is not None), None)

    def _shapes(self, model: Node) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name in self.names(model).names:
            home, inner = self.home(model, name)
            tensor = self.checkpoints[home].tensors.get(inner)
            if tensor is not None:
                yield name, tensor.shape

    def case(self, select: Node, name: str) -> Node:
        """Return the case of a `select` that is for this tensor."""
        for pattern, value in zip(self._patterns(select), select.inputs, strict=False):
            if pattern.match(name):
                return value
        return select.inputs[-1]

    def unmatched(self, select: Node, names: Iterable[str]) -> list[str]:
        """Return the globs of a `select` that match none of the names."""
        found = list(names)
        return [
            text
            for text, pattern in zip(_texts(select), self._patterns(select), strict=True)
            if not any(pattern.match(name) for name in found)
        ]

    def unreached(self, select: Node, names: Iterable[str]) -> list[str]:
        """Return the globs of a `select` that match names, all of which earlier globs take; `_` after a glob `*`."""
        texts, found = _texts(select), list(names)
        taken: set[str] = set()
        shadowed = []
        for text, pattern in zip(texts, self._patterns(select), strict=True):
            matched = {name for name in found if pattern.match(name)}
            shadowed += [text] if matched and matched <= taken else []
            taken |= matched
        return [*shadowed, *(["_"] if "*" in texts else [])]

    def _patterns(self, select: Node) -> list[re.Pattern[str]]:
        texts = _texts(select)
        for text in texts:
            if text not in self._globs:
                self._globs[text] = re.compile(translate(text))
        return [self._globs[text] for text in texts]

    def _find(self, node: Node) -> Names:
        if node.op == "model":
            checkpoint = self.checkpoints[node]
            return Names(dict.fromkeys(checkpoint.tensors), checkpoint.stacks)
        if node.op == "stack":
            return self._stacked(node)
        if node.op == "lora":
            base, added = self.names(self.recipe.anchors[node]), self.fitted(node).added
            return Names(dict.fromkeys((*base.names, *added)), base.stacks)
        found = [self.names(child) for child in node.inputs if child.type in POINTS]
        if len(found) == 1 or all(names.names == found[0].names for names in found):
            return found[0]
        together: dict[str, None] = {}
        for names in found:
            together |= names.names
        if node.op == "select" and any(names.stacks != found[0].stacks for names in found):
            together = {name: None for name in together if not self._beyond(self.case(node, name), name)}
        return Names(together, find_stacks(together))

    def _beyond(self, value: Node, name: str) -> bool:
        """Tell whether a tensor lies in a layer after the last that a value has in this stack."""
        names = self.names(value)
        layer = split_layer(name, names.prefixes)
        return layer is not None and layer.index >= next(s.count for s in names.stacks if s.prefix == layer.prefix)

    def _stacked(self, node: Node) -> Names:
        *parts, rest = node.inputs
        prefix = self._prefix(parts[0])
        origins: dict[str, Origin] = {}
        height = 0
        for part in parts:
            if self._prefix(part) != prefix:
                raise MergeGraphError(self._mixed(part, prefix))
            start, stop = self._range(part, prefix)
            origins |= self._layers(part, prefix, start, stop, height)
            height += stop - start
        outside = {name: Origin(rest, name) for name in self.names(rest).names if split_layer(name, (prefix,)) is None}
        ordered = _in_order_of(self.names(rest).names, outside, origins, prefix)
        self._origins[node] = ordered
        return Names(dict.fromkeys(ordered), find_stacks(ordered))

    def _prefix(self, part: Node) -> str:
        """Return the stack that a range of layers is taken from."""
        model, asked = part.inputs[0], part.attribute("stack")
        stacks = self.names(model).stacks
        prefixes = [stack.prefix for stack in stacks]
        if asked is None and len(prefixes) == 1:
            return prefixes[0]
        if isinstance(asked, str) and asked in prefixes:
            return asked
        parts = [prefix for prefix in prefixes if f".{asked}." in f".{prefix}."]
        if len(parts) == 1:
            return parts[0]
        if not prefixes:
            message = "this model has no layers"
            help: tuple[str, ...] = ("no tensor is named `prefix.0.suffix`, `prefix.1.suffix`, …",)
        elif asked is None:
            message = "this model has several stacks of layers"
            help = tuple(f'write `.layers("{prefix}")[…]`' for prefix in prefixes)
        else:
            message = f"this model has {'several stacks' if parts else 'no stack'} of layers `{escape(str(asked))}`"
            help = (*(() if parts else did_you_mean(str(asked), prefixes)), f"it has: {', '.join(prefixes)}")
        raise MergeGraphError(self._at(part, "MG311", message, help))

    def _range(self, part: Node, prefix: str) -> tuple[int, int]:
        start, stop = part.attribute("start"), part.attribute("stop")
        assert isinstance(start, int)
        assert isinstance(stop, int)
        count = next(s.count for s in self.names(part.inputs[0]).stacks if s.prefix == prefix)
        if stop > count:
            yaml = self.recipe.spans[part].source.name.endswith((".yml", ".yaml"))
            help = (f"`layer_range: [0, {count}]`" if yaml else f"`.layers[0..{count}]`") + " takes all of them"
            raise MergeGraphError(self._at(part, "MG312", f"this model has only {count} layers", (help,)))
        return start, stop

    def _layers(self, part: Node, prefix: str, start: int, stop: int, height: int) -> dict[str, Origin]:
        found = {}
        for name in self.names(part.inputs[0]).names:
            layer = split_layer(name, (prefix,))
            if layer and start <= layer.index < stop:
                moved = rename(replace(layer, index=layer.index - start + height))
                found[moved] = Origin(part.inputs[0], name)
        return found

    def _mixed(self, part: Node, prefix: str) -> Diagnostic:
        message = f"layers named `{self._prefix(part)}` can't follow layers named `{prefix}`"
        return self._at(part, "MG313", message, ("stack models of one architecture",))

    def _at(self, node: Node, code: str, message: str, help: tuple[str, ...]) -> Diagnostic:
        return Diagnostic(code, message, (Label(self.recipe.spans[node]),), help)


def _texts(select: Node) -> list[str]:
    patterns = select.attribute("patterns")
    assert isinstance(patterns, tuple)
    return [str(pattern) for pattern in patterns]


def _in_order_of(
    names: Iterable[str], outside: Mapping[str, Origin], inside: Mapping[str, Origin], prefix: str
) -> dict[str, Origin]:
    """Return all origins, the layers where the first layer of the model that gives the rest stood."""
    ordered: dict[str, Origin] = {}
    for name in names:
        if name in outside:
            ordered[name] = outside[name]
        else:
            ordered.update(inside)
    return ordered | dict(inside)
