"""Fit an adapter to the model that it belongs to: which of its tensors change which of the model's, and how."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from mergegraph.checkpoint.adapter import WRAPPED, Adapter, Pair, known_name
from mergegraph.checkpoint.tied import EMBEDDINGS, tied_partner
from mergegraph.diagnostics import escape, listed

Shape: TypeAlias = tuple[int, ...]
Problem: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Code, message and help of what does not fit."""


@dataclass(frozen=True, slots=True)
class Product:
    """Adds the product of a pair. It is `transposed` where the model keeps its matrices so; experts are `blocks`."""

    pair: Pair
    transposed: bool
    blocks: int
    scaling: float


@dataclass(frozen=True, slots=True)
class Whole:
    """Gives a tensor anew."""

    key: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Gives some rows anew."""

    key: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bias:
    """Adds to a bias."""

    key: str
    scaling: float


@dataclass(frozen=True, slots=True)
class Expert:
    """Adds the product of expert `number` of several in a pair: as many rows as the tensor has, from `first` on."""

    pair: Pair
    scaling: float
    experts: int
    number: int
    first: int


Change: TypeAlias = Product | Whole | Rows | Bias | Expert

_APART = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "down_proj": (("down_proj",), ("w2",)),
}
"""How matrices of experts are called where they are stored apart, by the name of the parameter that transformers makes
of them: those of one expert below each other."""


_EXPERTS = "experts"
_TRAINED_ON = "is this the model that the adapter was trained on?"
_BY_PEFT = "let the peft that trained the experts merge them, `merge_and_unload()`, and name that model"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What an adapter does to each tensor of its model, in order, and the shapes of those that only it has."""

    changes: Mapping[str, tuple[Change, ...]]
    added: Mapping[str, Shape]
    problems: tuple[Problem, ...]


def fit(
    adapter: Adapter,
    shapes: Mapping[str, Shape],
    config: Mapping[str, object],
    vocabulary: Collection[str] = frozenset(),
) -> Fitted:
    """Return how an adapter changes a model with tensors of these shapes and this configuration.

    Those of its `vocabulary` may have another number of rows in the adapter, where it has them whole.
    """
    fitting = _Fitting(adapter, shapes, config, vocabulary)
    fitting.run()
    return Fitted(
        {name: tuple(changes) for name, changes in fitting.changes.items()}, fitting.added, tuple(fitting.problems())
    )


@dataclass(slots=True)
class _Fitting:
    adapter: Adapter
    shapes: Mapping[str, Shape]
    config: Mapping[str, object]
    vocabulary: Collection[str]
    changes: defaultdict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    added: dict[str, Shape] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    square: list[str] = field(default_factory=list)
    resized: dict[str, Shape] = field(default_factory=dict)

    def run(self) -> None:
        for name, key in self.adapter.wholes.items():
            self._whole(name, key)
        for module, key in self.adapter.rows.items():
            self._rows(module, key)
        for module, key in self.adapter.biases.items():
            self._bias(module, key)
        open_ = [pair for pair in self.adapter.pairs if not self._pair(pair, None)]
        ways = {
            c.transposed for found in self.changes.values() for c in found if isinstance(c, Product) and c.blocks > 1
        }
        turned = ways.pop() if len(ways) == 1 else None
        self.square = [pair.module for pair in open_ if not self._pair(pair, turned)]

    def problems(self) -> Iterator[Problem]:
        """Yield what does not fit, each kind once."""
        if self.unused:
            experts = any(f".{_EXPERTS}." in f".{key}" for key in self.unused)
            help = (_TRAINED_ON, "every tensor of an adapter must be used", *((_BY_PEFT,) if experts else ()))
            yield "MG384", f"the model has no tensors for these of the adapter: {listed(self.unused)}", help
        if self.misfits:
            message = f"the adapter does not fit the shapes of the model: {'; '.join(self.misfits[:5])}"
            yield "MG385", message, (_TRAINED_ON,)
        if self.square:
            message = f"these experts are square, and the adapter fits them two ways: {listed(self.square)}"
            yield "MG387", message, (_BY_PEFT,)

    def _find(self, name: str) -> str | None:
        return known_name(name, self.shapes)

    def _shape(self, key: str) -> Shape:
        return self.adapter.checkpoint.tensors[key].shape

    def _misfit(self, name: str, key: str, more: str = "") -> None:
        shape = list(self._wanted(name))
        self.misfits.append(f"`{escape(name)}` is {shape}{more}, `{escape(key)}` {list(self._shape(key))}")

    def _tied(self, name: str) -> str | None:
        """Return a head that the model reads through its embedding, as a tensor of its own."""
        partner = tied_partner(name, self.shapes, self.config)
        if partner is not None:
            self.added[name] = self.shapes[partner]
        return name if partner is not None else None

    def _whole(self, name: str, key: str) -> None:
        found = self._find(name) or self._tied(name)
        if found is None and self._is_saved(name):
            found = name
            self.added[name] = self._shape(key)
        if found is None:
            self.unused.append(key)
        elif (wanted := self._wanted(found)) != (given := self._shape(key)) and not self._is_resized(found, given):
            self._misfit(found, key)
        else:
            self.changes[found].append(Whole(key))
            if wanted != given:
                self.resized[found] = given

    def _is_resized(self, name: str, given: Shape) -> bool:
        """Tell whether a tensor is one of the vocabulary with another number of rows."""
        vocabulary = name in self.vocabulary or (name in self.added and name not in self.shapes)
        return vocabulary and len(given) > 0 and given[0] > 0 and self._wanted(name)[1:] == given[1:]

    def _is_saved(self, name: str) -> bool:
        """Tell whether a tensor is of a module that the adapter says it has whole, such as a head of its own."""
        parts = name.split(".")
        return any(
            saved.split(".") == parts[i : i + saved.count(".") + 1]
            for saved in self.adapter.config.saved
            for i in range(len(parts))
        )

    def _rows(self, module: str, key: str) -> None:
        name = f"{module}.weight"
        found, rows = self._find(name) or (name if name in self.added else None), self._trained(module)
        if found is None or rows is None:
            # A head that is tied has its rows through the embedding.
            self.unused += [] if rows is not None and self._partner(module) else [key]
            return
        height, *row = self._wanted(found)
        if self._shape(key) != (len(rows), *row) or max(rows, default=0) >= height:
            self._misfit(found, key)
        else:
            self.changes[found].append(Rows(key, rows))

    def _trained(self, module: str) -> tuple[int, ...] | None:
        """Return the rows that are trained of an embedding; a list without a name is for that of the input."""
        tokens = self.adapter.config.tokens
        named = [rows for name, rows in tokens.items() if name and f".{module}".endswith(f".{name}")]
        partner = self._partner(module)
        if named or partner:
            return named[0] if named else self._trained(partner or "")
        return tokens.get("") if module.rpartition(".")[2] in EMBEDDINGS else None

    def _partner(self, module: str) -> str | None:
        """Return the embedding whose weight a head has that the model lacks."""
        name = f"{module}.weight"
        found = None if self._find(name) else tied_partner(name, self.shapes, self.config)
        return found.removesuffix(".weight") if found else None

    def _bias(self, module: str, key: str) -> None:
        found = self._find(f"{module}.bias")
        if found is None:
            self.unused.append(key)
        elif self._wanted(found) != self._shape(key):
            self._misfit(found, key)
        else:
            self.changes[found].append(Bias(key, self.adapter.scaling(module)[1]))

    def _pair(self, pair: Pair, turned: bool | None) -> bool:
        """Find what a pair changes; False if that is not plain yet. `turned` tells how square experts are kept."""
        targets = self._targets(pair)
        if not targets and (apart := list(self._apart(pair))):
            return len(apart) == 1 and self._experts(pair, *apart[0])
        if not targets:
            self.unused.extend((pair.a, pair.b))
            return True
        found = [product for target in targets for product in self._products(pair, *target)]
        if not found:
            name, key = targets[0]
            self._misfit(name, pair.b, f" and rank {self.adapter.scaling(key)[0]}")
            return True
        if len(found) > 1:
            found = [(name, product) for name, product in found if product.transposed is turned]
        if len(found) != 1:
            return False
        ((name, product),) = found
        if pair.magnitude and self._norms(product, name) != math.prod(self._shape(pair.magnitude)):
            self._misfit(name, pair.magnitude)
        else:
            self.changes[name].append(product)
        return True

    def _norms(self, product: Product, name: str) -> int:
        return self._wanted(name)[-1 if product.transposed else 0]

    def _wanted(self, name: str) -> Shape:
        """Return the shape that a tensor has for the adapter."""
        return next(shapes[name] for shapes in (self.resized, self.shapes, self.added) if name in shapes)

    def _targets(self, pair: Pair) -> list[tuple[str, str]]:
        """Return the tensors that a pair may change, and what patterns call them: one, or parameters of its module."""
        module = pair.module.replace(WRAPPED, "")
        weight = self._find(f"{module}.weight") or self._tied(f"{module}.weight")
        names = [f"{module}.{target.rpartition('.')[2]}" for target in self.adapter.config.parameters]
        adapted = [name for name in dict.fromkeys(names) if self._is_adapted(name)]
        if weight is not None:
            return [(weight, f"{module}.weight" if f"{module}.weight" in adapted else module)]
        inner = self._find(f"{module}.in_proj_weight")
        found = [(inner, module)] if inner else [(known, name) for name in adapted if (known := self._find(name))]
        return [(name, key) for name, key in found if not any(isinstance(c, Product) for c in self.changes[name])]

    def _apart(self, pair: Pair) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
        """Yield the parameters that a pair fits of experts that are stored apart: names in patterns, and tensors.

        The tensors are those of each expert in turn.
        """
        module = pair.module.replace(WRAPPED, "")
        layer = module.removesuffix(".experts").rpartition(".")[0]
        inside = (name for name in self.shapes if name.startswith(f"{layer}.") and ".experts.0." in name)
        homes = list(dict.fromkeys(name.partition(".experts.0.")[0] for name in inside))
        for key in dict.fromkeys(f"{module}.{target.rpartition('.')[2]}" for target in self.adapter.config.parameters):
            for parts in _APART.get(key.rpartition(".")[2], ()) if len(homes) == 1 and self._is_adapted(key) else ():
                tensors = list(self._numbered(f"{homes[0]}.experts", parts))
                if tensors and self._fits_apart(pair, key, tensors):
                    yield key, tensors

    def _numbered(self, home: str, parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for number in count():
            names = tuple(f"{home}.{number}.{part}.weight" for part in parts)
            if not all(name in self.shapes for name in names):
                return
            yield names

    def _fits_apart(self, pair: Pair, key: str, tensors: list[tuple[str, ...]]) -> bool:
        shape, inner = self.shapes[tensors[0][0]], len(tensors) * self.adapter.scaling(key)[0]
        if len(shape) != 2 or pair.magnitude or any(self.shapes[name] != shape for names in tensors for name in names):
            return False
        return self._shape(pair.a) == (inner, shape[1]) and self._shape(pair.b) == (len(tensors[0]) * shape[0], inner)

    def _experts(self, pair: Pair, key: str, tensors: list[tuple[str, ...]]) -> bool:
        """Note what a pair changes of each expert; False if it might be kept transposed too."""
        (rows, columns), scaling = self.shapes[tensors[0][0]], self.adapter.scaling(key)[1]
        if len(tensors[0]) * rows == columns:
            return False
        for number, names in enumerate(tensors):
            for place, name in enumerate(names):
                self.changes[name].append(Expert(pair, scaling, len(tensors), number, place * rows))
        return True

    def _is_adapted(self, name: str) -> bool:
        return any(f".{name}".endswith(f".{target}") for target in self.adapter.config.parameters)

    def _products(self, pair: Pair, name: str, key: str) -> Iterator[tuple[str, Product]]:
        """Yield the ways in which the product fits a tensor: as it is, transposed, both or none."""
        rank, scaling = self.adapter.scaling(key)
        shape, a, b = self._wanted(name), self._shape(pair.a), self._shape(pair.b)
        experts = len(shape) == 3 and len(a) == 2
        blocks, inner = (shape[0], shape[1:]) if experts else (1, shape)
        if a[0] != blocks * rank or len(inner) < 2:
            return
        high, wide = b[0], math.prod(a[1:])
        straight = not pair.embedding and (inner[0], math.prod(inner[1:])) == (high, wide)
        turned = inner == (wide, high)
        if straight and turned and not experts:
            straight = not self.adapter.config.fan_in_fan_out
            turned = not straight
        yield from ((name, Product(pair, way, blocks, scaling)) for way in (False, True) if (straight, turned)[way])
