"""Merges of several documents of YAML, of which later ones use earlier ones, against the same merges one by one."""

import torch
from families import make_family, read_model

from mergegraph.compiler import read_recipe
from mergegraph.merge import Options, merge

MIDDLE = "{merge_method: slerp, base_model: ./a, models: [{model: ./b}], parameters: {t: 0.3}, name: middle}"
USES = {
    "tasks": "{merge_method: task_arithmetic, base_model: middle, models: [{model: ./c}], name: tasks}",
    "sliced": """
name: sliced
merge_method: passthrough
slices:
  - sources: [{model: middle, layer_range: [0, 2]}]
  - sources: [{model: ./c, layer_range: [1, 2]}]
  - sources: [{model: middle, layer_range: [1, 2]}]
""",
}


def run(folder, text, name):
    (folder / f"{name}.yml").write_text(text)
    merge(read_recipe(folder / f"{name}.yml"), folder / name, Options(workers=1))


def test_a_merge_that_two_others_use_is_as_one_that_was_written(tmp_path):
    make_family(tmp_path, models=("base", "a", "b", "c"), dtype="float32")
    run(tmp_path, "\n---\n".join([MIDDLE, *USES.values()]), "all")
    assert {path.name for path in (tmp_path / "all").iterdir()} == set(USES)
    run(tmp_path, MIDDLE, "middle")
    for name, text in USES.items():
        run(tmp_path, text.replace("model: middle", "model: ./middle"), name)
        found, expected = read_model(tmp_path / "all" / name), read_model(tmp_path / name)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[tensor], expected[tensor]) for tensor in expected)


def test_one_in_between_is_written_when_a_recipe_asks_for_it(tmp_path):
    make_family(tmp_path, models=("a", "b", "c"), dtype="float32")
    (tmp_path / "both.yml").write_text(f"{MIDDLE}\n---\n{USES['tasks']}")
    (tmp_path / "asked.merge").write_text('import "both.yml"\nsave middle to "middle"\nsave tasks to "tasks"\n')
    merge(read_recipe(tmp_path / "both.yml"), tmp_path / "alone", Options())
    merge(read_recipe(tmp_path / "asked.merge"), tmp_path / "asked", Options())
    run(tmp_path, MIDDLE, "middle")
    for name, expected in (("tasks", tmp_path / "alone"), ("middle", tmp_path / "middle")):
        found, tensors = read_model(tmp_path / "asked" / name), read_model(expected)
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[tensor], tensors[tensor]) for tensor in tensors)
