"""Lower the Recipe to the Graph: one expression per output tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from mergegraph.checkpoint.adapter import Adapter
from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.diagnostics import Diagnostic
from mergegraph.dtypes import DTYPES, FLOAT32, Dtype, widest
from mergegraph.ir.graph import (
    Binding,
    Graph,
    Key,
    OutputTensor,
    RowsRef,
    TensorRef,
    const,
    const_value,
    key_leaf,
    leaf_index,
)
from mergegraph.ir.node import Attribute, Node, postorder
from mergegraph.ir.types import Type
from mergegraph.keys import random_bits_key
from mergegraph.lower.changes import changed_by
from mergegraph.lower.extract import Decisions, Difference, Extracted, extracted
from mergegraph.lower.faults import Faults
from mergegraph.lower.fields import field_value
from mergegraph.lower.leaves import Leaves
from mergegraph.lower.names import Namer
from mergegraph.lower.state import Missing, TensorState, Unlowerable
from mergegraph.ops import OPS, Op
from mergegraph.ops.cast import cast
from mergegraph.ops.identical import identical
from mergegraph.ops.zeros import zeros
from mergegraph.recipe.recipe import Recipe, Save, numbers_attribute
from mergegraph.vocabulary.align import Alignment

LONGEST_FINGERPRINT = 10_000

NUMBERS = (Type.NUMBER, Type.FIELD)


_KEYED = frozenset(op.name for op in OPS.values() if any(p.kind == "Key" for p in op.parameters))
"""The operations that draw random bits."""


_NAMED = frozenset({"select", "ramp", "lora", "stack", "layers"})
"""The operations on models that look at the names of tensors."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """One expression per output tensor, warnings, and what the outputs that are adapters hold, by number."""

    graph: Graph
    warnings: tuple[Diagnostic, ...]
    extracted: Mapping[int, Extracted]


def lower(
    recipe: Recipe,
    checkpoints: Mapping[Node, Checkpoint],
    adapters: Mapping[Node, Adapter],
    alignments: Sequence[Alignment],
    decisions: Decisions | None = None,
) -> Lowered:
    """Return one expression per output tensor. There is an alignment of vocabularies for each save.

    `decisions` tell what adapters hold; without them it is assumed to be all that they may. MergeGraphError with every
    fault of shapes, names and types.
    """
    lowering = Lowering(recipe, checkpoints, adapters, alignments, decisions)
    tensors = [tensor for index, save in enumerate(recipe.saves) for tensor in lowering.save(index, save)]
    lowering.faults.check()
    surveyed = lowering.survey()
    lowering.faults.check()
    labels = tuple(recipe.name(model) for model in recipe.models)
    graph = Graph(labels, tuple(save.path for save in recipe.saves), tuple(tensors), tuple(surveyed))
    return Lowered(graph, tuple(lowering.faults.warnings()), lowering.extracted)


class Lowering:
    """Lowers the saves of one recipe. Tensors with equal shapes and parameters get the same expression object."""

    def __init__(
        self,
        recipe: Recipe,
        checkpoints: Mapping[Node, Checkpoint],
        adapters: Mapping[Node, Adapter],
        alignments: Sequence[Alignment],
        decisions: Decisions | None,
    ) -> None:
        self.decisions = decisions
        self.extracted: dict[int, Extracted] = {}
        self.recipe = recipe
        self.checkpoints = checkpoints
        self.alignments = alignments
        self.namer = Namer(recipe, checkpoints, adapters)
        self.faults = Faults(recipe, checkpoints)
        self.leaves = Leaves(recipe, checkpoints, alignments, self.faults)
        self._applied: dict[tuple[Node, int, tuple[Node, ...]], Node] = {}
        self._fingerprints: dict[Node, str] = {}
        self._leaf_dtypes: dict[tuple[Node, frozenset[int]], frozenset[Dtype]] = {}
        self._constants: dict[float, Node] = {}
        self._checked: set[tuple[Node, Node]] = set()
        self._ramped: dict[Node, frozenset[int]] = {}
        self._sound: set[tuple[Node, tuple[Node, ...]]] = set()
        self._scopes: dict[tuple[Node, int], str] = {}
        self._plain: dict[Node, tuple[Node, ...] | None] = {}
        self._templates: dict[tuple[object, ...], tuple[Node, tuple[int, ...]]] = {}
        self._written: dict[tuple[Node, Dtype], Node] = {}
        # Saves with the same tokens count as one: a whole model is surveyed once for them.
        gathers = [tuple((model, g.name) for model, g in a.gathers.items()) for a in alignments]
        self._vocabularies = [gathers.index(found) for found in gathers]

    def survey(self) -> list[OutputTensor]:
        """Return every tensor of the values of which statistics over all their tensors are needed.

        First come the statistics that decide what adapters hold.
        """
        done: set[tuple[Node, int]] = set()
        found = [tensor for extracted in self.extracted.values() for tensor in extracted.questions]
        # To lower a value may ask for others of its kind.
        while left := [scope for scope in self._scopes if scope not in done]:
            done.update(left)
            found += [tensor for node, save in left for tensor in self._surveyed(node, save)]
        return found

    def _surveyed(self, node: Node, save: int) -> list[OutputTensor]:
        found = []
        for name in self.namer.names(node).names:
            state = TensorState(save)
            try:
                root = self._lower(node, name, state)
            except (Missing, Unlowerable):
                # What can't be computed is reported where it is to be written.
                continue
            found.append(OutputTensor(-1, name, root, tuple(state.bindings)))
        self._uniform(node, found)
        return found

    def _uniform(self, node: Node, tensors: list[OutputTensor]) -> None:
        """Record a fault if the numbers of an operation on a whole model differ from tensor to tensor."""
        numbers: tuple[float | None, ...] | None = None
        for tensor in tensors:
            if tensor.root.op == node.op:
                found = tuple(const_value(child) for child in tensor.root.inputs)
                if numbers not in (None, found):
                    message = f"`{node.op}` over a whole model needs the same numbers for all tensors"
                    self.faults.problem(node, tensor.name, message)
                    return
                numbers = found

    def _attributes(self, node: Node, save: int) -> tuple[tuple[str, Attribute], ...]:
        """Return the attributes of a node of the Graph: a scope names the value that it means."""
        if ("scope", "model") not in node.attributes:
            return node.attributes
        scope = self._scopes.setdefault((node, self._vocabularies[save]), f"model {len(self._scopes)}")
        return tuple((name, scope if name == "scope" else value) for name, value in node.attributes)

    def save(self, index: int, save: Save) -> list[OutputTensor]:
        """Return the output tensors of one save."""
        if save.value.type is Type.ADAPTER:
            lacking: list[str] = []
            differences = list(self._differences(index, save, lacking))
            self.extracted[index] = extracted(index, save, differences, lacking, self.decisions)
            return list(self.extracted[index].tensors)
        names = self.namer.names(save.value)
        found = [self._output(index, save, name) for name in names.names]
        return [tensor for tensor in found if tensor is not None]

    def _differences(self, index: int, save: Save, lacking: list[str]) -> Iterator[Difference]:
        """Yield the tensors of a model, each with that of the base that an adapter is for; note those it lacks."""
        value, base = save.value.inputs
        for name in self.namer.names(value).names:
            state = TensorState(index)
            try:
                changed = self._lower(value, name, state)
                dtype = self._target(changed, save, state)
                original = self._original(base, name, state)
            except Missing:
                lacking.append(name)
            except Unlowerable:
                pass
            else:
                yield Difference(name, changed, original, dtype, tuple(state.bindings))

    def _original(self, base: Node, name: str, state: TensorState) -> Node | None:
        """Return a tensor of the base of an adapter, None where there is none: a checkpoint's as it is."""
        if name not in self.namer.names(base).names:
            return None
        if base.op != "model":
            return self._lower(base, name, state)
        tensor = self.leaves.find(base, name)
        return self.leaves.read(state.bind(TensorRef(self.leaves.models[base], name)), tensor, tensor.shape or (1,))

    def _output(self, index: int, save: Save, name: str) -> OutputTensor | None:
        state = TensorState(index)
        try:
            root = self._root(save.value, name, state)
        except Missing as missing:
            if save.missing is None:
                self.faults.missing(missing.model, missing.name, save)
                return None
            state = TensorState(index)
            try:
                root = self._lower(save.missing, name, state)
            except Missing:
                self.faults.left_out(save.missing, name, save)
                return None
        except Unlowerable:
            return None
        target = self._target(root, save, state)
        if save.dtype and target.kind == "float" and not target.mergeable:
            self.faults.kept(name, target, save)
        return OutputTensor(index, name, self._cast(root, target), tuple(state.bindings))

    def _cast(self, root: Node, target: Dtype) -> Node:
        if root.tensor.dtype is target:
            return root
        if (root, target) not in self._written:
            self._written[root, target] = cast(root, dtype=target.name)
        return self._written[root, target]

    def _root(self, value: Node, name: str, state: TensorState) -> Node:
        """Return the expression of a tensor: that of one before, if only the shapes of its inputs tell them apart."""
        models = self._plain_models(value)
        if models is None or any(name in self.alignments[state.save].tensors.get(m, ()) for m in models):
            return self._lower(value, name, state)
        found = [self.checkpoints[model].tensors.get(name) for model in models]
        key = (value, *((tensor.dtype, tensor.shape) if tensor else None for tensor in found))
        if None in key:
            return self._lower(value, name, state)
        if key in self._templates:
            root, read = self._templates[key]
            state.bindings.update((TensorRef(model, name), i) for i, model in enumerate(read))
            return root
        root = self._lower(value, name, state)
        if all(isinstance(ref, TensorRef) and ref.name == name for ref in state.bindings):
            self._templates[key] = root, tuple(ref.model for ref in state.bindings if isinstance(ref, TensorRef))
        return root

    def _plain_models(self, value: Node) -> tuple[Node, ...] | None:
        """Return the models below a value, None if the name of a tensor decides more than what is read of them."""
        if value not in self._plain:
            nodes = list(postorder([value]))
            named = any(n.op in _NAMED or n.op in _KEYED or ("scope", "model") in n.attributes for n in nodes)
            self._plain[value] = None if named else tuple(node for node in nodes if node.op == "model")
        return self._plain[value]

    def _target(self, root: Node, save: Save, state: TensorState) -> Dtype:
        """Return the dtype to write: the one asked for, or the widest of the inputs; what has no arithmetic is kept.

        Adapters adopt that of their model, unless it lacks the tensor.
        """
        own = frozenset(i for ref, i in state.bindings.items() if self._is_of_model(ref))
        if (root, own) not in self._leaf_dtypes:
            found = [node for node in postorder([root]) if node.op == "input"]
            of_models = [node for node in found if leaf_index(node) in own]
            self._leaf_dtypes[root, own] = frozenset(node.tensor.dtype for node in of_models or found)
        leaves = self._leaf_dtypes[root, own]
        if not all(dtype.mergeable for dtype in leaves):
            return root.tensor.dtype
        return DTYPES[save.dtype] if save.dtype else widest(leaves)

    def _is_of_model(self, binding: Binding) -> bool:
        return isinstance(binding, TensorRef | RowsRef) and self.recipe.models[binding.model].op == "model"

    def _lower(self, node: Node, name: str, state: TensorState) -> Node:
        found = state.done.get((node, name))
        if found is None:
            found = state.done[node, name] = self._lowered(node, name, state)
        return found

    def _lowered(self, node: Node, name: str, state: TensorState) -> Node:
        if node.op == "model":
            return self.leaves.leaf(node, name, state)
        if node.op == "select":
            self._check_globs(node, node)
            return self._lower(self.namer.case(node, name), name, state)
        if node.op == "lora":
            return self._adapter(node, name, state)
        if node.op == "stack":
            origin = self.namer.origin(node, name)
            if origin is None:
                raise Missing(node, name)
            return self._lower(origin.value, origin.name, state)
        return self._apply(node, name, state)

    def _apply(self, node: Node, name: str, state: TensorState) -> Node:
        constant = [self._input(node, child, name, state) for child in node.inputs]
        inputs = self._bound(node, constant, state)
        if node.op in _KEYED and all(n.tensor.dtype.mergeable for n in inputs):
            inputs.append(key_leaf(state.bind(self._key(node, name))))
        key = node, self._vocabularies[state.save] if node.attributes else 0, tuple(inputs)
        if key not in self._applied:
            self._applied[key] = self._applicable(node, name, inputs, state)
        if self._ramps(node):
            self._check_numbers(node, name, [*constant, *inputs[len(constant) :]], state)
        return self._applied[key]

    def _bound(self, node: Node, inputs: list[Node], state: TensorState) -> list[Node]:
        """Return the inputs of an operation with leaves in place of the numbers that a ramp gives each layer.

        Numbers that select a simpler operation stay constants, and so do those that equal a constant beside them:
        their tensors have another template.
        """
        ramped = self._ramps(node)
        if not ramped:
            return list(inputs)
        fixed = {const_value(n) for i, n in enumerate(inputs) if i not in ramped} | {0.0, 1.0}
        values = [const_value(n) if i in ramped else None for i, n in enumerate(inputs)]
        return [
            n if value is None or value in fixed else self.leaves.number(state, value)
            for n, value in zip(inputs, values, strict=True)
        ]

    def _ramps(self, node: Node) -> frozenset[int]:
        """Return which inputs of an operation are numbers that may differ from layer to layer.

        None of an operation on a whole model, where all tensors must have the same.
        """
        if node not in self._ramped:
            fields = (i for i, child in enumerate(node.inputs) if child.type is Type.FIELD and _has_ramp(child))
            self._ramped[node] = frozenset(() if ("scope", "model") in node.attributes else fields)
        return self._ramped[node]

    def _check_numbers(self, node: Node, name: str, inputs: list[Node], state: TensorState) -> None:
        """Record a fault if an operation makes no sense with the numbers of this tensor."""
        key = node, tuple(inputs)
        if key in self._sound or not all(n.tensor.dtype.mergeable for n in inputs):
            return
        self._sound.add(key)
        self._checked_application(node, name, inputs, state)

    def _applicable(self, node: Node, name: str, inputs: list[Node], state: TensorState) -> Node:
        """Return an operation on inputs that were not met together before, after looking whether it makes sense."""
        raw = [n for n, child in zip(inputs, node.inputs, strict=False) if child.type not in (*NUMBERS, Type.STAT)]
        if any(not n.tensor.dtype.mergeable for n in raw):
            return self._unmergeable(node, name, raw)
        if len({n.tensor.shape for n in raw}) > 1:
            self.faults.shapes(node, name, raw, state.bindings)
            raise Unlowerable
        return self._checked_application(node, name, inputs, state)

    def _checked_application(self, node: Node, name: str, inputs: list[Node], state: TensorState) -> Node:
        op = OPS[node.op]
        applied = op.apply([_computable(n) for n in inputs], self._attributes(node, state.save))
        problem = _out_of_range(op, applied, self.recipe.called(node)) or op.problem(applied)
        if problem:
            self.faults.problem(node, name, problem)
        return applied

    def _input(self, node: Node, child: Node, name: str, state: TensorState) -> Node:
        if child.type not in NUMBERS:
            return self._operand(node, child, name, state)
        if (node, child) not in self._checked:
            self._checked.add((node, child))
            for inner in postorder([child]):
                if inner.op == "select":
                    self._check_globs(inner, node)
                if inner.op == "ramp":
                    self._check_length(inner, node)
        value = field_value(
            child, name, self.namer.names(node), self.namer, lambda ramp: self.faults.outside(ramp, name)
        )
        if value not in self._constants:
            self._constants[value] = const(value)
        return self._constants[value] if value else const(value)

    def _operand(self, node: Node, child: Node, name: str, state: TensorState) -> Node:
        """Return an operand; zeros for a tensor of a model that only the adapter has which is added to it."""
        try:
            return self._lower(child, name, state)
        except Missing:
            deltas = [other for other in node.inputs if other.type is Type.DELTA and child.type is Type.MODEL]
            shape = next((s for delta in deltas if (s := self.namer.supplied(delta, name)) is not None), None)
            if shape is None:
                raise
            return zeros(shape=shape)

    def _adapter(self, node: Node, name: str, state: TensorState) -> Node:
        """Return what an adapter adds to a tensor."""
        fitted, base = self.namer.fitted(node), self.recipe.anchors[node]
        try:
            model = self._lower(base, name, state)
        except Missing:
            if name not in fitted.added:
                raise
            model = zeros(shape=fitted.added[name])
        if not model.tensor.dtype.mergeable:
            # Nothing can be added to such a tensor, and nothing is: it goes its way as itself.
            return model
        changes, alignment = fitted.changes.get(name, ()), self.alignments[state.save]
        aligned = None
        if changes and self.leaves.is_of_tokens(alignment, *self.namer.home(base, name)):
            if node in alignment.strangers:
                self.faults.stranger(node, alignment, self.recipe.saves[state.save])
                raise Unlowerable
            if node in alignment.gathers:
                aligned = self.leaves.aligned(alignment.gathers[node], node, state)
                if not aligned.fits(changes):
                    message = (
                        "DoRA of an embedding, whose columns have norms over all its tokens, can't be given others"
                    )
                    way = 'save the model with the adapter first, `save base + lora(…) to "adapted"`, and merge that'
                    self.faults.problem(node, name, message, way)
                    raise Unlowerable
        held = partial(self.leaves.held, node, state)
        number = partial(self.leaves.number, state)
        return changed_by(changes, _computable(model), held, number, aligned)

    def _unmergeable(self, node: Node, name: str, inputs: list[Node]) -> Node:
        """Return what integer tensors come to: all must be equal, and one is copied. Other types are refused."""
        if all(n.tensor.dtype.kind in ("integer", "bool") and n.tensor == inputs[0].tensor for n in inputs):
            leaves = dict.fromkeys(leaf for n in inputs for leaf in (n.inputs if n.op == "identical" else (n,)))
            return next(iter(leaves)) if len(leaves) == 1 else identical(list(leaves))
        self.faults.arithmetic(node, name, inputs)
        raise Unlowerable

    def _key(self, node: Node, name: str) -> Key:
        salt = node.attribute("seed")
        assert isinstance(salt, int)
        return Key(random_bits_key(self.recipe.seed, str(salt), self._fingerprint(node.inputs[0]), name))

    def _fingerprint(self, node: Node) -> str:
        """Return a text of the expression that is the same wherever the recipe lies and whatever else is in it."""
        if node not in self._fingerprints:
            inputs = ",".join(self._fingerprint(child) for child in node.inputs)
            text = f"{node.op}({inputs}){node.attributes!r}"
            # What is used twice is written twice: beyond some length a hash stands for the text.
            long = len(text) > LONGEST_FINGERPRINT
            self._fingerprints[node] = sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if long else text
        return self._fingerprints[node]

    def _check_globs(self, select: Node, consumer: Node) -> None:
        if (select, select) in self._checked:
            return
        self._checked.add((select, select))
        names = self.namer.names(consumer).names
        for glob in self.namer.unmatched(select, names):
            if (select, glob) not in self.recipe.optional:
                self.faults.glob(select, glob, names)
        for case in self.namer.unreached(select, names):
            self.faults.unreached(select, case)

    def _check_length(self, ramp: Node, consumer: Node) -> None:
        layers = max((stack.count for stack in self.namer.names(consumer).stacks), default=0)
        if layers < len(numbers_attribute(ramp, "values")):
            self.faults.too_long(ramp, layers)


def _out_of_range(op: Op[Any], node: Node, called: str) -> str | None:
    """Return what is wrong with the numbers of a node that must be fractions, given to the function `called`."""
    given = op.group(node.inputs)
    for parameter in op.parameters:
        if parameter.kind == "Fraction":
            found = given[parameter.name]
            for value in map(const_value, found if parameter.many else [found]):
                if value is not None and not 0.0 <= value <= 1.0:
                    return f"`{parameter.name}` of `{called}` must lie between 0 and 1; here it is {value:.6g}"
    return None


def _has_ramp(field: Node) -> bool:
    return any(node.op == "ramp" for node in postorder([field]))


def _computable(node: Node) -> Node:
    """Return a tensor as float32, in which everything is computed; scalars and keys as they are."""
    if node.tensor.shape == () or node.tensor.dtype is FLOAT32:
        return node
    return cast(node, dtype=FLOAT32.name)
