"""The whole system, told once: what a recipe becomes on its way to a model directory.

Read it from top to bottom; each test is one stage and goes on from the one before.
"""

import json

import numpy as np
import pytest
import references as ref
from families import as64, make_family, read_model
from merging import compilation, run
from safetensors import safe_open

from mergegraph.ir.graph import Key, TensorRef
from mergegraph.ir.text import parse_graph, print_graph
from mergegraph.ir.types import Type
from mergegraph.plan.plan import Compute, Copy
from mergegraph.syntax import nodes as s
from mergegraph.write.verify import verify_directory

RECIPE = """\
# A chat model and a code model, merged where it matters.
seed 7
base = model("./base")
chat = model("./a")
code = model("./b")

density = select { "*.mlp.*": ramp(0.2, 0.6), _: 0.5 }
merged = ties(chat, code, base=base, weight=[0.6, 0.4], density=density)
careful = select { "*.self_attn.*": base, _: merged }

save careful to "careful"
save slerp(chat, code, t=0.3) to "between" with dtype="float32"
"""

UP = "model.layers.{}.mlp.up_proj.weight"
QUERY = "model.layers.{}.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three models of three layers."""
    folder = tmp_path_factory.mktemp("story")
    make_family(folder, models=("base", "a", "b"), layers=3)
    return folder


@pytest.fixture(scope="module")
def story(folder):
    """The recipe on its way. Nothing has been read, and nothing will be until a stage is asked for."""
    return compilation(folder, RECIPE)


def test_parse_text_becomes_syntax_with_places(story):
    assert [type(statement) for statement in story.syntax.statements] == [
        s.Seed,
        *[s.Binding] * 6,
        *[s.Save] * 2,
    ]
    assert story.syntax.statements[1].span.text == 'base = model("./base")'


def test_resolve_syntax_becomes_a_graph_of_models(story):
    recipe = story.recipe
    careful = recipe.saves[0].value
    assert careful.type is Type.MODEL
    assert [recipe.name(case) for case in careful.inputs] == ["base", "merged"]
    # `ties` is gone: a method is a function of the prelude, and what it stands for is here.
    operations = [node.op for node in recipe.nodes()]
    assert operations.count("trim") == 2
    assert "ties" not in operations
    # Equal expressions are one object: each delta is there once, however often it is written.
    assert operations.count("subtract") == 2


def test_lower_becomes_one_expression_per_tensor(story):
    graph = story.graph
    up, query = (next(t for t in graph.tensors if t.name == name.format(0)) for name in (UP, QUERY))
    # Where the base is chosen, the expression is a leaf: that tensor will be copied.
    assert query.root.op == "input"
    assert query.bindings == (TensorRef(graph.models.index("base"), QUERY.format(0)),)
    # Elsewhere it computes in float32 and is rounded once, at the end.
    assert up.root.op == "cast"
    assert {binding.model for binding in up.bindings if isinstance(binding, TensorRef)} == {0, 1, 2}
    assert not any(isinstance(binding, Key) for binding in up.bindings)
    # Tensors of the same shape and parameters have the same expression object.
    slerps = [t for t in graph.tensors if t.save == 1 and t.name in (QUERY.format(0), QUERY.format(2))]
    assert slerps[0].root is slerps[1].root


def test_the_graph_is_text_too(story):
    assert parse_graph(print_graph(story.graph)) == story.graph


def test_optimize_leaves_only_what_kernels_compute(story):
    before, after = ({node.op for node in graph.nodes()} for graph in (story.graph, story.optimized))
    assert {"trim", "elect", "slerp"} <= before
    assert not {"trim", "elect", "slerp"} & after
    assert {"magnitude_sample", "magnitude_limit", "threshold"} <= after


def test_plan_says_what_will_happen_before_it_does(story):
    plan = story.plan(memory=2_000_000_000, workers=2)
    copies = [unit for unit in plan.units if isinstance(unit, Copy)]
    computed = [unit for unit in plan.units if isinstance(unit, Compute)]
    assert {unit.target.name.split(".")[3] for unit in copies} == {"self_attn"}
    # Both outputs of an mlp tensor read the same inputs, so they are one unit and read them once.
    assert sorted(len(unit.targets) for unit in computed) == [*[1] * 12, *[2] * 18]
    # TIES looks at its inputs three times: twice for the k-th magnitude, once to write.
    ties = next(plan.programs[u.program] for u in computed if u.targets[0].name == UP.format(1))
    assert len(ties.phases) == 3
    assert plan.optimal
    assert plan.lower_bound_bytes <= plan.planned_peak_bytes <= plan.budget_bytes


def test_run_writes_model_directories(folder, tmp_path):
    result = run(folder, RECIPE, tmp_path / "out", workers=2)
    base, chat, code = (read_model(folder / name) for name in ("base", "a", "b"))
    careful, between = (read_model(path) for path in result.outputs)
    assert (careful[QUERY.format(1)] == base[QUERY.format(1)]).all()
    inputs = [as64(model[UP.format(1)]) for model in (base, chat, code)]
    deltas = [ref.difference(x, inputs[0]) for x in inputs[1:]]
    ref.assert_close(
        careful[UP.format(1)],
        ref.ties(inputs[1:], inputs[0], [0.6, 0.4], density=0.4),
        inputs,
        skip=ref.near_tie(deltas, [0.6, 0.4]),
    )
    expected = ref.slerp(inputs[1], inputs[2], 0.3)
    ref.assert_close(between[UP.format(1)], expected, inputs)
    assert {str(tensor.dtype) for tensor in between.values()} == {"torch.float32"}


def test_an_output_says_where_it_comes_from(folder, tmp_path):
    out = run(folder, RECIPE, tmp_path / "out").outputs[0]
    manifest = json.loads((out / "mergegraph.json").read_text())
    assert manifest["recipe"]["text"] == RECIPE
    assert manifest["seed"] == 7
    assert verify_directory(out) == ()
    with safe_open(out / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
    data = bytearray((out / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (out / "model.safetensors").write_bytes(data)
    assert [finding.code for finding in verify_directory(out)] == ["MG623"]


def test_the_same_recipe_gives_the_same_bytes(folder, tmp_path):
    first, second = (run(folder, RECIPE, tmp_path / name, workers=n).outputs for name, n in (("x", 1), ("y", 3)))
    for one, other in zip(first, second, strict=True):
        assert (one / "mergegraph.json").read_bytes() == (other / "mergegraph.json").read_bytes()
        assert np.array_equal(*(np.fromfile(path / "model.safetensors", np.uint8) for path in (one, other)))
