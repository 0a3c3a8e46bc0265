"""The figures of a plan, against what is on disk and what the recipes mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import write_model
from safetensors import safe_open

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Source
from mergegraph.plan.plan import Plan
from mergegraph.report.plan_json import plan_json, units_json
from mergegraph.report.plan_text import plan_text
from mergegraph.sizes import format_size

Planned = Callable[..., Plan]
FIXTURES = Path(__file__).parent.parent / "fixtures" / "recipes"


def sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each tensor of a model, by safetensors' own reader."""
    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name).nbytes for name in opened.keys()}  # noqa: SIM118
    return found


def test_inputs_and_outputs_are_those_on_disk(
    compiled: Callable[[str], Compilation], planned: Planned, family: Path
) -> None:
    compilation = compiled("nested")
    found = plan_json(compilation, planned(compilation))
    whole = sizes(family / "base")
    merged = sum(size for name, size in whole.items() if ".self_attn." not in name)
    total = sum(whole.values())
    assert [(model["name"], model["source"]) for model in found["inputs"]] == [
        ("base", "./base"),
        ("a", "./a"),
        ("b", "./b"),
    ]
    assert [model["used"] for model in found["inputs"]] == [total, merged, merged]
    assert all((m["nbytes"], m["tensors"], m["files"]) == (total, len(whole), 2) for m in found["inputs"])
    assert found["outputs"] == [
        {"path": "nested", "tensors": len(whole), "nbytes": total, "dtypes": {"bfloat16": total}, "files": 1}
    ]
    assert found["bytes_read"] == found["input_bytes"] == total + 2 * merged
    assert found["bytes_written"] == total


def test_the_keys_that_others_rely_on(compiled: Callable[[str], Compilation], planned: Planned) -> None:
    compilation = compiled("quickstart")
    plan = planned(compilation)
    found = plan_json(compilation, plan)
    kinds: dict[str, Any] = {name: type(value) for name, value in found.items()}
    numbers = ("bytes_read", "bytes_written", "planned_peak_bytes", "lower_bound_bytes", "units", "nodes_before")
    assert all(kinds[name] is int for name in (*numbers, "nodes_after", "baseline_bytes", "budget_bytes", "workers"))
    assert kinds["optimal"] is bool
    assert found["units"] == found["units_resident"] + found["units_streaming"] + found["units_copied"] == 39
    assert found["nodes_before"] == len(compilation.graph.nodes())
    assert found["nodes_after"] == len(compilation.optimized.nodes())


def test_sharing_is_counted_against_runs_of_each_output_alone(
    compiled: Callable[[str], Compilation], planned: Planned, family: Path
) -> None:
    """`chat` needs three models, `final` needs all four: together they are read once."""
    compilation = compiled("multistage")
    found = plan_json(compilation, planned(compilation))
    total = sum(sizes(family / "base").values())
    assert found["bytes_read"] == 4 * total
    assert found["sharing"]["bytes_alone"] == 7 * total
    assert found["sharing"]["operations"] < found["sharing"]["operations_alone"]


def test_two_outputs_that_share_nothing_save_nothing(family: Path, planned: Planned) -> None:
    text = 'a = model("./a")\nb = model("./b")\nsave scale(a, 2) to "x"\nsave scale(b, 2) to "y"\n'
    compilation = Compilation(Source("test.merge", text), family)
    found = plan_json(compilation, planned(compilation))
    assert found["sharing"]["bytes_alone"] == found["bytes_read"]
    assert found["sharing"]["operations_alone"] == found["sharing"]["operations"]
    assert "2 outputs together read 165 KB, one by one 165 KB: nothing saved" in plan_text(
        compilation, planned(compilation)
    )


SOURCES = {
    "meta-llama/Llama-3.1-8B-Instruct": "./base",
    "Alelcv27/Llama3.1-8B-Code": "./a",
    "Alelcv27/Llama3.1-8B-Math-CoT": "./b",
}


@pytest.fixture(scope="module")
def study(tall_family: Path) -> Compilation:
    """Return the study of seventeen outputs, on small models."""
    text = (FIXTURES / "study.merge").read_text(encoding="utf-8")
    for source, local in SOURCES.items():
        text = text.replace(source, local)
    return Compilation(Source("study.merge", text), tall_family)


@pytest.mark.parametrize(
    "name", ["chat_vector", "frankenmerge", "gradient", "multistage", "nested", "own_method", "quickstart"]
)
def test_recipes_are_planned_in_an_order_that_is_proven_to_be_the_best(
    name: str, compiled: Callable[[str], Compilation], planned: Planned
) -> None:
    assert planned(compiled(name)).optimal


def test_seventeen_outputs_are_one_unit_of_least_memory_that_reads_every_input_once(
    study: Compilation, planned: Planned, tall_family: Path
) -> None:
    plan = planned(study)
    assert plan.optimal
    assert plan.bytes_read == sum(sum(sizes(tall_family / model).values()) for model in ("base", "a", "b"))
    assert len(plan.units) == len(sizes(tall_family / "base"))
    assert max(len(unit.targets) for unit in plan.units) == 18


def test_shards_of_an_output_are_counted(family: Path, planned: Planned) -> None:
    text = 'a = model("./a")\nsave scale(a, 2) to "x" with dtype="float32", shard_size="50KB"\n'
    compilation = Compilation(Source("test.merge", text), family)
    (output,) = plan_json(compilation, planned(compilation))["outputs"]
    total = 2 * sum(sizes(family / "a").values())
    assert output["nbytes"] == total
    assert output["dtypes"] == {"float32": total}
    assert total / 50_000 < output["files"] < 2 * total / 50_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Compilation:
    """Return `ties` of two models of one tensor of 4 MB each."""
    folder = tmp_path_factory.mktemp("large")
    values = np.random.default_rng(0).normal(0, 1, (1000, 2000))
    for i, name in enumerate(("base", "a", "b")):
        write_model(folder / name, {"w": torch.from_numpy(values + i).to(torch.bfloat16)})
    text = (
        'base = model("./base")\na = model("./a")\nb = model("./b")\nsave ties(a, b, base=base, density=0.5) to "out"\n'
    )
    return Compilation(Source("large.merge", text), folder)


def test_a_plan_that_streams_says_how_often_it_reads(large: Compilation, planned: Planned) -> None:
    roomy, tight = planned(large), planned(large, memory=348_000_000)
    assert plan_json(large, roomy)["units_streaming"] == 0
    assert plan_json(large, tight)["units_streaming"] == 1
    assert roomy.bytes_read == 3 * 4_000_000
    # A sample reads 16,384 elements of every 262,144, then two phases read everything.
    assert tight.bytes_read == 3 * (2 * 4_000_000 + 2 * 8 * 16_384)
    assert "what is needed of the inputs, once\n" in plan_text(large, roomy)
    assert "what is needed of the inputs, 2.07 times on average\n" in plan_text(large, tight)
    assert "1: 1 computed from inputs that are streamed\n" in plan_text(large, tight)


def test_the_units_of_chosen_tensors(compiled: Callable[[str], Compilation], planned: Planned) -> None:
    compilation = compiled("nested")
    plan = planned(compilation)
    copied, computed = "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"
    found = units_json(compilation, plan, {copied, computed})
    by_name = {unit["writes"][0]["name"]: unit for unit in found["units"]}
    assert by_name.keys() == {copied, computed}
    assert by_name[copied]["program"] is None
    assert [ref["model"] for ref in by_name[copied]["reads"]] == [0]
    assert [ref["model"] for ref in by_name[computed]["reads"]] == [0, 1, 2]
    assert all(plan.units[unit["rank"]].targets[0].name == name for name, unit in by_name.items())
    program = found["programs"][str(by_name[computed]["program"])]
    assert program["phases"][-1]["operations"][-1].startswith("o0 = cast(")


def test_stages_before_the_last_and_reasons_to_hold_or_to_stream_are_told(family: Path, planned: Planned) -> None:
    """A threshold of a whole model takes two passes; both models are read by each, and by the last stage."""
    text = 'base = model("./base")\na = model("./a")\nb = model("./b")\n'
    text += 'save base + trim(a - base, 0.3, scope="model") + trim(b - base, 0.3) to "x"\n'
    compilation = Compilation(Source("test.merge", text), family)
    plan = planned(compilation, planned(compilation).lower_bound_bytes, 1)
    total = sum(sizes(family / "a").values())
    found = plan_json(compilation, plan)
    assert [(stage["units"], stage["bytes_read"], stage["statistics"]) for stage in found["before"]] == [
        (39, 2 * total, 1),
        (39, 2 * total, 1),
    ]
    lines = plan_text(compilation, plan).splitlines()
    assert len([line for line in lines if "for 1 statistic, " in line]) == 2
    assert found["planned_peak_bytes"] == max(stage["planned_peak_bytes"] for stage in found["before"] + [found])
    assert sum(f"fit into the {format_size(found['worker_bytes'])} of a worker" in line for line in lines) == 1
