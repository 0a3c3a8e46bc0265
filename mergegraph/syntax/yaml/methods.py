"""mergekit's merge methods: what models and parameters each takes, under mergekit's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Shape = Literal["all", "changes", "pair", "one"]
"""How models are handed over.

`all`: every one alike, the base among them; `changes`: those that are not the base, and the base by name; `pair`: the
base and one other; `one`: a single model.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """A merge method. `models` are its parameters of each model, `whole` those of the merge, with their defaults.

    What has none is either on or off, or must be given.
    """

    shape: Shape
    models: Mapping[str, float] = field(default_factory=dict)
    whole: Mapping[str, float | None] = field(default_factory=dict)
    needs_base: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        """All parameters."""
        return (*self.models, *self.whole)


SWITCHES = frozenset(
    {
        *("normalize", "rescale", "filter_wise", "normalize_weights"),
        *("nuslerp_flatten", "nuslerp_row_wise"),
    }
)
"""Parameters that are true or false."""

RENAMED = MappingProxyType({"nuslerp_flatten": "flatten", "nuslerp_row_wise": "row_wise"})
"""Parameters that have another name in the language."""

WITHOUT_EFFECT = frozenset({"int8_mask"})
"""Parameters that change how mergekit computes, not what."""

_WEIGHT = {"weight": 1.0}
_DENSITY = _WEIGHT | {"density": 1.0}
_BAND = _DENSITY | {"gamma": 0.01}
_RANKED = _DENSITY | {"epsilon": 0.15}
_SUM: Mapping[str, float | None] = {"normalize": None, "lambda": 1.0}
_RESCALED: Mapping[str, float | None] = {"rescale": None, **_SUM}

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "linear": Method("all", _WEIGHT, {"normalize": None}, needs_base=False),
        "karcher": Method("all", {}, {"max_iter": 10.0, "tol": 1e-5}, needs_base=False),
        "passthrough": Method("one", {"scale": 1.0}, needs_base=False),
        "slerp": Method("pair", {}, {"t": None}),
        "nearswap": Method("pair", {}, {"t": None}),
        "arcee_fusion": Method("pair"),
        "nuslerp": Method("changes", _WEIGHT, dict.fromkeys(RENAMED), needs_base=False),
        "multislerp": Method("changes", _WEIGHT, {"normalize_weights": None}, needs_base=False),
        "task_arithmetic": Method("changes", _WEIGHT, _SUM),
        "ties": Method("changes", _DENSITY, _SUM),
        "dare_linear": Method("changes", _DENSITY, _RESCALED),
        "dare_ties": Method("changes", _DENSITY, _RESCALED),
        "della_linear": Method("changes", _RANKED, _RESCALED),
        "della": Method("changes", _RANKED, _RESCALED),
        "breadcrumbs": Method("changes", _BAND, _SUM),
        "breadcrumbs_ties": Method("changes", _BAND, _SUM),
        "sce": Method("changes", {}, {"select_topk": 1.0}),
        "model_stock": Method("changes", {}, {"filter_wise": None}),
        "ram": Method("changes", {}, {"epsilon": 1e-5}),
        "ramplus_tl": Method("changes", {}, {"epsilon": 1e-5, "r": 0.1, "alpha": 0.2}),
    }
)
"""Every merge method of mergekit 0.1.5 by name."""

PARAMETERS = frozenset(name for method in METHODS.values() for name in method.parameters) | WITHOUT_EFFECT
"""Every parameter of any method."""

ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {name: f"it belongs under `parameters`: `parameters: {{{name}: …}}`" for name in sorted(PARAMETERS)}
    | {"layer_range": "it belongs to a source of a slice: `slices: [{sources: [{model: ./a, layer_range: [0, 16]}]}]`"}
)
"""Where keys belong that are often written in a wrong place."""
