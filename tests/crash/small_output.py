"""A directory of two shards that is written in a second or killed trying: what all crash tests write."""

import hashlib
from pathlib import Path

from mergegraph.dtypes import DTYPES
from mergegraph.write.digest import TensorDigest
from mergegraph.write.directory import OutputDirectory, commit_all
from mergegraph.write.layout import OutputTensor, plan_layout
from mergegraph.write.manifest import build_manifest
from mergegraph.write.os import REAL

SPECS = [
    ("embed", "bfloat16", (16, 4)),
    ("layers.0.weight", "float32", (8, 8)),
    ("layers.0.steps", "int64", ()),
    ("layers.1.weight", "float32", (8, 8)),
    ("layers.1.none", "float16", (0, 3)),
    ("norm", "bfloat16", (7,)),
]
LAYOUT = plan_layout([OutputTensor(name, DTYPES[dtype], shape) for name, dtype, shape in SPECS], shard_size=400)
VERSIONS = {"mergegraph": "0.1.0", "torch": "2.13.0"}
SMALL = {
    "config.json": b'{"dtype": "bfloat16"}\n',
    "1_Pooling/config.json": b"{}\n",
    "README.md": b"# merged\n",
}


def tensor_bytes(name):
    nbytes = LAYOUT.slot(name).nbytes
    return (hashlib.sha256(name.encode()).digest() * (nbytes // 32 + 1))[:nbytes]


def begin(target, os_=REAL, **options):
    given = {"plan_hash": "p1", "fingerprints": {"a/model.safetensors": "f1"}, "versions": VERSIONS} | options
    return OutputDirectory.create(Path(target), LAYOUT, os_=os_, **given)


def put(out, name, piece=100):
    """Write one tensor in pieces and record it."""
    shard, slot, data = LAYOUT.shard_of[name], LAYOUT.slot(name), tensor_bytes(name)
    digest = TensorDigest()
    for start in range(0, slot.nbytes, piece):
        digest.update(data[start : start + piece])
        out.write(shard, slot.offset + start, data[start : start + piece])
    out.record({name: digest.label})


def small_files(out):
    out.flush()
    manifest = build_manifest(
        recipe="save a to 'out'",
        seed=None,
        save={"path": "out"},
        inputs=(),
        imports={},
        versions=VERSIONS,
        layout=LAYOUT,
        digests=out.done,
        small_files=SMALL,
    )
    return {**SMALL, "mergegraph.json": manifest}


def write_output(target, os_=REAL, after_each=lambda: None, **options):
    """Write the whole output, or what an earlier run left of it; return the tensors that were written."""
    with begin(target, os_, **options) as out:
        missing = [name for name, _, _ in SPECS if name not in out.done]
        for name in missing:
            put(out, name)
            after_each()
        out.commit(small_files(out))
    return missing


def write_pair(folder, os_=REAL, **options):
    """Write two outputs of one run, `out` and `two`."""
    with begin(folder / "out", os_, **options) as first, begin(folder / "two", os_, **options) as second:
        for name, _, _ in SPECS:
            for out in (first, second):
                if name not in out.done:
                    put(out, name)
        commit_all([(out, small_files(out)) for out in (first, second)])


def tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}
