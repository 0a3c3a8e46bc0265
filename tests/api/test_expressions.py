"""Expressions in Python build the graph that the same text builds, and their errors point into Python."""

import re
from pathlib import Path

import pytest
from families import make_family
from merging import digest

import mergegraph as mg

HERE = Path(__file__).name


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    make_family(tmp_path, models=("base", "a", "b"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(recipe):
    return [save.value for save in recipe._compilation.recipe.saves]


HEAD = 'base = model("./base")\na = model("./a")\nb = model("./b")\n'
PAIRS = [
    ("a + 0.5 * (b - base)", lambda base, a, b: a + 0.5 * (b - base)),
    ("0.6 * a + 0.4 * b", lambda base, a, b: 0.6 * a + b * 0.4),
    ("mean([a, b], weight=[0.25, 0.75])", lambda base, a, b: mg.mean([a, b], weight=[0.25, 0.75])),
    ("base - -(a - base) / 2", lambda base, a, b: base - -(a - base) / 2),
    (
        "ties(a, b, base=base, weight=[0.7, 0.8], density=0.5, normalize=false, lambda=0.9)",
        lambda base, a, b: mg.ties(a, b, base=base, weight=(0.7, 0.8), density=0.5, normalize=False, lambda_=0.9),
    ),
    (
        'base + select { "*.mlp.*": 0.5, "*.bias"?: 0, _: ramp(0.9, 0.4, outside=0.3) } * (a - base)',
        lambda base, a, b: (
            base
            + mg.select({"*.mlp.*": 0.5, "_": mg.ramp(0.9, 0.4, outside=0.3), "*.bias": 0}, optional=["*.bias"])
            * (a - base)
        ),
    ),
    (
        'select { "*.mlp.*": slerp(a, b, t=0.3), _: base }',
        lambda base, a, b: mg.select({"*.mlp.*": mg.slerp(a, b, t=0.3), "_": base}),
    ),
    (
        'stack(a.layers[0..1], b.layers("model.layers")[1..2], a.layers[0..2], rest=base)',
        lambda base, a, b: mg.stack(a.layers[0:1], b.layers("model.layers")[1:2], a.layers[:2], rest=base),
    ),
    ("where(abs(a - base) > 0.001, a, base)", lambda base, a, b: mg.where(mg.abs(a - base) > 0.001, a, base)),
    ("base + (a - base) * ((b - base) <= 0)", lambda base, a, b: base + (a - base) * ((b - base) <= 0)),
    ("base + drop(a - base, density=0.5, seed=3)", lambda base, a, b: base + mg.drop(a - base, density=0.5, seed=3)),
    ("nuslerp(a, b, base=none, weight=[1, 2])", lambda base, a, b: mg.nuslerp(a, b, base=None, weight=[1, 2])),
    (
        "base + mean(trim([a, b] - base, density=0.5))",
        lambda base, a, b: base + mg.mean(mg.trim([a, b] - base, density=0.5)),
    ),
]


@pytest.mark.parametrize(("text", "build"), PAIRS, ids=[text[:30] for text, _ in PAIRS])
def test_python_builds_the_nodes_of_the_text(text, build):
    made = mg.save(build(mg.model("./base"), mg.model("./a"), mg.model("./b")), "out", dtype="float16")
    parsed = mg.parse(f'{HEAD}save {text} to "out" with dtype="float16"\n')
    (ours,), (theirs,) = values(made), values(parsed)
    assert ours is theirs
    (again,) = values(mg.parse(made.text))
    assert again is ours


def test_sweeps_share_one_graph_and_run_like_the_text(folder):
    base, a, b = (mg.model(f"./{name}") for name in ("base", "a", "b"))
    merged = mg.ties(a, b, base=base, density=0.5)
    sweep = mg.together(*(mg.save(mg.slerp(merged, a, t=t), f"t-{t}") for t in (0.25, 0.75)), seed=7)
    assert sweep.text == (
        'seed 7\n\na = model("./a")\nb = model("./b")\nbase = model("./base")\n'
        "value = ties(a, b, base=base, density=0.5)\n\n"
        'save slerp(value, a, t=0.25) to "t-0.25"\nsave slerp(value, a, t=0.75) to "t-0.75"\n'
    )
    one, other = values(sweep)
    assert one.inputs[0] is other.inputs[0]
    result = sweep.run("python", memory="1GB")
    assert [str(path) for path in result.outputs] == ["python/t-0.25", "python/t-0.75"]
    assert result.bytes_read == mg.save(merged, "x").plan("1GB").bytes_read
    mg.parse(sweep.text).run("text", memory="1GB")
    assert digest(folder / "python") == digest(folder / "text")


def test_adapters_and_tokenizers_are_written_as_in_the_text():
    a, b = mg.model("./a"), mg.model("./b")
    tokens = mg.union(a, b, base=a, tokens=[mg.token("<pad>", b)])
    recipe = mg.save(a + mg.lora("./adapter", scale=0.8), "out", tokenizer=tokens, chat_template="auto")
    assert recipe.text.endswith(
        'save a + lora("./adapter", scale=0.8)\n'
        '    to "out" with tokenizer=union(a, b, base=a, tokens=[token("<pad>", b)]), chat_template="auto"\n'
    )
    assert values(mg.parse(recipe.text)) == values(recipe)


def test_a_recipe_tells_of_itself(folder):
    recipe = mg.save(mg.linear(mg.model("./a"), mg.model("./b")), "out")
    assert recipe.check() == ()
    assert "reads" in recipe.explain(memory="1GB").lower()
    assert recipe.explain(tensor="model.norm.weight").startswith("model.norm.weight of out: ")
    plan = recipe.plan("1GB")
    assert plan.figures["bytes_read"] == plan.bytes_read == 2 * plan.bytes_written
    for shown in (recipe, recipe.graph(), recipe.graph("optimized", tensor="model.norm.weight"), plan):
        bundle = shown._repr_mimebundle_()
        assert bundle["text/plain"]
        assert bundle["text/html"]
        assert "<script" not in bundle["text/html"]
    assert recipe.graph().mermaid.startswith("flowchart")
    recipe.graph().save("graph.svg")
    assert Path("graph.svg").read_text().startswith("<svg")
    with pytest.raises(ValueError, match="not a kind of picture"):
        recipe.graph().save("graph.doc")
    Path("recipe.merge").write_text(recipe.text)
    assert values(mg.load("recipe.merge")) == values(recipe)
    assert repr(mg.model("./a") - mg.model("./b")) == "<Delta: ./a - ./b>"


def rendered(function):
    """Return the error of a call, without line numbers."""
    with pytest.raises(mg.MergeGraphError) as caught:
        function()
    return re.sub(r"(┌─ .*?):\d+:", r"\1:LINE:", re.sub(r"(?m)^ *\d* (?=[│┌=])", "", str(caught.value)))


def test_errors_point_into_python():
    a, b = mg.model("./a"), mg.model("./b")
    place = Path(__file__)
    assert rendered(lambda: mg.ties(a, b, base=a, tensity=0.5)) == (
        "error[MG212]: `ties` has no parameter `tensity`\n"
        f"┌─ {place}:LINE:29\n"
        "│     assert rendered(lambda: mg.ties(a, b, base=a, tensity=0.5)) == (\n"
        "│                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ unknown parameter\n"
        "= help: did you mean `density`?\n"
        "= help: write `ties(a, b, …, base=…, weight=…, density=…, normalize=…, lambda=…)`"
    )
    assert "two models can't be added" in rendered(lambda: "ü" and a + b)
    assert f"{place}:LINE:59" in rendered(lambda: "ü" and a + b)
    assert rendered(lambda: mg.scale(a, {"*": 1})).startswith("error[MG291]: a recipe can't hold this dict: {'*': 1}\n")
    assert "error[MG291]: a recipe can't hold this float: nan" in rendered(lambda: mg.scale(a, float("nan")))
    assert "error[MG241]" in rendered(lambda: mg.save(a, "out", dtipe="float16"))
    assert "error[MG501]" in rendered(lambda: mg.save(mg.model("./nope"), "out").check())
    assert "error[MG292]" in rendered(lambda: mg.together(mg.parse('save model("./a") to "x"'), mg.save(a, "out")))
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(a)
    with pytest.raises(TypeError, match="chosen by a range"):
        a.layers[1]
    with pytest.raises(AttributeError, match="tiess"):
        mg.tiess  # noqa: B018


def test_long_chains_are_bound_to_names():
    merged = base = mg.model("./base")
    for _ in range(40):
        merged = mg.lerp(merged, base + 0.5 * (merged - base), 0.5)
    recipe = mg.save(merged, "out")
    (ours,), (again,) = values(recipe), values(mg.parse(recipe.text))
    assert ours is again
