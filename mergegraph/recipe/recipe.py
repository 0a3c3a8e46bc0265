"""The Recipe: a graph of tens of nodes over whole models, and what is to be saved of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mergegraph.diagnostics import Diagnostic, Source, Span
from mergegraph.ir.node import Attribute, Node, intern, postorder
from mergegraph.ir.types import Type
from mergegraph.recipe.anchors import SOURCES
from mergegraph.recipe.tokens import Vocabulary

DEFAULT_SHARD_SIZE = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template: that of `model`, or `text`; with neither the one that most models have."""

    model: Node | None
    text: str | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Save:
    """One output: `value` is a model. `vocabulary` says what its tokens are, `config` is a model whose file is copied.

    `dtype` None keeps the dtype of the inputs; `missing` is the model that gives tensors which other inputs lack.
    `template` is its chat template: that of a model, or a text; None keeps that of the tokenizer.
    """

    value: Node
    path: str
    dtype: str | None
    vocabulary: Vocabulary
    config: Node
    missing: Node | None
    shard_size: int
    span: Span
    template: Template | None = None

    @property
    def tokenizer(self) -> Node:
        """The model whose tokenizer it has, with or without changes."""
        return self.vocabulary.models[0]

    @property
    def needed(self) -> tuple[Node, ...]:
        """The models that it needs besides those of its value."""
        template = self.template.model if self.template else None
        found = (*self.vocabulary.needed, self.config, self.missing, template)
        return tuple(node for node in found if node is not None)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A resolved recipe: names bound, types checked, methods expanded. Nothing has been read yet.

    `models` are the checkpoints that the saves need, adapters among them, in order of first use; `anchors` are the
    models that adapters belong to. `spans` and `names` say where each node was written and what it was called there;
    `optional` are the globs of `select`s that may match no tensor. `imports` are the texts of imported recipes by their
    path from the recipe's folder.
    """

    source: Source
    saves: tuple[Save, ...]
    seed: int
    models: tuple[Node, ...]
    spans: Mapping[Node, Span]
    names: Mapping[Node, str]
    warnings: tuple[Diagnostic, ...]
    optional: frozenset[tuple[Node, str]] = frozenset()
    imports: Mapping[str, str] = field(default_factory=dict)
    anchors: Mapping[Node, Node] = field(default_factory=dict)

    def nodes(self) -> list[Node]:
        """Return the distinct nodes that the saves need, inputs first."""
        return list(postorder(save.value for save in self.saves))

    def parents(self, save: Save) -> list[Node]:
        """Return the checkpoints that have a say in one output, in order of first use."""
        return [node for node in postorder([save.value, *save.needed]) if node.op in SOURCES]

    def called(self, node: Node) -> str:
        """Return the function that was called where a node was written: the method that an operation is a part of."""
        found = re.match(r"(?:\w+\.)*(\w+)\s*\(", self.spans[node].text) if node in self.spans else None
        return found[1] if found else node.op

    def name(self, node: Node) -> str:
        """Return what a node is called in the recipe; without a name a model is its source, others their operation."""
        return self.names.get(node) or (text_attribute(node, "source") if node.op in SOURCES else node.op)


def number(value: float) -> Node:
    """Return a number as a node of the Recipe."""
    return intern("number", (), (("value", float(value)),), Type.NUMBER)


def text_attribute(node: Node, name: str) -> str:
    """Return an attribute that is a string."""
    value = node.attribute(name)
    assert isinstance(value, str)
    return value


def numbers_attribute(node: Node, name: str) -> tuple[float, ...]:
    """Return an attribute that is a tuple of numbers."""
    value: Attribute = node.attribute(name)
    assert isinstance(value, tuple)
    return tuple(float(v) for v in value if isinstance(v, (int, float)))


def donor(node: Node) -> Node:
    """Return the model that a value is a change of: it gives the config and the tokenizer unless others are named."""
    while node.op != "model":
        node = changed(node)
    return node


def changed(node: Node) -> Node:
    """Return the input that the result of an operation is a change of.

    The first model among the inputs counts, or the first delta; the last one of a `stack`, a `select` or a `where`.
    """
    order = node.inputs[::-1] if node.op in ("stack", "select", "where") else node.inputs
    points = [child for child in order if child.type not in (Type.NUMBER, Type.FIELD)]
    return next((child for child in points if child.type is Type.MODEL), points[0])
