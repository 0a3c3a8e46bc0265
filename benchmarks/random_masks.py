"""Compare what mergekit 0.1.5 and MergeGraph drop at random, by the configurations of the study that do so.

    python benchmarks/random_masks.py [--seeds 200]

The study's dare_linear has no density and so drops nothing: here it has one of 0.6. Masks are read off the merges of
models whose changes from the base are everywhere in the ratio 3 to 1, so that each element tells which of the two were
kept. Of each tool the table tells, over all tensors of 32 layers:

    kept      how far the elements kept of a tensor are from their expectation at most, in standard deviations
    rescaled  how far, relatively, a factor is from the ratio of the sums of magnitudes before and after at most
    alike     of how many pairs of masks of one shape, of two models or two tensors, both are equal; and the largest
              correlation of a pair, in standard deviations
    mean, spread   of (result - expectation) / deviation, element by element, in one merge of ordinary models: the mean
              in standard deviations of it, and the root of the mean square, which should be 1 (without the elements
              of which the elected sign hangs on the rescaling)
    seeds     of the mean over 200 seeds (MergeGraph only): the same, and the largest distance of any element

The exit code is 1 where MergeGraph is not as defined.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from _paths import RESULTS
from drop_in import CONFIGURATIONS, FOLDER, in_float32, our_result, their_result
from families import as64, make_family, read_model, to_tensors, write_model
from numpy.typing import NDArray

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge
from mergegraph.syntax.format import format_recipe

NAMES = ("dare_linear", "dare_ties", "della", "della_linear")
ORDINARY, LEVELS, SMALL = FOLDER, FOLDER / "levels", FOLDER / "small"
RATIO = {"code": 3.0, "math": 1.0}
HEADER = (
    "| configuration | | kept | rescaled | alike | mean | spread | mean of seeds |\n|---|---|--:|--:|--:|--:|--:|---|"
)
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Model = dict[str, Array]
Run = Callable[["Study", Path, Path], Path]


@dataclass(frozen=True)
class Study:
    """A configuration, and what it says of its two models, by their names."""

    name: str
    text: str
    weight: dict[str, float]
    density: dict[str, float]
    epsilon: float | None
    normalize: bool
    elects: bool

    def odds(self, model: str, change: Array) -> Array:
        """Return the probability to keep each element."""
        density = self.density[model]
        if self.epsilon is None:
            return np.full(change.shape, density)
        ranks = np.abs(change).argsort(axis=-1, kind="stable").argsort(axis=-1)
        return density - self.epsilon + 2 * self.epsilon * ranks / (change.shape[-1] - 1)


@dataclass(frozen=True)
class Figures:
    """What a row of the table says of one tool."""

    kept: float
    rescaled: float
    pairs: int
    equal: int
    correlation: float
    mean: float
    spread: float

    def text(self) -> str:
        """Return the cells of the row."""
        alike = f"{self.equal} of {self.pairs:,}, {self.correlation:.1f}σ"
        return f"{self.kept:.1f}σ | {self.rescaled:.0e} | {alike} | {self.mean:+.1f}σ | {self.spread:.4f}"

    def good(self) -> bool:
        """Tell whether nothing is beyond what chance makes of so many."""
        masks = self.kept < 4 and self.rescaled < 1e-4 and not self.equal and self.correlation < 6
        return masks and abs(self.mean) < 4 and abs(self.spread - 1) < 0.01


def main() -> int:
    """Print the table, and keep it in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="how many of MergeGraph's merges are averaged")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help="which configurations")
    options = parser.parse_args()
    _make_models()
    lines, good = [HEADER], True
    print(HEADER)
    for study in map(_read, options.names):
        theirs, ours = (_figures(study, run) for run in (_theirs, _ours))
        mean, spread, most = _mean_of_seeds(study, options.seeds)
        told = f"{mean:+.1f}σ, {spread:.4f}, {most:.1f}σ"
        lines.append(f"| {study.name} | mergekit | {theirs.text()} | |")
        lines.append(f"| | MergeGraph | {ours.text()} | {told} |")
        print(*lines[-2:], sep="\n", flush=True)
        good &= ours.good() and abs(mean) < 4 and abs(spread - 1) < 0.01 and most < 6
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "random_masks.md").write_text("\n".join(lines) + "\n")
    return int(not good)


def _read(name: str) -> Study:
    text = (CONFIGURATIONS / "study" / f"{name}.yml").read_text()
    if name == "dare_linear":
        text = text.replace("weight: 0.5", "weight: 0.5\n              density: 0.6")
    config = yaml.safe_load(text)
    sources = config["modules"]["default"]["slices"][0]["sources"]
    given = {source["model"][2:]: source["parameters"] for source in sources if "parameters" in source}
    shared = config.get("parameters", {})
    return Study(
        name,
        in_float32(text, exact=False),
        {model: values["weight"] for model, values in given.items()},
        {model: values["density"] for model, values in given.items()},
        shared.get("epsilon"),
        bool(shared.get("normalize", False)),
        not name.endswith("linear"),
    )


def _make_models() -> None:
    """Write the models, unless they are there: ordinary ones, small ones, and those whose changes are 3 to 1."""
    names, sizes = ("base", *RATIO), {"layers": 32, "dtype": "float32", "ties": False}
    if not (ORDINARY / "base").exists():
        make_family(ORDINARY, models=names, hidden=64, intermediate=128, vocab=256, **sizes)
    if not SMALL.exists():
        make_family(SMALL, models=names, hidden=32, intermediate=64, vocab=128, **sizes)
    if not LEVELS.exists():
        make_family(LEVELS, models=("base",), hidden=64, intermediate=128, vocab=256, **sizes)
        base, rng = _model(LEVELS / "base"), np.random.default_rng(5)
        steps = {
            key: rng.integers(4096, 8192, x.shape) * rng.choice([-1, 1], x.shape) / 2**16 for key, x in base.items()
        }
        for name, times in RATIO.items():
            tensors = to_tensors({key: base[key] + times * step for key, step in steps.items()}, "float32")
            write_model(LEVELS / name, tensors)
            for path in (LEVELS / "base").glob("*.json"):
                (LEVELS / name / path.name).write_bytes(path.read_bytes())


def _model(folder: Path) -> Model:
    return {name: as64(tensor) for name, tensor in read_model(folder).items()}


def _theirs(study: Study, models: Path, _: Path) -> Path:
    return their_result(f"random/{study.name}", study.text, models)


def _ours(study: Study, models: Path, out: Path) -> Path:
    return our_result(study.text, models, out)


def _figures(study: Study, run: Run) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        levels, ordinary = (
            _model(run(study, models, Path(folder) / f"{i}")) for i, models in enumerate((LEVELS, ORDINARY))
        )
    base, code, math = (_model(LEVELS / name) for name in ("base", "code", "math"))
    changes = {"code": {n: code[n] - base[n] for n in base}, "math": {n: math[n] - base[n] for n in base}}
    read = {name: _masks(study, levels[name] - x, changes["math"][name]) for name, x in base.items()}
    kept = max(
        abs(_deviations(masks[model], study.odds(model, changes[model][name])))
        for name, (masks, _) in read.items()
        for model in RATIO
    )
    odds = {(model, name): study.odds(model, changes[model][name]) for model in RATIO for name in base}
    pairs, equal, correlation = _alike({key: (read[key[1]][0][key[0]], p) for key, p in odds.items()})
    scores = _scores(study, ORDINARY, ordinary, 1)
    rescaled = max(error for _, error in read.values())
    return Figures(kept, rescaled, pairs, equal, correlation, scores.mean() * scores.size**0.5, _root(scores))


def _masks(study: Study, effect: Array, step: Array) -> tuple[dict[str, Mask], float]:
    """Return which elements of each model are in a merge, and how far its factors are from those of the definition.

    In units of `step` the effect has one value each where only the first, only the second, and both are kept.
    """
    ratio = effect / step
    none = np.abs(ratio) < 1e-3
    values = np.sort(ratio[~none])
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > 1e-2)
    if len(starts) != 3:
        raise ValueError(f"{study.name}: {len(starts)} levels where there should be three")
    centres = [float(np.median(part)) for part in np.split(values, starts[1:])]
    math, *others = centres
    both, code = others if study.normalize else reversed(others)
    near = np.abs(ratio[..., None] - [0.0, math, code, both]).argmin(-1)
    masks = {"math": (near == 1) | (near == 3), "code": near >= 2}
    scale = {model: np.abs(step).sum() / np.abs(step[mask]).sum() for model, mask in masks.items()}
    total = sum(study.weight.values())
    parts = {model: study.weight[model] * RATIO[model] * scale[model] for model in RATIO}
    alone = {model: parts[model] / (study.weight[model] if study.elects and study.normalize else 1) for model in RATIO}
    expected = [alone["math"], alone["code"], sum(parts.values()) / (total if study.normalize else 1)]
    return masks, max(abs(x / y - 1) for x, y in zip((math, code, both), expected, strict=True))


def _deviations(mask: Mask, odds: Array) -> float:
    return float((mask.sum() - odds.sum()) / np.sqrt((odds * (1 - odds)).sum()))


def _alike(masks: dict[tuple[str, str], tuple[Mask, Array]]) -> tuple[int, int, float]:
    """Return how many pairs there are of one shape, how many of them equal, and the largest correlation."""
    groups = defaultdict(list)
    for mask, odds in masks.values():
        groups[mask.shape].append((mask.ravel(), ((mask - odds) / np.sqrt(odds * (1 - odds))).ravel()))
    pairs = [pair for group in groups.values() for pair in itertools.combinations(group, 2)]
    correlations = [abs(float(x @ y)) / x.size**0.5 for (_, x), (_, y) in pairs]
    return len(pairs), sum(np.array_equal(x, y) for (x, _), (y, _) in pairs), max(correlations)


def _scores(study: Study, models: Path, merged: Model, runs: int) -> Array:
    """Return how far each element of each matrix is from its expectation, in deviations of a mean over `runs`."""
    base, code, math = (_model(models / name) for name in ("base", "code", "math"))
    parts = []
    for name in (name for name, x in base.items() if x.ndim == 2):
        scaled, odds = _scaled(study, {"code": code[name] - base[name], "math": math[name] - base[name]})
        mean, deviation = _expected(study, scaled, odds)
        scores = (merged[name] - base[name] - mean) / (deviation / runs**0.5 + 1e-7)
        parts.append(scores[_plain(study, scaled)])
    return np.concatenate(parts)


def _scaled(study: Study, changes: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the changes times their factors, as they are on average, and the chances of their elements."""
    odds = {model: study.odds(model, change) for model, change in changes.items()}
    sizes = {model: np.abs(change) for model, change in changes.items()}
    factors = {model: size.sum() / (odds[model] * size).sum() for model, size in sizes.items()}
    return {model: change * factors[model] for model, change in changes.items()}, odds


def _plain(study: Study, scaled: dict[str, Array]) -> Mask:
    """Return where the elected sign does not depend on the factors, which differ a little from seed to seed."""
    one, two = (study.weight[model] * change for model, change in scaled.items())
    near = np.abs(one + two) < 0.25 * np.maximum(np.abs(one), np.abs(two))
    return ~near if study.elects else np.ones(one.shape, bool)


def _expected(study: Study, scaled: dict[str, Array], odds: dict[str, Array]) -> tuple[Array, Array]:
    """Return expectation and deviation of each element, over the four ways to keep the two models' elements."""
    mean, square = np.zeros(scaled["code"].shape), np.zeros(scaled["code"].shape)
    for kept in itertools.product((False, True), repeat=2):
        chance = np.ones(mean.shape)
        for model, there in zip(RATIO, kept, strict=True):
            chance *= odds[model] if there else 1 - odds[model]
        value = _fused(study, {model: scaled[model] * there for model, there in zip(RATIO, kept, strict=True)})
        mean += chance * value
        square += chance * value**2
    return mean, np.sqrt(square - mean**2)


def _fused(study: Study, kept: dict[str, Array]) -> Array:
    """Return the merge of what is kept of each change: the weighted sum, or that of the elected sign."""
    parts = np.stack([study.weight[model] * change for model, change in kept.items()])
    weights = np.array([study.weight[model] for model in kept])[:, None, None]
    if not study.elects:
        return parts.sum(0) / (weights.sum() if study.normalize else 1)
    agree = np.sign(parts) == np.where(parts.sum(0) >= 0, 1.0, -1.0)
    share = (weights * agree).sum(0)
    return (parts * agree).sum(0) / (np.where(share == 0, 1, share) if study.normalize else 1)


def _root(scores: Array) -> float:
    return float(np.sqrt((scores**2).mean()))


def _mean_of_seeds(study: Study, seeds: int) -> tuple[float, float, float]:
    """Return mean (in its deviations), spread and largest distance of the mean over MergeGraph's results of seeds."""
    text = format_recipe(Compilation(Source("study.yml", study.text), SMALL).syntax)
    total: dict[str, Array] = defaultdict(lambda: np.zeros(()))
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            merge(Compilation(Source("study.merge", f"seed {seed}\n{text}"), SMALL), Path(folder) / "out", Options())
            for name, value in _model(Path(folder) / "out").items():
                total[name] = total[name] + value / seeds
    scores = _scores(study, SMALL, total, seeds)
    return scores.mean() * scores.size**0.5, _root(scores), float(np.abs(scores).max())


if __name__ == "__main__":
    sys.exit(main())
