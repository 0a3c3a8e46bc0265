"""The manifest says what was written, and `verify_directory` finds every difference."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mergegraph.diagnostics import render
from mergegraph.dtypes import DTYPES
from mergegraph.write.digest import digest
from mergegraph.write.directory import OutputDirectory
from mergegraph.write.layout import OutputTensor, plan_layout
from mergegraph.write.manifest import InputFile, InputModel, build_manifest
from mergegraph.write.verify import verify_directory

ARRAYS = {"b": np.arange(30, dtype="float32"), "a": np.arange(5, dtype="int8"), "z": np.zeros((2, 0), dtype="float16")}
LAYOUT = plan_layout([OutputTensor(name, DTYPES[str(x.dtype)], x.shape) for name, x in ARRAYS.items()], 100)
FIRST, SECOND = (shard.file for shard in LAYOUT.shards)
SMALL = {"config.json": b"{}\n", "1_Pooling/config.json": b"[]\n", "README.md": b"# merged\n"}
GIVEN = {
    "recipe": "m = model('a')\nsave m to 'out'\n",
    "imports": {"lib/own.merge": "fn f(x) = x"},
    "seed": 42,
    "save": {"path": "out", "dtype": "float32"},
    "inputs": [InputModel("org/a", "0e9e39f", (InputFile("model.safetensors", 1234, "ab" * 32),))],
    "versions": {"torch": "2.13.0", "mergegraph": "0.1.0"},
    "layout": LAYOUT,
    "digests": {name: digest(x.tobytes()) for name, x in ARRAYS.items()},
    "small_files": SMALL,
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin():
    return OutputDirectory.create(Path("out"), LAYOUT, plan_hash="p", fingerprints={}, versions={})


def write_output():
    with begin() as out:
        for name, x in ARRAYS.items():
            out.write(LAYOUT.shard_of[name], LAYOUT.slot(name).offset, x.tobytes())
            out.record({name: GIVEN["digests"][name]})
        out.commit({**SMALL, "mergegraph.json": build_manifest(**GIVEN)})


def found(path="out"):
    return "\n".join(map(render, verify_directory(Path(path))))


HOW = "copy the output again, or run its recipe with `--overwrite`: equal inputs and versions give equal bytes"
AGAIN = f"\n  = help: {HOW}"
EDITED = "\n  = help: if you changed it on purpose, leave it: the weights are checked apart from it" + AGAIN


def edit(path, change):
    manifest = json.loads(Path(path).read_bytes())
    change(manifest)
    Path(path).write_text(json.dumps(manifest))


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 1]))


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_the_manifest_says_everything_and_nothing_of_this_machine():
    write_output()
    shards = {}
    for file in (FIRST, SECOND):
        data = Path("out", file).read_bytes()
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
        shards[file] = {"header": sha256(header), "size": len(data)}
    index = Path("out/model.safetensors.index.json").read_bytes()
    assert json.loads(Path("out/mergegraph.json").read_bytes()) == {
        "format": 1,
        "recipe": {
            "text": GIVEN["recipe"],
            "digest": sha256(GIVEN["recipe"].encode()),
            "imports": {"lib/own.merge": {"text": "fn f(x) = x", "digest": sha256(b"fn f(x) = x")}},
        },
        "seed": 42,
        "save": {"path": "out", "dtype": "float32"},
        "inputs": [
            {
                "source": "org/a",
                "commit": "0e9e39f",
                "files": [{"name": "model.safetensors", "size": 1234, "header_sha256": "ab" * 32}],
            }
        ],
        "versions": {"mergegraph": "0.1.0", "torch": "2.13.0"},
        "shards": shards,
        "tensors": {name: sha256(x.tobytes()) for name, x in ARRAYS.items()},
        "files": {
            "config.json": {"size": 3, "digest": sha256(b"{}\n")},
            "1_Pooling/config.json": {"size": 3, "digest": sha256(b"[]\n")},
            "model.safetensors.index.json": {"size": len(index), "digest": sha256(index)},
        },
    }


def test_equal_runs_have_equal_manifests():
    turned = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in reversed(GIVEN.items())
    }
    assert build_manifest(**turned) == build_manifest(**GIVEN)
    assert build_manifest(**GIVEN | {"seed": 43}) != build_manifest(**GIVEN)


def test_a_written_output_verifies_even_with_its_card_edited():
    write_output()
    Path("out/README.md").write_text("my own words")
    Path("out/notes.txt").write_text("mine")
    assert found() == ""


@pytest.mark.parametrize("name", ["b", "a"])
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_changed_byte_of_a_tensor_is_found(name, where):
    write_output()
    slot, file = LAYOUT.slot(name), LAYOUT.shards[LAYOUT.shard_of[name]].file
    flip(f"out/{file}", slot.offset if where == "first" else slot.offset + slot.nbytes - 1)
    assert found() == (
        f"error[MG623]: these tensors have changed since they were written: `{name}`\n  --> out/{file}{AGAIN}"
    )


def test_everything_that_is_wrong_is_listed():
    write_output()
    Path("out/config.json").write_text("{ }")
    Path("out/1_Pooling/config.json").unlink()
    Path("out", FIRST).unlink()
    with open(f"out/{SECOND}", "ab") as file:
        file.write(b"xyz")
    save_file({"x": ARRAYS["a"]}, "out/extra.safetensors")
    assert found() == (
        "error[MG622]: `config.json` is missing\n"
        f"  --> out/1_Pooling/config.json{AGAIN}\n"
        "error[MG623]: `config.json` has changed since it was written\n"
        f"  --> out/config.json{EDITED}\n"
        f"error[MG622]: `{FIRST}` is missing\n"
        f"  --> out/{FIRST}{AGAIN}\n"
        f"error[MG623]: `{SECOND}` has changed since it was written: "
        "3 bytes after the last tensor belong to none\n"
        f"  --> out/{SECOND}{AGAIN}\n"
        "error[MG622]: no intact file holds these tensors: `a`, `b`, `z`\n"
        f"  --> out{AGAIN}\n"
        "error[MG624]: the manifest does not know these weights: `extra.safetensors`\n"
        "  --> out\n"
        "  = help: move them elsewhere: programs that load the folder may take them for the model's"
    )


def test_another_valid_shard_in_the_place_of_one_is_found():
    write_output()
    save_file({"b": ARRAYS["b"]}, f"out/{FIRST}", {"format": "np"})
    assert found() == (
        f"error[MG623]: the header of `{FIRST}` has changed since it was written\n"
        f"  --> out/{FIRST}{AGAIN}\n"
        "error[MG622]: no intact file holds these tensors: `b`\n"
        f"  --> out{AGAIN}"
    )


def test_a_file_that_grew_is_not_read_to_its_end():
    write_output()
    with open("out/config.json", "ab") as file:
        file.truncate(1 << 40)
    assert found() == (
        "error[MG623]: `config.json` has changed since it was written: "
        "the file is 1,099,511,627,776 bytes long; at most 3 are read\n"
        f"  --> out/config.json{AGAIN}"
    )


WHICH = "  = help: give the folder that the recipe's `save` names, or the OUT of its `run`"
EMPTY = "error[MG620]: there is no `mergegraph.json` here: this is no finished output of MergeGraph\n  --> "


def test_what_is_no_output_does_not_verify():
    Path("empty").mkdir()
    Path("file").write_text("x")
    write_output()
    assert found("nothing") == f"error[MG620]: nothing has this path\n  --> nothing\n{WHICH}"
    assert found("otu") == "error[MG620]: nothing has this path\n  --> otu\n  = help: did you mean `out`?"
    assert found("no/out") == f"error[MG620]: nothing has this path\n  --> no/out\n{WHICH}"
    assert found("empty") == f"{EMPTY}empty\n{WHICH}"
    assert found("file") == f"error[MG620]: this is a file, and an output is a folder\n  --> file\n{WHICH}"
    assert found(".") == f"{EMPTY}.\n  = help: these folders in it are outputs: `out`"


def test_a_partial_output_does_not_verify_even_when_only_the_rename_is_missing(monkeypatch):
    complete = []
    monkeypatch.setattr("mergegraph.write.directory.publish", lambda *_, **__: complete.extend(os.listdir()) or ())
    monkeypatch.setattr("mergegraph.write.directory.clean_up", lambda *_: None)
    write_output()
    (partial,) = {name for name in complete if ".partial-" in name and "lock" not in name}
    for path in (partial, f"{partial}/model", "out"):
        assert found(path) == (
            "error[MG620]: this output is not finished\n"
            f"  --> {path}\n"
            "  = help: continue the run that began it with `--resume`"
        )
    os.rename(f"{partial}/model", "out")
    assert found() == ""


DAMAGED = "the manifest is not as MergeGraph writes it\n  --> out/mergegraph.json" + AGAIN
NEWER = "the manifest is of format 2, and this version reads format 1\n  --> out/mergegraph.json\n  = help: "


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.update(format=2), NEWER + "verify it with the version that wrote it: 0.1.0"),
        (lambda m: m.update(format=2, versions=0), NEWER + "verify it with the version that wrote it"),
        (lambda m: m.update(format="1"), DAMAGED),
        (lambda m: m.update(shards=[]), DAMAGED),
        (lambda m: m["shards"].update({"x": {"size": "1", "header": ""}}), DAMAGED),
        (lambda m: m["files"].update({"../../etc/passwd": {"size": 1, "digest": ""}}), DAMAGED),
        (lambda m: m["files"].update({"/etc/passwd": {"size": 1, "digest": ""}}), DAMAGED),
        (lambda m: m["tensors"].update({"x": 1}), DAMAGED),
        (lambda m: m.pop("files"), DAMAGED),
    ],
)
def test_a_manifest_that_was_tampered_with_is_refused(change, text):
    write_output()
    edit("out/mergegraph.json", change)
    assert found() == f"error[MG621]: {text}"


def test_a_manifest_that_is_no_json_is_refused():
    write_output()
    Path("out/mergegraph.json").write_text("{")
    assert found() == f"error[MG506]: the manifest is not JSON at character 1\n  --> out/mergegraph.json{AGAIN}"
