"""A value that is used twice, again and again, costs no more than its nodes."""

from pathlib import Path

from families import make_family
from merging import compilation

from mergegraph.report.explain import explain


def test_forty_doublings(tmp_path: Path) -> None:
    make_family(tmp_path, models=("base", "a"), layers=1)
    doubled = "".join(f"x{i + 1} = mean(x{i}, x{i}, weight=[1, {i + 2}])\n" for i in range(40))
    text = f'base = model("./base")\nx0 = model("./a")\n{doubled}save base + drop(x40 - base, density=0.5) to "out"\n'
    for stage in ("recipe", "graph", "optimized", "plan"):
        shown = explain(compilation(tmp_path, text), stage, tensor=None, format="text", memory=None, workers=None)
        assert len(shown) < 100_000
