from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.diagnostics import MergeGraphError
from mergegraph.dtypes import DTYPES
from mergegraph.ir.graph import Graph, Key, OutputTensor, TensorRef, const, input_leaf, key_leaf
from mergegraph.ir.node import Attribute, Node, intern
from mergegraph.ir.text import parse_graph, print_graph
from mergegraph.ir.types import TensorType

FIXTURES = Path(__file__).parent.parent / "fixtures" / "graphs"
HOSTILE = [
    "",
    "a b",
    "a/b",
    '"',
    "\\",
    "\n",
    "é",
    "\u202e",
    "\ud800",
    "@1",
    "#",
    "…",
    "0",
    "-1",
    "</script>",
    "a,b",
    "a=",
]

names = st.one_of(st.sampled_from(["weight", "key", "inf", "true", "template", *HOSTILE]), st.text(max_size=8))
types = st.builds(
    TensorType, st.sampled_from(list(DTYPES.values())), st.lists(st.integers(0, 1 << 40), max_size=3).map(tuple)
)
attributes: st.SearchStrategy[Attribute] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), names),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
leaves = st.one_of(
    st.builds(const, st.floats()),
    st.builds(input_leaf, st.integers(0, 99), types),
    st.builds(key_leaf, st.integers(0, 99)),
)
operations = names.filter(lambda name: name not in ("input", "key", "const"))


@st.composite
def expressions(draw: st.DrawFn) -> Node:
    nodes = draw(st.lists(leaves, min_size=1, max_size=3))
    for _ in range(draw(st.integers(0, 6))):
        inputs = draw(st.lists(st.sampled_from(nodes), max_size=3))
        settings = draw(st.dictionaries(names, attributes, max_size=2))
        nodes.append(intern(draw(operations), inputs, settings.items(), draw(types)))
    return nodes[-1]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    models = draw(st.lists(names, max_size=3))
    keys = st.builds(Key, st.integers(0, (1 << 64) - 1))
    refs = st.builds(TensorRef, st.integers(0, len(models) - 1), names) if models else keys
    saves = draw(st.lists(names, min_size=1, max_size=2))
    roots = st.sampled_from(draw(st.lists(expressions(), min_size=1, max_size=2)))
    bindings = st.lists(st.one_of(keys, refs), max_size=3).map(tuple)
    tensors = st.builds(OutputTensor, st.integers(0, len(saves) - 1), names, roots, bindings)
    return Graph(tuple(models), tuple(saves), tuple(draw(st.lists(tensors, max_size=5))))


@given(graphs())
def test_every_graph_is_read_back_as_the_very_same_nodes(graph: Graph) -> None:
    read = parse_graph(print_graph(graph))
    assert read == graph
    assert all(one.root is other.root for one, other in zip(read.tensors, graph.tensors, strict=True))


@given(graphs())
def test_the_text_is_plain_ascii_of_one_line_per_thing(graph: Graph) -> None:
    text = print_graph(graph)
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.graph")), ids=lambda path: path.stem)
def test_fixture_is_printed_as_it_is_written(path: Path, check_text: Callable[[Path, str], None]) -> None:
    check_text(path, print_graph(parse_graph(path.read_text())))


def test_comments_blank_lines_and_a_missing_last_line_end_do_not_matter() -> None:
    plain = "models: a\nsaves: out\n\ntemplate of 1 tensor\n  %0 = input(0) : float32[2]\n  return %0\n  0/w = a/w\n"
    noisy = "\r\n# a copy\n\n" + plain.replace("\n\n", " # models\n\n\n").replace(" = ", "=").rstrip("\n") + " # end"
    assert parse_graph(noisy) == parse_graph(plain)


def test_the_name_of_an_input_may_be_left_out_where_it_is_that_of_the_output() -> None:
    plain = "models: a\nsaves: out\n\ntemplate of 1 tensor\n  %0 = input(0) : float32[2]\n  return %0\n  0/w = a/w\n"
    short = plain.replace("a/w", "a")
    assert parse_graph(plain) == parse_graph(short)
    assert print_graph(parse_graph(plain)) == short


def test_whole_numbers_are_constants_where_a_person_writes_them() -> None:
    head = "models:\nsaves: out\ntemplate of 1 tensor\n  return "
    assert parse_graph(f"{head}2\n  0/w").tensors[0].root is const(2.0)
    assert parse_graph(f"{head}-0.0\n  0/w").tensors[0].root is const(-0.0)


def test_a_limit_shortens_the_list_of_tensors() -> None:
    leaf = input_leaf(0, TensorType(DTYPES["float32"], (2,)))
    tensors = tuple(OutputTensor(0, f"w.{i}", leaf, (TensorRef(0, f"w.{i}"),)) for i in range(5))
    assert print_graph(Graph(("a",), ("out",), tensors), limit=2) == (
        "models: a\nsaves: out\n\ntemplate of 5 tensors\n  %0 = input(0) : float32[2]\n  return %0\n"
        "  0/w.0 = a\n  0/w.1 = a\n  … and 3 more\n"
    )


HEAD = "models: base, a\nsaves: out\n"
LEAF = "  %0 = input(0) : float32[2]\n  return %0\n"


def message(text: str) -> str:
    with pytest.raises(MergeGraphError) as caught:
        parse_graph(text, "test.graph")
    return f"{caught.value}\n"


def test_error_of_a_line_that_makes_no_sense() -> None:
    assert message(f"{HEAD}template of 1 tensor\n  %0 = input(0 : float32[2]\n") == (
        "error[MG371]: this is not the text of a graph\n"
        "  ┌─ test.graph:4:16\n"
        "4 │   %0 = input(0 : float32[2]\n"
        "  │                ^ expected `)` or `,`\n"
    )


def test_error_of_a_text_that_ends_too_soon() -> None:
    assert message("models: a") == (
        "error[MG371]: this is not the text of a graph\n"
        "  ┌─ test.graph:1:10\n"
        "1 │ models: a\n"
        "  │          ^ expected `saves:`\n"
    )


def test_error_of_a_shortened_text() -> None:
    assert message(f"{HEAD}template of 2 tensors\n{LEAF}  0/w = a/w\n  … and 1 more\n") == (
        "error[MG371]: this is not the text of a graph\n"
        "  ┌─ test.graph:7:3\n"
        "7 │   … and 1 more\n"
        "  │   ^ expected `template` or a place such as `@0` or a whole number\n"
        "  = help: a text that was shortened for people can't be read back\n"
    )


def test_error_of_a_node_that_is_not_defined() -> None:
    assert message(f"{HEAD}template of 1 tensor\n  %0 = negate(%1) : float32[2]\n  return %0\n  0/w\n") == (
        "error[MG372]: `%1` is not defined above\n"
        "  ┌─ test.graph:4:15\n"
        "4 │   %0 = negate(%1) : float32[2]\n"
        "  │               ^^\n"
    )


def test_error_of_a_node_that_is_defined_twice() -> None:
    text = f"{HEAD}template of 1 tensor\n  %0 = input(0) : float32[2]\n{LEAF}  0/w = a/w\n"
    assert message(text) == (
        "error[MG373]: `%0` is defined twice\n  ┌─ test.graph:5:3\n5 │   %0 = input(0) : float32[2]\n  │   ^^\n"
    )


def test_error_of_an_unknown_element_type() -> None:
    assert message(f"{HEAD}template of 1 tensor\n{LEAF.replace('32', '31')}  0/w = a/w\n") == (
        "error[MG374]: no element type is named `float31`\n"
        "  ┌─ test.graph:4:19\n"
        "4 │   %0 = input(0) : float31[2]\n"
        "  │                   ^^^^^^^\n"
        "  = help: did you mean `float32`?\n"
    )


def test_error_of_an_unknown_model() -> None:
    assert message(f"{HEAD}template of 1 tensor\n{LEAF}  0/w = bas/w\n") == (
        "error[MG375]: there is no one model `bas`\n"
        "  ┌─ test.graph:6:9\n"
        "6 │   0/w = bas/w\n"
        "  │         ^^^\n"
        "  = help: did you mean `base`?\n"
    )
    assert message(f"{HEAD}template of 1 tensor\n{LEAF}  0/w = 2/w\n").startswith("error[MG375]: there is no one model")


def test_error_of_an_unknown_save() -> None:
    assert message(f"{HEAD}template of 1 tensor\n{LEAF}  1/w = a/w\n") == (
        "error[MG375]: there is no save 1: they are numbered from 0\n  ┌─ test.graph:6:3\n6 │   1/w = a/w\n  │   ^\n"
    )


def test_error_of_a_wrong_count() -> None:
    assert message(f"{HEAD}template of 64 tensors\n{LEAF}  0/w = a/w\n") == (
        "error[MG376]: this template lists 1 tensor, not 64\n"
        "  ┌─ test.graph:3:13\n"
        "3 │ template of 64 tensors\n"
        "  │             ^^\n"
        "  = help: a text that was shortened for people can't be read back\n"
    )


@pytest.mark.parametrize("places", [("@0", "@2"), ("@1", "@1"), ("@1", "")])
def test_error_of_places_that_are_no_order(places: tuple[str, str]) -> None:
    text = f"{HEAD}template of 2 tensors\n{LEAF}  {places[0]} 0/v = a/v\n  {places[1]} 0/w = a/w\n"
    assert message(text) == (
        "error[MG377]: the tensors must have the places 0 to 1, each once\n"
        "  ┌─ test.graph:6:3\n"
        f"6 │   {places[0]} 0/v = a/v\n"
        "  │   ^^\n"
    )
