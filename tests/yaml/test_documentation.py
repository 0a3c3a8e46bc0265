"""The examples of the guide for users of mergekit do what they say."""

import re
from pathlib import Path

from families import make_family, read_model

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, merge

GUIDE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "from-mergekit.md"


def test_the_recipes_of_the_guide_run(tmp_path):
    make_family(tmp_path, models=("base", "code", "math"))
    text = GUIDE.read_text(encoding="utf-8")
    recipe = next(block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if block.startswith("base ="))
    (document,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    merge(Compilation(Source("guide.merge", recipe), tmp_path), tmp_path / "merged", Options())
    merge(Compilation(Source("guide.yml", document), tmp_path), tmp_path / "all", Options())
    assert read_model(tmp_path / "merged")
    outputs = {str(path.parent.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("config.json")}
    assert outputs == {"out/ties", "out/slerp-0.3", "out/slerp-0.5", "out/slerp-0.7", "out/halfway"}
