"""Lower an adapter that is written: factors of what a model changed of its base, under the names that peft has."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.checkpoint.adapter import PREFIX, WRAPPED
from mergegraph.checkpoint.tied import EMBEDDINGS
from mergegraph.checkpoint.transposed import transposed
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape, listed
from mergegraph.dtypes import FLOAT32, Dtype
from mergegraph.ir.graph import Binding, OutputTensor, compact
from mergegraph.ir.node import Node
from mergegraph.ops.cast import cast
from mergegraph.ops.differing import differing
from mergegraph.ops.factor import factor
from mergegraph.ops.factors import factors
from mergegraph.ops.gathered import gathered
from mergegraph.ops.least_rank import least_rank
from mergegraph.ops.subtract import subtract
from mergegraph.recipe.recipe import Save

EMBEDDED = (*EMBEDDINGS, "wpe", "position_embeddings", "token_type_embeddings", "embed_positions")
"""How modules are called that turn numbers into vectors: peft keeps their adapters transposed."""

Decisions: TypeAlias = Mapping[str, Sequence[float]]
"""What was found of each tensor that may differ: how many elements do, and where that is asked the rank it needs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A tensor of a model that may differ from the base's, which is None where the base has none of that name.

    They are equal if all elements are when they are rounded to `dtype`.
    """

    name: str
    changed: Node
    original: Node | None
    dtype: Dtype
    bindings: tuple[Binding, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.changed.tensor.shape

    @property
    def comparable(self) -> bool:
        """Tell whether there is a difference to speak of: of tensors of float types and one shape."""
        found = (self.changed, self.original or self.changed)
        return self.original is not None and all(
            n.tensor.dtype.mergeable and n.tensor.shape == self.shape for n in found
        )

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) == 2 and min(self.shape) > 0 and self.name.endswith(".weight")

    def delta(self) -> Node:
        """Return what was changed."""
        assert self.original is not None
        return subtract(_computable(self.changed), _computable(self.original))


@dataclass(frozen=True, slots=True)
class Part:
    """What an adapter has of the tensor `name`: two factors of a `rank` under two keys; with rank 0 all of it."""

    name: str
    keys: tuple[str, ...]
    rank: int

    @property
    def module(self) -> str:
        """The module that the tensor belongs to."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Extracted:
    """An adapter that is written: its parts and tensors, and whether some matrices of the model lie transposed.

    `questions` are the statistics that have to be known first, none once they are; `left_out` are tensors that differ,
    or may, and are not in it.
    """

    parts: tuple[Part, ...]
    tensors: tuple[OutputTensor, ...]
    transposed: bool
    left_out: tuple[str, ...]
    questions: tuple[OutputTensor, ...]


def extracted(
    index: int, save: Save, tensors: Sequence[Difference], lacking: Sequence[str], decisions: Decisions | None
) -> Extracted:
    """Return the adapter that save number `index` asks for, of all tensors of its model; it is `lacking` some.

    `decisions` tell which tensors differ, and the ranks; None assumes that all do, at the highest ranks that they may
    have. Raises MG389 if there are no matrices, MG391 for matrices that can't be factored.
    """
    turned = transposed({tensor.name: tensor.shape for tensor in tensors})
    differences = [tensor for tensor in tensors if tensor.changed is not tensor.original]
    found = [d for d in differences if d.comparable]
    if decisions is not None:
        found = [d for d in found if decisions[_question(index, d)][0]]
        _refuse_nonfinite(d for d in found if d.is_matrix and math.isnan(decisions[_question(index, d)][0]))
    matrices, wholes = [d for d in found if d.is_matrix], [d for d in found if len(d.shape) < 2]
    if not matrices:
        message = "no matrix differs between the model and its base"
        help = ("see which tensors do: `mergegraph diff MODEL BASE`",)
        if all(tensor.original is None for tensor in tensors):
            message = f"the base has none of the tensors of the model: {listed([tensor.name for tensor in tensors])}"
            help = ("give the model that it was trained from, with its tensors named alike",)
        raise MergeGraphError(Diagnostic("MG389", message, (Label(save.span),), help))
    ranks = {d.name: _rank(save, d, decisions[_question(index, d)] if decisions else ()) for d in matrices}
    pairs = [_factored(index, d, ranks[d.name], turned) for d in matrices]
    adapted = {part.module for part, _ in pairs}
    kept = [_kept(index, d, adapted) for d in wholes]
    taken = {d.name for d in (*matrices, *wholes)}
    asked = differences if decisions is None else [d for d in differences if d in found or not d.comparable]
    return Extracted(
        tuple(part for part, _ in (*pairs, *kept)),
        tuple(tensor for _, tensors in (*pairs, *kept) for tensor in tensors),
        any(name in turned for name in ranks),
        (*(d.name for d in asked if d.name not in taken), *lacking),
        tuple(_questions(index, save, differences)) if decisions is None else (),
    )


def _refuse_nonfinite(matrices: Iterator[Difference]) -> None:
    names = [matrix.name for matrix in matrices]
    if names:
        message = f"matrices with elements that are NaN or infinite can't be factored: {listed(names)}"
        help = (f'leave them out: `extract_lora(select {{ "{escape(names[0])}": base, _: tuned }}, base=base, …)`',)
        raise MergeGraphError(Diagnostic("MG391", message, help=help, status=1))


def _question(index: int, difference: Difference) -> str:
    return f"{index}: {difference.name}"


def _questions(index: int, save: Save, differences: Sequence[Difference]) -> Iterator[OutputTensor]:
    """Yield the statistics that decide what the adapter has; equal questions of tensors alike are one template."""
    energy = save.value.attribute("energy")
    for d in differences:
        if d.comparable and d.original is not None:
            found = [differing(_computable(d.changed), _computable(d.original), dtype=d.dtype.name)]
            if isinstance(energy, float) and d.is_matrix:
                rows, columns = d.shape
                found.append(least_rank(d.delta(), rows=rows, columns=columns, energy=energy))
            yield OutputTensor(-1, _question(index, d), gathered(found), d.bindings)


def _rank(save: Save, matrix: Difference, decision: Sequence[float]) -> int:
    rank = save.value.attribute("rank")
    most = min(int(rank), *matrix.shape) if isinstance(rank, int | float) else min(matrix.shape)
    return min(most, int(decision[1])) if len(decision) > 1 else most


def _factored(index: int, matrix: Difference, rank: int, turned: Collection[str]) -> tuple[Part, list[OutputTensor]]:
    rows, columns = matrix.shape
    module = matrix.name.removesuffix(".weight")
    embedded = module.rpartition(".")[2] in EMBEDDED
    names = [f"lora_embedding_{half}" if embedded else f"lora_{half}.weight" for half in "AB"]
    keys = tuple(f"{PREFIX}{module}.{name}" for name in names)
    swapped = embedded or matrix.name in turned
    found = factors(matrix.delta(), rows=rows, columns=columns, rank=rank)
    halves = [
        factor(found, rows=rows, columns=columns, left=left, transposed=swapped) for left in (swapped, not swapped)
    ]
    tensors = [OutputTensor(index, key, half, matrix.bindings) for key, half in zip(keys, halves, strict=True)]
    return Part(matrix.name, keys, rank), tensors


def _kept(index: int, whole: Difference, adapted: Collection[str]) -> tuple[Part, list[OutputTensor]]:
    module, _, last = whole.name.rpartition(".")
    key = f"{PREFIX}{module}{WRAPPED if module in adapted else ''}.{last}"
    root, used = compact(_computable(whole.changed))
    return Part(whole.name, (key,), 0), [OutputTensor(index, key, root, tuple(whole.bindings[i] for i in used))]


def _computable(node: Node) -> Node:
    return node if node.tensor.dtype is FLOAT32 else cast(node, dtype=FLOAT32.name)
