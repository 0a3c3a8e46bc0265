"""Every text of `explain` is a fixture: tests/fixtures/explain/RECIPE.STAGE.txt."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import MergeGraphError
from mergegraph.ir.graph import with_constants
from mergegraph.plan.plan import Plan
from mergegraph.report.explain import Stage, explain
from mergegraph.report.graph_text import graph_text
from mergegraph.report.plan_json import plan_json
from mergegraph.report.plan_text import plan_text, units_text

FIXTURES = Path(__file__).parent.parent / "fixtures" / "explain"
RECIPES = (
    *("adapters", "chat_vector", "frankenmerge", "gradient", "multistage", "nested", "own_method", "quickstart"),
    *("study", "tokenizers"),
)
Compiled = Callable[[str], Compilation]
Check = Callable[[Path, str], None]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str, compiled: Compiled, check_text: Check) -> None:
    check_text(FIXTURES / f"{name}.recipe.txt", explain(compiled(name), "recipe"))


@pytest.mark.parametrize("name", RECIPES)
def test_plan(name: str, compiled: Compiled, planned: Callable[..., Plan], check_text: Check) -> None:
    compilation = compiled(name)
    check_text(FIXTURES / f"{name}.plan.txt", plan_text(compilation, planned(compilation)))


@pytest.mark.parametrize("name", ["quickstart", "frankenmerge", "gradient"])
def test_optimized(name: str, compiled: Compiled, check_text: Check) -> None:
    check_text(FIXTURES / f"{name}.optimized.txt", explain(compiled(name), "optimized"))


def test_graph(compiled: Compiled, check_text: Check) -> None:
    check_text(FIXTURES / "multistage.graph.txt", explain(compiled("multistage"), "graph"))


def test_tensors_of_a_graph(compiled: Compiled, check_text: Check) -> None:
    text = explain(compiled("nested"), "optimized", tensor="model.layers.1.[ms]*proj.weight")
    check_text(FIXTURES / "nested.optimized.tensors.txt", text)


def test_tensors_of_a_plan(compiled: Compiled, planned: Callable[..., Plan], check_text: Check) -> None:
    compilation = compiled("nested")
    names = {"model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.gate_proj.weight", "lm_head.weight"}
    names |= {"model.layers.1.self_attn.k_proj.weight"}
    check_text(FIXTURES / "nested.plan.tensors.txt", units_text(compilation, planned(compilation), names))


def test_a_graph_of_many_templates_is_cut(compiled: Compiled) -> None:
    text = graph_text(with_constants(compiled("gradient").optimized))
    assert text.count("template of") == 8
    assert text.endswith("more templates: `--tensor GLOB` chooses\n")


def test_json(compiled: Compiled, planned: Callable[..., Plan], check_text: Check) -> None:
    compilation = compiled("quickstart")
    check_text(FIXTURES / "quickstart.recipe.json", explain(compilation, "recipe", format="json"))
    check_text(FIXTURES / "tokenizers.recipe.json", explain(compiled("tokenizers"), "recipe", format="json"))
    one = explain(compilation, "optimized", format="json", tensor="model.norm.weight")
    check_text(FIXTURES / "quickstart.optimized.json", one)
    plan = json.dumps(plan_json(compilation, planned(compilation)), indent=2)
    check_text(FIXTURES / "quickstart.plan.json", f"{plan}\n")


@pytest.mark.parametrize("stage", ["syntax", "recipe", "graph", "optimized", "plan"])
def test_every_stage_is_json_that_everyone_can_read(stage: Stage, compiled: Compiled) -> None:
    text = explain(compiled("multistage"), stage, format="json", memory=1_000_000_000, workers=2)
    assert json.loads(text, parse_constant=pytest.fail)["stage"] == stage
    assert text.isascii()


def test_the_stage_syntax_is_printed_by_the_syntax(compiled: Compiled) -> None:
    assert explain(compiled("quickstart"), "syntax").startswith("recipe quickstart.merge  @1:1\n")


def message(compilation: Compilation, stage: Stage, **options: str) -> str:
    with pytest.raises(MergeGraphError) as caught:
        explain(compilation, stage, memory=1_000_000_000, workers=1, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("stage", ["graph", "optimized", "plan"])
def test_error_of_a_glob_that_matches_nothing(stage: Stage, compiled: Compiled) -> None:
    assert message(compiled("quickstart"), stage, tensor="lm_haed.weight") == (
        "error[MG380]: no output tensor is named like `lm_haed.weight`\n"
        "  = help: did you mean `lm_head.weight`?\n"
        "  = help: `*` stands for any characters, dots too"
    )


def test_error_of_choosing_tensors_before_there_are_any(compiled: Compiled) -> None:
    assert message(compiled("quickstart"), "syntax", tensor="*") == (
        "error[MG382]: the stage `syntax` has no tensors to choose from\n"
        "  = help: the stages graph, optimized and plan have tensors"
    )


@pytest.mark.parametrize("recipe", ["nested", "frankenmerge"])
def test_tensors_of_a_recipe(recipe: str, compiled: Compiled, check_text: Check) -> None:
    text = explain(compiled(recipe), "recipe", tensor="model.layers.1.[ms]*_proj.weight")
    check_text(FIXTURES / f"{recipe}.recipe.tensors.txt", text)
    found = json.loads(explain(compiled(recipe), "recipe", format="json", tensor="model.norm.weight"))
    assert [tensor["name"] for tensor in found["tensors"]] == ["model.norm.weight"]
    assert found["tensors"][0]["steps"][0]["line"] > 0


@pytest.mark.parametrize(
    ("recipe", "tensor"), [("adapters", "*.mlp.down_proj.weight"), ("tokenizers", "model.embed_tokens.weight")]
)
def test_tensors_of_models_with_adapters_and_tokens(
    recipe: str, tensor: str, compiled: Compiled, check_text: Check
) -> None:
    text = explain(compiled(recipe), "recipe", tensor=tensor)
    check_text(FIXTURES / f"{recipe}.recipe.tensors.txt", text)


@pytest.mark.parametrize("stage", ["syntax", "plan"])
def test_error_of_drawing_what_is_no_graph(stage: Stage, compiled: Compiled) -> None:
    assert message(compiled("quickstart"), stage, format="mermaid") == (
        f"error[MG383]: there is no picture of the stage `{stage}`\n"
        "  = help: the stages recipe, graph and optimized can be drawn"
    )
