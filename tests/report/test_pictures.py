"""Pictures say what the recipe says, and names in them are inert, whatever they are."""

import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from families import write_model
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import MergeGraphError, Source, escape
from mergegraph.dtypes import FLOAT32
from mergegraph.ir.graph import Graph, OutputTensor, TensorRef, input_leaf
from mergegraph.ir.types import TensorType
from mergegraph.report.dot import quoted, to_dot
from mergegraph.report.layered import layered_layout
from mergegraph.report.mermaid import recipe_mermaid, to_mermaid
from mergegraph.report.networkx import to_networkx
from mergegraph.report.picture import Picture, PictureEdge, PictureNode, recipe_picture, tensor_picture
from mergegraph.report.png import to_png
from mergegraph.report.svg import to_svg

FIXTURES = Path(__file__).parent.parent / "fixtures" / "explain"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    '"quoted" and \\"escaped\\"',
    "line\nend\ttab\x1b[31m",
    "a|b{c}d[e]",
    "\u202egnp.exe",
    "&lt;&amp;&#60;",
    "`code` *bold* _it_ #35; %% end",
    "]]>--><!--",
    "模型.重量",
]
Compiled = Callable[[str], Compilation]
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=10))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Compilation:
    """Return a recipe whose tensors, models and outputs have hostile names."""
    folder = tmp_path_factory.mktemp("hostile")
    write_model(folder / "a", {name: torch.ones(4) * i for i, name in enumerate(HOSTILE)})
    write_model(folder / "b", {name: torch.ones(4) for name in HOSTILE})
    text = 'a = model("./a")\nsave lerp(a, model("./b"), 0.5) to "</text>\\"|out"\n'
    return Compilation(Source("test.merge", text), folder)


def svg_texts(svg: str) -> list[str]:
    """Return all that an SVG file shows, by an XML parser."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def dot_labels(dot: str) -> list[str]:
    """Return the lines of all labels, by the rules of Graphviz: strings, escapes in them, then entities."""
    labels = re.findall(r'label="((?:[^"\\]|\\.)*)"', dot)
    lines = [line for label in labels for line in re.split(r"(?<!\\)(?:\\\\)*\\n", label)]
    return [unescape(re.sub(r"\\(.)", r"\1", line)) for line in lines]


def mermaid_labels(mermaid: str) -> list[str]:
    """Return the lines of all labels, by the rules of Mermaid: codes between `#` and `;`."""
    labels = re.findall(r'"([^"]*)"', mermaid)
    return [re.sub(r"#(\d+);", lambda m: chr(int(m[1])), line) for label in labels for line in label.split("<br>")]


def titles(picture: Picture) -> dict[str, tuple[str, ...]]:
    return {node.lines[0]: node.lines[1:] for node in picture.nodes}


def arrows(picture: Picture) -> set[tuple[str, str, str]]:
    title = {node.id: node.lines[0] for node in picture.nodes}
    return {(title[edge.source], title[edge.target], edge.label) for edge in picture.edges}


def test_a_recipe_is_drawn_with_its_names_and_parameters(compiled: Compiled) -> None:
    picture = recipe_picture(compiled("multistage").recipe)
    assert titles(picture) == {
        "base": ("./base",),
        "a": ("./a",),
        "b": ("./b",),
        "c": ("./c",),
        "subtract": (),
        "trim": ("density 0.5",),
        "elect": (),
        "1 * x": (),
        "chat": (),
        "code": ("slerp", "t 0.2"),
        "mean": (),
        "final": (),
    }
    assert arrows(picture) == {
        ("a", "subtract", ""),
        ("b", "subtract", ""),
        ("base", "subtract", "−"),
        ("subtract", "trim", ""),
        ("trim", "elect", ""),
        ("elect", "1 * x", ""),
        ("1 * x", "chat", ""),
        ("base", "chat", ""),
        ("c", "code", "a"),
        ("base", "code", "b"),
        ("chat", "mean", "0.7"),
        ("code", "mean", "0.3"),
        ("mean", "final", ""),
        ("chat", "chat", ""),
    }


def test_fields_layers_and_cases_are_drawn(compiled: Compiled) -> None:
    gradient = titles(recipe_picture(compiled("gradient").recipe))
    cases = ("*.self_attn.*: ramp(0.9, 0.4)", "*.mlp.*: ramp(0.3, 0.5, 0.3)", "all others: 0.7")
    assert gradient["density"] == ("select", *cases)
    tall = recipe_picture(compiled("frankenmerge").recipe)
    assert {(".layers[0..16]", "tall", ""), ("a", "tall", "rest")} <= arrows(tall)
    nested = arrows(recipe_picture(compiled("nested").recipe))
    assert {("base", "merged", "*.self_attn.*"), ("blend", "merged", "all others")} <= nested


def test_only_what_some_saves_need_is_drawn(compiled: Compiled) -> None:
    recipe = compiled("multistage").recipe
    chat = recipe_mermaid(recipe, [save for save in recipe.saves if save.path == "chat"])
    assert "slerp" not in chat
    assert "slerp" in recipe_mermaid(recipe, recipe.saves)


def test_tensors_that_share_inputs_are_drawn_as_one_graph(compiled: Compiled) -> None:
    """`final` holds all of `chat`: together they need no more nodes than `final` and the last cast of `chat`."""
    graph = compiled("multistage").optimized
    picture = tensor_picture(graph, "model.norm.weight")
    inputs = [node for node in picture.nodes if node.group == "inputs"]
    assert sorted(node.lines[1] for node in inputs) == [f"{m}: bfloat16[32]" for m in ("a", "b", "base", "c")]
    outputs = [node.lines[1] for node in picture.nodes if node.group == "outputs"]
    assert outputs == ["final: bfloat16[32]", "chat: bfloat16[32]"]
    assert sum(node.lines[0] == "threshold" for node in picture.nodes) == 2


def test_error_of_a_picture_that_is_too_large() -> None:
    leaf = input_leaf(0, TensorType(FLOAT32, (2,)))
    tensors = tuple(OutputTensor(0, f"w.{i}", leaf, (TensorRef(0, f"w.{i}"),)) for i in range(600))
    graph = Graph(("a",), ("out",), tensors)
    assert len(tensor_picture(graph, "w.1??").nodes) == 200
    with pytest.raises(MergeGraphError) as caught:
        tensor_picture(graph, "*")
    assert str(caught.value) == (
        "error[MG381]: this picture would have 1,200 nodes, and at most 400 can be told apart\n"
        "  = help: choose fewer tensors: `--tensor GLOB`\n"
        "  = help: or draw the recipe: its nodes are whole models"
    )


def test_long_names_are_cut_in_the_middle(tmp_path: Path) -> None:
    name = f"model.{'very.' * 20}long.weight"
    write_model(tmp_path / "a", {name: torch.ones(4)})
    compilation = Compilation(Source("test.merge", 'save scale(model("./a"), 2) to "out"'), tmp_path)
    first = tensor_picture(compilation.optimized, "*").nodes[0].lines[0]
    assert len(first) <= 44
    assert first.startswith("model.very.")
    assert first.endswith("…ery.long.weight"[-10:])


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text_in_every_format(name: str, hostile: Compilation) -> None:
    glob = "".join(f"[{c}]" if c in "[*?" else c for c in name)
    for picture in (tensor_picture(hostile.optimized, glob), recipe_picture(hostile.recipe)):
        shown = sorted(
            [line for node in picture.nodes for line in node.lines] + [e.label for e in picture.edges if e.label]
        )
        assert all(line.isprintable() for line in shown)
        svg = to_svg(picture, layered_layout)
        assert sorted(svg_texts(svg)) == shown
        assert {element.tag for element in ElementTree.fromstring(svg).iter()} <= {
            SVG + tag for tag in ("svg", "style", "defs", "marker", "path", "rect", "g", "title", "text")
        }
        assert sorted(dot_labels(to_dot(picture))) == shown
        assert sorted(mermaid_labels(to_mermaid(picture))) == shown
    assert escape(name) in svg_texts(to_svg(tensor_picture(hostile.optimized, glob), layered_layout))


@given(texts)
def test_a_quoted_text_is_one_string_of_graphviz(text: str) -> None:
    assert dot_labels(f"label={quoted(escape(text))}") == [escape(text)]


@given(texts)
def test_a_mermaid_label_has_plain_characters_only(text: str) -> None:
    picture = Picture((PictureNode("n0", (escape(text),), "delta"),), ())
    label = to_mermaid(picture).splitlines()[1]
    assert re.fullmatch(r'  n0\["([A-Za-z0-9 _.,/:+=()\[\]-]|#\d+;)*"\]:::delta', label)
    assert mermaid_labels(label) == [escape(text)]


def test_no_mermaid_label_has_an_icon() -> None:
    """Mermaid 11 draws `fa:fa-car` as an icon, which forges don't have, so that nothing is shown."""
    picture = Picture((PictureNode("n0", ("fa:fa-car", "fab:fa-fa:fa-x", "fa:far"), "delta"),), ())
    assert to_mermaid(picture).splitlines()[1] == '  n0["fa:#102;a-car<br>fab:#102;a-fa:#102;a-x<br>fa:far"]:::delta'


RECIPES = sorted(path.stem for path in (FIXTURES.parent / "recipes").glob("*.merge"))
MERMAID = {
    "head": r"flowchart TD",
    "node": r'  (?P<node>[ns]\d+)\["(?:[^"#;]|#\d+;)+"\]:::(?P<kind>[a-z]+)',
    "edge": r'  (?P<source>[ns]\d+) (?:-- "(?:[^"#;]|#\d+;)+" )?--> (?P<target>[ns]\d+)',
    "class": r"  classDef (?P<class>[a-z]+) fill:#[0-9a-f]{6},stroke:#[0-9a-f]{6},color:#[0-9a-f]{6}",
}
"""The lines that are written, all of which Mermaid 11.17 was seen to draw."""
MEANT = ("call", "class", "click", "default", "end", "graph", "href", "interpolate", "linkstyle", "style", "subgraph")
"""What Mermaid takes for words of its own, not for names of classes."""


@pytest.mark.parametrize("name", RECIPES)
def test_mermaid_is_of_four_kinds_of_lines_and_names_what_it_declares(name: str, compiled: Compiled) -> None:
    compilation = compiled(name)
    tensor = next(iter(compilation.optimized.tensors)).name
    for picture in (recipe_picture(compilation.recipe), tensor_picture(compilation.optimized, tensor)):
        lines = to_mermaid(picture).splitlines()
        found = [re.fullmatch("|".join(MERMAID.values()), line) for line in lines]
        assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
        named = {key: [m[key] for m in found if m and m[key]] for key in ("node", "kind", "source", "target", "class")}
        assert len(named["node"]) == len({*named["node"]}) == len(picture.nodes)
        assert {*named["source"], *named["target"]} <= {*named["node"]}
        assert len(named["source"]) == len(picture.edges)
        assert sorted({*named["kind"]}) == named["class"]
        assert not {*named["class"]} & {*MEANT}


def test_the_formats(compiled: Compiled, check_text: Callable[[Path, str], None]) -> None:
    picture = recipe_picture(compiled("nested").recipe)
    check_text(FIXTURES / "nested.recipe.dot", to_dot(picture))
    check_text(FIXTURES / "nested.recipe.mmd", to_mermaid(picture))
    check_text(FIXTURES / "nested.recipe.svg", to_svg(picture, layered_layout))


def test_networkx_gets_all_nodes_and_parallel_arrows(compiled: Compiled) -> None:
    picture = tensor_picture(compiled("frankenmerge").optimized, "model.layers.20.mlp.up_proj.weight")
    graph = to_networkx(picture)
    assert list(graph) == [node.id for node in picture.nodes]
    assert graph.number_of_edges() == len(picture.edges)
    norms = [n for n, lines in graph.nodes(data="lines") if lines == ("dot",) and len(set(graph.predecessors(n))) == 1]
    assert [graph.in_degree(node) for node in norms] == [2, 2]


def stub_dot(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program named `dot` on the path, and nothing else."""
    program = folder / "dot"
    program.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


PAIR = Picture((PictureNode("n0", ("a",), "model"), PictureNode("n1", ("b",), "save")), (PictureEdge("n0", "n1", "x"),))
PLAIN = r"""printf 'graph 1 2 3\nnode n0 1 2.5 1 0.5 n0 solid box black lightgrey\n'
printf 'node n1 1 0.5 1 0.5 n1 solid box black lightgrey\n'
printf 'edge n0 n1 4 1 2.25 1 2 1 1 1 0.75 x 1.2 1.5 solid black\nstop\n'"""


def test_places_are_graphvizs_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_dot(tmp_path, PLAIN, monkeypatch)
    svg = to_svg(PAIR)
    root = ElementTree.fromstring(svg)
    boxes = [(e.get("x"), e.get("y"), e.get("height")) for e in root.iter(f"{SVG}rect") if e.get("class") != "page"]
    assert boxes == [("36.0", "18.0", "36.0"), ("36.0", "162.0", "36.0")]
    assert 'd="M72.0 54.0 C72.0 72.0 72.0 144.0 72.0 162.0"' in svg
    label = next(e for e in root.iter(f"{SVG}text") if e.get("class") == "label")
    assert (label.get("x"), label.text) == ("86.4", "x")


@pytest.mark.parametrize("script", ["exit 1", ""], ids=["fails", "says nothing"])
def test_places_are_ours_where_graphviz_does_not_work(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_dot(tmp_path, script, monkeypatch)
    assert to_svg(PAIR) == to_svg(PAIR, layered_layout)


def test_a_png_is_what_graphviz_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_dot(tmp_path, f"{shutil.which('cat')} > {tmp_path}/given; printf '\\211PNG %s' \"$*\"", monkeypatch)
    assert to_png(PAIR) == b"\x89PNG -Tpng -Gbgcolor=white -Gdpi=144 -Gpad=0.2"
    assert (tmp_path / "given").read_text() == to_dot(PAIR)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (
            None,
            "error[MG671]: a .png is drawn by Graphviz, which is not installed\n"
            "  = help: install it: `apt install graphviz`, `brew install graphviz`",
        ),
        ("exit 1", "error[MG671]: Graphviz could not draw this picture"),
    ],
    ids=["not installed", "fails"],
)
def test_error_of_a_png(script: str | None, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if script:
        stub_dot(tmp_path, script, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MergeGraphError) as caught:
        to_png(PAIR)
    assert str(caught.value) == f"{text}\n  = help: a .svg needs no other program"


def test_places_are_ours_where_graphviz_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert to_svg(PAIR) == to_svg(PAIR, layered_layout)
