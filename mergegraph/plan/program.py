"""Programs: what a unit does to each tile, as data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mergegraph.dtypes import FLOAT64
from mergegraph.ir.graph import const_value, is_leaf, leaf_index
from mergegraph.ir.node import Attribute, Node, postorder
from mergegraph.ir.types import TensorType
from mergegraph.ops import OPS, Locality
from mergegraph.plan.liveness import Task
from mergegraph.plan.order import least_peak_orders

TILE = 65_536
"""Elements of a tile. It is part of the meaning of a reduction, so it is the same everywhere."""

SAMPLED_FROM = 1 << 20
"""Elements of a tensor from which on a sample takes only a part of it."""

SAMPLE_TILE = 16_384
"""Elements of a part that a sample takes, where no whole rows are needed."""

SAMPLE_SHARE = 16
"""A sample takes one part of so many."""

Kind: TypeAlias = Literal["register", "input", "output", "scalar"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is: a register for a tile, the window of an input or output, or a slot for a scalar."""

    kind: Kind
    index: int

    def __str__(self) -> str:
        return f"{self.kind[0]}{self.index}"


Operand: TypeAlias = Place | float


@dataclass(frozen=True, slots=True)
class Instruction:
    """Run the kernel `op` on `inputs` and leave the result in `out`."""

    op: str
    out: Place
    inputs: tuple[Operand, ...]
    attributes: tuple[tuple[str, Attribute], ...]

    def __str__(self) -> str:
        settings = "".join(f", {name}={value}" for name, value in self.attributes)
        return f"{self.out} = {self.op}({', '.join(map(str, self.inputs))}{settings})"


@dataclass(frozen=True, slots=True)
class Phase:
    """One pass over the tiles: `tiles` run on each of them, `scalars` once after the last.

    `reads` are the inputs it needs, `writes` the outputs it completes. With `rows` its tiles are of whole rows. If it
    is `sampled`, it only sees some of them.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    rows: bool
    sampled: bool
    tiles: tuple[Instruction, ...]
    scalars: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """What a unit computes, for every unit of the same template.

    Its tensors have this `shape`. The first `given` scalar slots hold random keys, numbers of a layer, statistics of
    whole models, tables of rows and `matrices` when it starts; `prologue` fills those that need no tile. `shares` are
    the slots of what it adds to such statistics, after those that are `written` as tensors of their own. `registers`
    tiles of float32 suffice; `register_bound` is the proven least.
    """

    shape: tuple[int, ...]
    inputs: tuple[TensorType, ...]
    matrices: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    shares: tuple[int, ...]
    written: tuple[TensorType, ...]
    given: int
    prologue: tuple[Instruction, ...]
    phases: tuple[Phase, ...]
    registers: int
    register_bound: int
    scalars: int
    scratch: int
    """The elements of the tiles that the kernels of a phase work on, those without memory of their own left out."""
    state_bytes: int

    @property
    def elements(self) -> int:
        """The number of elements of each of its tensors."""
        return math.prod(self.shape)

    @property
    def row(self) -> int:
        """The length of a row: of the last axis."""
        return self.shape[-1]

    @property
    def row_tile(self) -> int:
        """The elements of a tile of whole rows: as many rows as fit into a tile, at least one."""
        return row_tile(self.shape)

    @property
    def register_elements(self) -> int:
        """The elements of a register: of the longest tile that any phase has."""
        longest = max(self.row_tile if phase.rows else TILE for phase in self.phases)
        return min(longest, self.elements)


def row_tile(shape: tuple[int, ...]) -> int:
    """Return the elements of a tile of whole rows: of as many rows as fit into a tile, at least one."""
    return max(1, TILE // max(1, shape[-1])) * shape[-1]


def compile_program(roots: Sequence[Node], written: int = 0) -> Program:
    """Return the program that computes `roots` in as few passes as their reductions allow.

    They are tensors of one shape, or statistics of such, the first `written` of which are written.
    """
    return _Compiler(roots, written).program()


@dataclass(frozen=True, slots=True)
class _Draft:
    """A phase whose operations have no order yet: `tasks` says of each of those `needed` what an order depends on."""

    number: int
    outputs: tuple[int, ...]
    needed: Sequence[Node]
    tasks: tuple[Task, ...]


class _Compiler:
    def __init__(self, roots: Sequence[Node], written: int) -> None:
        self.roots = [root for root in roots if is_tile(root)]
        self.written = written
        self.shares = [root for root in roots if not is_tile(root)]
        self.nodes = list(postorder(roots))
        tensors = {leaf_index(n): n for n in self.nodes if n.op == "input"}
        given = [n for n in self.nodes if is_leaf(n) and n.op != "input"]
        self.inputs = [tensors[i] for i in sorted(tensors)]
        self.slots = {node: i for i, node in enumerate(sorted(given, key=leaf_index))}
        self.given = len(given)
        self.level: dict[Node, int] = {}
        for node in self.nodes:
            self.level[node] = self._level(node)
        for node in self.nodes:
            if not is_tile(node) and node not in self.slots and const_value(node) is None:
                self.slots[node] = len(self.slots)

    def program(self) -> Program:
        last = max((self.level[n] for n in self.nodes if is_tile(n)), default=0)
        drafts = [self._draft(number) for number in range(last + 1)]
        orders = least_peak_orders([draft.tasks for draft in drafts])
        phases = tuple(self._phase(draft, order.sequence) for draft, order in zip(drafts, orders, strict=True))
        shape = next(n.tensor.shape for n in (*self.roots, *self.inputs, *self.nodes) if is_tile(n))
        return Program(
            shape=shape,
            inputs=tuple(n.tensor for n in self.inputs),
            matrices=tuple(n.tensor for n in self.slots if n.op == "matrix"),
            outputs=tuple(n.tensor for n in self.roots),
            shares=tuple(self.slots[n] for n in self.shares),
            written=tuple(n.tensor for n in self.shares[: self.written]),
            given=self.given,
            prologue=self._scalars(0),
            phases=phases,
            registers=max(order.peak for order in orders),
            register_bound=max(order.bound for order in orders),
            scalars=len(self.slots),
            scratch=max(sum(_worked_on(i, p, row_tile(shape)) for i in p.tiles) for p in phases),
            state_bytes=sum(map(self._state_bytes, self.nodes)),
        )

    def _state_bytes(self, node: Node) -> int:
        """Return what a statistic takes, and what the kernel of a node keeps beside its tiles."""
        held = _statistic_bytes(node.tensor) if node in self.slots and node.op != "matrix" else 0
        op = OPS.get(node.op)
        return held + (op.workspace(node) if op and op.workspace else 0)

    def _level(self, node: Node) -> int:
        """Return the phase in which a tile can first be computed, or before which a scalar is known."""
        below = max((self.level[child] for child in node.inputs), default=0)
        return below + 1 if is_reduction(node) else below

    def _draft(self, number: int) -> _Draft:
        """Return the phase that does the reductions and the outputs whose inputs are known by then."""
        reductions = [n for n in self.nodes if is_reduction(n) and self.level[n] == number + 1]
        outputs = [i for i, root in enumerate(self.roots) if self.level[root] == number]
        needed = _tiles_below([*reductions, *dict.fromkeys(self.roots[i] for i in outputs)])
        return _Draft(number, tuple(outputs), needed, _tasks(needed, {self.roots[i] for i in outputs}))

    def _phase(self, draft: _Draft, sequence: Sequence[int]) -> Phase:
        tiles = _Allocation(self, [draft.needed[i] for i in sequence], draft.outputs).instructions()
        reads = sorted({self.inputs.index(leaf) for leaf in _leaves_below(draft.needed)})
        rows = any(OPS[node.op].locality is Locality.ROWWISE for node in draft.needed)
        reductions = [node for node in draft.needed if is_reduction(node)]
        sampled = not draft.outputs and all(_is_sample(node) for node in reductions)
        scalars = self._scalars(draft.number + 1)
        return Phase(tuple(reads), draft.outputs, rows, sampled, tuple(tiles), scalars)

    def _scalars(self, level: int) -> tuple[Instruction, ...]:
        """Return the arithmetic on scalars that can be done before phase `level`, and no earlier."""
        found = [
            n
            for n in self.nodes
            if n in self.slots and not is_leaf(n) and not is_reduction(n) and self.level[n] == level
        ]
        return tuple(
            Instruction(n.op, Place("scalar", self.slots[n]), self.operands(n, {}), n.attributes) for n in found
        )

    def operands(self, node: Node, tiles: dict[Node, Place]) -> tuple[Operand, ...]:
        """Return where the inputs of a node are."""
        return tuple(self._operand(child, tiles) for child in node.inputs)

    def _operand(self, node: Node, tiles: dict[Node, Place]) -> Operand:
        value = const_value(node)
        if value is not None:
            return value
        if node.op == "input":
            return Place("input", self.inputs.index(node))
        return Place("scalar", self.slots[node]) if node in self.slots else tiles[node]


class _Allocation:
    """Gives each result of a phase a register, and takes it back after the last use."""

    def __init__(self, compiler: _Compiler, sequence: Sequence[Node], outputs: Sequence[int]) -> None:
        self.compiler = compiler
        self.sequence = sequence
        self.outputs: dict[Node, list[int]] = {}
        for index in outputs:
            self.outputs.setdefault(compiler.roots[index], []).append(index)
        self.last = {child: i for i, node in enumerate(sequence) for child in node.inputs}
        self.places: dict[Node, Place] = {}
        self.free: list[int] = []
        self.made = 0

    def instructions(self) -> Iterable[Instruction]:
        for step, node in enumerate(self.sequence):
            operands = self.compiler.operands(node, self.places)
            dying = [c for c in dict.fromkeys(node.inputs) if self.last[c] == step and self._in_register(c)]
            if in_place(node):
                self._release(dying)
            out = self._place(node)
            if not in_place(node):
                self._release(dying)
            yield Instruction(node.op, out, operands, node.attributes)
            yield from self._copies(node, out)

    def _in_register(self, node: Node) -> bool:
        return node in self.places and self.places[node].kind == "register"

    def _release(self, nodes: Iterable[Node]) -> None:
        self.free.extend(self.places[node].index for node in nodes)

    def _place(self, node: Node) -> Place:
        if is_reduction(node):
            return Place("scalar", self.compiler.slots[node])
        if node in self.outputs:
            place = Place("output", self.outputs[node][0])
        elif self.free:
            place = Place("register", self.free.pop())
        else:
            place = Place("register", self.made)
            self.made += 1
        self.places[node] = place
        return place

    def _copies(self, node: Node, source: Place) -> Iterable[Instruction]:
        """Yield the copies to further outputs that are equal to this one."""
        for index in self.outputs.get(node, ())[1:]:
            dtype = node.tensor.dtype.name
            yield Instruction("cast", Place("output", index), (source,), (("dtype", dtype),))


def is_reduction(node: Node) -> bool:
    """Tell whether a node folds tiles into a scalar."""
    return not is_leaf(node) and any(is_tile(child) for child in node.inputs) and not is_tile(node)


def _is_sample(node: Node) -> bool:
    """Tell whether a reduction is content with a part of its tensor."""
    return node.op == "magnitude_sample" and node.inputs[0].tensor.count >= SAMPLED_FROM


def is_tile(node: Node) -> bool:
    """Tell whether a node has a value for every element of the tensor, computed tile by tile."""
    if is_leaf(node) or const_value(node) is not None:
        return node.op == "input"
    return node.tensor.shape != () and OPS[node.op].returns != "Stat"


def _statistic_bytes(statistic: TensorType) -> int:
    """Return what a statistic takes; lists of numbers for rows or columns grow, and are moved when they do."""
    return statistic.nbytes * (2 if statistic.dtype is FLOAT64 and statistic.shape else 1)


def _worked_on(instruction: Instruction, phase: Phase, rows: int) -> int:
    """Return the elements that a kernel with memory of its own works on at a time; 0 if it has none.

    Those that look at whole rows take most.
    """
    op = OPS[instruction.op]
    if op.locality is Locality.ROWWISE or (op.kernel is not None and phase.rows):
        return 3 * max(TILE, rows)
    return TILE if op.locality is not Locality.POINTWISE or op.kernel is not None else 0


def in_place(node: Node) -> bool:
    """Tell whether the kernel of a node may write over one of its inputs."""
    tiles = [child.tensor for child in node.inputs if is_tile(child) and child.op != "input"]
    return OPS[node.op].locality is Locality.POINTWISE and all(tensor == node.tensor for tensor in tiles)


def _tiles_below(targets: Sequence[Node]) -> list[Node]:
    """Return what must be computed per tile for the targets: tiles below them, not through scalars."""
    found: dict[Node, None] = {}
    wanted = set(targets)
    stack = list(targets)
    while stack:
        for child in stack.pop().inputs:
            if is_tile(child) and child.op != "input" and child not in wanted:
                wanted.add(child)
                stack.append(child)
    for node in postorder(targets):
        if node in wanted and node.op != "input":
            found[node] = None
    return list(found)


def _leaves_below(nodes: Sequence[Node]) -> set[Node]:
    return {child for node in nodes for child in node.inputs if child.op == "input"}


def _tasks(nodes: Sequence[Node], roots: set[Node]) -> tuple[Task, ...]:
    """Return the tasks of one phase; results that are written or folded take no register."""
    numbers = {node: i for i, node in enumerate(nodes)}
    return tuple(
        Task(
            tuple(numbers[child] for child in node.inputs if child in numbers),
            is_tile(node) and node not in roots,
            in_place(node),
        )
        for node in nodes
    )
