"""The page says what the stages say, and no name in it is more than text."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from families import write_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from shapes import deepseek, write_shapes

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import MergeGraphError, Source
from mergegraph.ir.graph import Graph, TensorRef, const_value, is_leaf, with_constants
from mergegraph.ir.node import postorder
from mergegraph.plan.measured import Measured
from mergegraph.plan.plan import Plan
from mergegraph.report.explain import explain
from mergegraph.report.page import fill, inert_json, page, page_json

ROOT = Path(__file__).parent.parent.parent
NUMBER = re.compile(r"(?<![0-9])(?:0|[1-9][0-9]{0,8})(?![0-9])")
SHAPES = {"A": (2, 32), "B": (32, 2)}
HOSTILE = "</script><img src=x onerror=alert(1)>"
Compiled = Callable[[str], Compilation]
Planned = Callable[..., Plan]


class Reader(HTMLParser):
    """Collects the scripts and styles of a page as a browser finds them, and the names of all elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.inside = ""
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.inside = tag
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside][-1] += data


@pytest.fixture(scope="module")
def study(compiled: Compiled, planned: Planned) -> tuple[Compilation, dict[str, Any]]:
    """Return seventeen merges in one recipe, and what the page says of them."""
    compilation = compiled("study")
    return compilation, page_json(compilation, planned(compilation))


def compile_text(text: str, folder: Path) -> Compilation:
    return Compilation(Source("test.merge", text), folder)


def members(
    item: dict[str, Any], stacks: tuple[dict[str, Any], ...] = ()
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield every family below an item with the names of its tensors, as the page puts them together."""
    if "items" in item:
        for child in item["items"]:
            yield from members(child, (*stacks, item))
        return
    names = []
    for indices in product(*(stack["indices"] for stack in stacks)):
        parts = [f"{s['prefix']}.{i}." if s["prefix"] else f"{i}." for s, i in zip(stacks, indices, strict=True)]
        names.append("".join(parts) + item["name"])
    yield item, names


def read_name(read: list[Any], name: str) -> str:
    """Return the name of the input that a tensor reads, from the numbers in its own name."""
    _, texts, shifts = read
    own = [int(number) for number in NUMBER.findall(name)]
    numbers = [str(shift if index < 0 else own[index] + shift) for index, shift in shifts]
    return "".join(text for pair in zip(texts, [*numbers, ""], strict=True) for text in pair)


def constants(root: Any) -> list[float]:
    nodes = [node for node in postorder([root]) if const_value(node) is None]
    return [value for n in nodes for child in n.inputs if (value := const_value(child)) is not None]


def check_stage(stage: dict[str, Any], graph: Graph) -> None:
    """Unfold a stage of the page and compare every tensor with the graph."""
    tensors = {(tensor.save, tensor.name): tensor for tensor in with_constants(graph).tensors}
    unfolded = []
    for output in stage["outputs"]:
        for top in output["items"]:
            for family, names in members(top):
                values = [[v for v, run in p["values"] for _ in range(run)] for p in family["parameters"]]
                for i, name in enumerate(names):
                    tensor = tensors[output["save"], name]
                    unfolded.append((output["save"], name))
                    reads = [r and (r[0], read_name(r, name)) for r in family["reads"]]
                    bound = [(b.model, b.name) if isinstance(b, TensorRef) else None for b in tensor.bindings]
                    assert reads == bound
                    assert family["type"] == str(tensor.root.tensor)
                    assert [float(column[i]) for column in values] == constants(tensor.root)
                operations = [n["op"] for n in stage["expressions"][family["expression"]] if "op" in n]
                named = [n.op for n in postorder([tensor.root]) if const_value(n) is None and not is_leaf(n)]
                assert operations == named
    assert sorted(unfolded) == sorted(tensors)


@pytest.mark.parametrize("name", ["gradient", "frankenmerge", "nested", "multistage"])
def test_the_page_unfolds_to_every_tensor_of_the_graphs(name: str, compiled: Compiled, planned: Planned) -> None:
    compilation = compiled(name)
    data = page_json(compilation, planned(compilation))
    check_stage(data["graph"], compilation.graph)
    check_stage(data["optimized"], compilation.optimized)


def test_the_page_of_many_outputs_unfolds_to_every_tensor(study: tuple[Compilation, dict[str, Any]]) -> None:
    compilation, data = study
    check_stage(data["optimized"], compilation.optimized)


def test_layers_that_are_computed_alike_are_folded(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("frankenmerge")
    (output,) = page_json(compilation, planned(compilation))["optimized"]["outputs"]
    folds = {tuple(item["indices"]): item for item in output["items"] if "items" in item}
    assert list(folds) == [tuple(range(16)), tuple(range(16, 32)), tuple(range(32, 48))]
    names = {child["name"]: child for child in folds[tuple(range(32, 48))]["items"]}
    ((model, texts, shifts),) = names["mlp.up_proj.weight"]["reads"]
    assert (model, texts, shifts) == (1, ["model.layers.", ".mlp.up_proj.weight"], ((0, -16),))


def test_experts_are_folded_within_layers(tmp_path: Path, planned: Planned) -> None:
    for name in ("a", "b"):
        write_shapes(tmp_path / name, deepseek(layers=6, experts=8))
    text = 'a = model("./a")\nb = model("./b")\nsave lerp(a, b, ramp(0.1, 0.6, outside=0.5)) to "out"'
    compilation = compile_text(text, tmp_path)
    data = page_json(compilation, planned(compilation))
    check_stage(data["optimized"], compilation.optimized)
    (output,) = data["graph"]["outputs"]
    dense, mixed = (item for item in output["items"] if "items" in item)
    assert dense["indices"] == (0, 1, 2)
    assert mixed["indices"] == (3, 4, 5)
    (experts,) = (item for item in mixed["items"] if "items" in item)
    assert (experts["prefix"], experts["indices"]) == ("mlp.experts", tuple(range(8)))
    (runs,) = [p["values"] for p in experts["items"][0]["parameters"]]
    assert runs == [("0.4", 8), ("0.5", 8), ("0.6", 8)]


FATES = """
a = model("./a")
b = model("./b")
base = model("./base")
save base + 1 * trim(a - base, density=1) + 0.5 * (b - base) to "kept"
save lerp(a, b, 0) to "end"
save mean([a, b, base], weight=[1, 1, 0]) to "two"
"""


def test_what_passes_did_is_marked(family: Path, planned: Planned) -> None:
    compilation = compile_text(FATES, family)
    data = page_json(compilation, planned(compilation))
    found = {}
    for nodes in data["graph"]["expressions"]:
        for node in nodes:
            fate = node.get("fate", {"kind": "", "step": ""})
            found.setdefault(node.get("op", "input"), set()).add((fate["kind"], fate["step"]))
    assert found["trim"] == {("dropped", "prune")}
    assert found["lerp"] == {("dropped", "prune")}
    assert found["multiply"] == {("dropped", "identities"), ("kept", "")}
    assert found["mean"] == {("rewritten", "expand")}
    assert found["input"] == {("", ""), ("unread", "prune")}
    made = {(n["op"], n.get("from")) for nodes in data["optimized"]["expressions"] for n in nodes if "op" in n}
    assert {op for op, source in made if source == "mean"} == {"add", "divide"}


def test_operations_know_the_line_they_are_written_in(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("nested")
    data = page_json(compilation, planned(compilation))
    lines = compilation.source.text.split("\n")
    for stage in ("graph", "optimized"):
        for nodes in data[stage]["expressions"]:
            for node in nodes:
                if node.get("op") in ("drop", "slerp"):
                    place = data["recipe"]["nodes"][node["origin"]]["place"]
                    assert f"{node['op']}(" in lines[place[1] - 1][place[2] :]


def test_what_several_outputs_need_is_marked(study: tuple[Compilation, dict[str, Any]]) -> None:
    _, data = study
    differences = [n for nodes in data["optimized"]["expressions"] for n in nodes if n.get("op") == "subtract"]
    assert max(node.get("outputs", 1) for node in differences) == 10


def test_calls_of_methods_are_boxes_of_what_they_alone_need(study: tuple[Compilation, dict[str, Any]]) -> None:
    compilation, data = study
    recipe = data["recipe"]
    (ties,) = (i for i, call in enumerate(recipe["calls"]) if call["lines"][0] == "ties")
    inside = [node["op"] for node in recipe["nodes"] if node.get("call") == ties]
    assert sorted(inside) == ["add", "elect", "multiply", "trim", "trim"]
    line = compilation.source.text.split("\n")[recipe["calls"][ties]["place"][1] - 1]
    assert line.startswith("save ties(math, code, base=base, weight=[0.8, 0.7], density=0.5)")


def test_adapters_are_inputs_with_the_tensors_they_have(family: Path, tmp_path: Path, planned: Planned) -> None:
    (tmp_path / "base").symlink_to(family / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    halves = {name.format(i, half): torch.ones(shape) for i in range(4) for half, shape in SHAPES.items()}
    save_file(halves, adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    text = 'base = model("./base")\nsave base + trim(lora("./adapter"), 0.5) to "out"'
    compilation = compile_text(text, tmp_path)
    data = page_json(compilation, planned(compilation))
    check_stage(data["graph"], compilation.graph)
    nodes = {node["op"]: node for node in data["recipe"]["nodes"] if "op" in node}
    assert nodes["lora"]["model"]["tensors"] == 8
    trims = [node for found in data["graph"]["expressions"] for node in found if node.get("op") == "trim"]
    assert trims
    assert all(data["recipe"]["nodes"][node["origin"]]["op"] == "trim" for node in trims)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10), max_size=4))
def test_json_in_the_page_is_inert_and_the_same(data: Any) -> None:
    text = inert_json(data)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == data


def test_the_page_has_no_element_and_no_script_but_its_own(tmp_path: Path, planned: Planned) -> None:
    write_model(tmp_path / "a", {HOSTILE: torch.ones(4), "-->": torch.ones(3), "<!--": torch.ones(3)})
    text = f'x = model("./a")\nsave scale(x, 2) to "{HOSTILE}"\n'
    compilation = Compilation(Source(f"{HOSTILE}.merge", text), tmp_path)
    reader = Reader(page(compilation, planned(compilation)))
    head = ["html", "head", "meta", "meta", "meta", "meta", "title", "style"]
    assert reader.tags == [*head, "body", "noscript", "script", "script"]
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "href", "style")]
    data, script = reader.texts["script"]
    assert json.loads(data)["title"] == f"{HOSTILE}.merge"
    (policy,) = [
        value or "" for name, value in reader.attributes if name == "content" and "default-src" in (value or "")
    ]
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, *reader.texts["style"])
    ]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_depends_on_recipe_and_plan_alone(compiled: Compiled, planned: Planned) -> None:
    one, other = compiled("nested"), compiled("nested")
    assert page(one, planned(one)) == page(other, planned(other))


def test_measured_figures_stand_beside_the_planned(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("nested")
    plan = planned(compilation)
    measured = [Measured(0.5, 400_000_000 + i, 10, 5) for i in range(len(plan.units))]
    steps = page_json(compilation, plan, measured)["plan"]["steps"]
    assert [step["measured"] for step in steps] == [[0.5, 400_000_000 + i, 10] for i in range(len(plan.units))]
    assert "measured" not in page_json(compilation, plan)["plan"]["steps"][0]


def test_error_of_a_page_of_some_tensors(compiled: Compiled) -> None:
    with pytest.raises(MergeGraphError) as caught:
        explain(compiled("nested"), "plan", tensor="*.0.*", format="html")
    assert str(caught.value) == (
        "error[MG670]: the page has all tensors\n  = help: leave out `--tensor`, and search in the page"
    )


def test_the_page_was_built_from_the_sources_that_are_here() -> None:
    web = ROOT / "web"
    names = ["build.mjs", "package-lock.json", *(f"src/{path.name}" for path in (web / "src").iterdir())]
    lines = [f"{hashlib.sha256((web / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names)]
    assert (ROOT / "mergegraph/report/assets/SOURCES.txt").read_text() == "".join(lines), "run `make page`"


def test_the_page_is_filled_in_with_nothing_else(compiled: Compiled, planned: Planned) -> None:
    compilation = compiled("nested")
    plan = planned(compilation)
    assert page(compilation, plan) == fill(json.loads(inert_json(page_json(compilation, plan))))
