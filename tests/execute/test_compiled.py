"""A compiled merge writes the bytes that it writes without compiling, or says why it can't."""

import json
import re
import stat
from dataclasses import replace
from itertools import product

import pytest
import torch
from agreement import agrees
from compiling import compiles
from every_method import EXPRESSIONS, HEADER
from families import make_family, make_odd_family
from merging import digest, run, tight
from safetensors.torch import save_file

from mergegraph.cli.app import run as command
from mergegraph.diagnostics import MergeGraphError
from mergegraph.dtypes import DTYPES
from mergegraph.execute import compiled, library
from mergegraph.execute.agreement import agrees as agrees_plainly
from mergegraph.execute.compiled import compile_programs
from mergegraph.execute.loops import LONGEST, cut
from mergegraph.execute.steps import Segment
from mergegraph.ir.types import TensorType
from mergegraph.kernels.tables import POINTWISE
from mergegraph.plan.program import Instruction, Phase, Place, Program

NO_COMPILER = """\
error[MG460]: no C compiler was found to compile the merge with
  = help: install one, such as Debian's package `gcc`, so that there is a program cc, gcc or clang
  = help: say `--no-compile`: the output has the same bytes"""
METHODS = (
    "ties(a, b, c, base=base, density=0.5)",
    "dare_ties(a, b, c, base=base, density=0.5)",
    "della(a, b, c, base=base, density=0.5, epsilon=0.1)",
    "model_stock(a, b, c, base=base)",
    "slerp(a, b, t=0.3)",
    "linear(a, b, c, weight=[0.8, 0.7, 0.25])",
)
RECIPES = 9
"""Recipes that all methods are spread over."""

TYPES = (
    (make_odd_family, "float16", "bfloat16"),
    (make_family, "float64", "float16"),
    (make_odd_family, "float32", "float32"),
)

TILES = [Place("register", 0), Place("register", 1), Place("register", 2)]
OUT, NUMBER = Place("register", 3), Place("scalar", 0)


def program(tiles, inputs=("float32",), outputs=("float32",)):
    """Return a program of one phase."""
    types = [tuple(TensorType(DTYPES[name], (1000,)) for name in names) for names in (inputs, outputs)]
    phase = Phase(tuple(range(len(inputs))), tuple(range(len(outputs))), False, False, tuple(tiles), ())
    return Program(
        shape=(1000,),
        inputs=types[0],
        matrices=(),
        outputs=types[1],
        shares=(),
        written=(),
        given=0,
        prologue=(),
        phases=(phase,),
        registers=4,
        register_bound=4,
        scalars=1,
        scratch=0,
        state_bytes=0,
    )


@pytest.mark.parametrize("expression", METHODS)
def test_a_method_writes_the_same_bytes(tmp_path, expression):
    if not compiles():
        return
    make_family(tmp_path, dtype="bfloat16", hidden=128)
    text = f'{HEADER}save {expression} to "out"'
    run(tmp_path, text, tmp_path / "eager" / "out", workers=1)
    result = run(tmp_path, text, tmp_path / "compiled" / "out", workers=2, memory=tight(), compile=True)
    assert result.compiled_loops > 0
    assert result.compile_seconds > 0
    assert not [w for w in result.warnings if w.code == "MG462"]
    assert digest(tmp_path / "eager") == digest(tmp_path / "compiled")


@pytest.mark.parametrize("first", range(RECIPES))
def test_methods_that_share_a_recipe_write_the_same_bytes(tmp_path, first):
    if not compiles():
        return
    make, dtype, to = TYPES[first % 3]
    make(tmp_path, dtype=dtype)
    saves = [f'save {x} to "{i}" with dtype="{to}"' for i, x in enumerate(EXPRESSIONS[first::RECIPES])]
    text = HEADER + "\n".join(saves)
    eager = run(tmp_path, text, tmp_path / "eager")
    result = run(tmp_path, text, tmp_path / "compiled", compile=True)
    assert result.warnings == eager.warnings
    assert digest(tmp_path / "eager") == digest(tmp_path / "compiled")


def test_adapters_have_the_same_bytes(tmp_path):
    if not compiles():
        return
    make_family(tmp_path, dtype="bfloat16")
    merged = "ties(a, b, c, base=base, density=0.5)"
    text = f'{HEADER}for r in [3, 9]: save extract_lora({merged}, base=base, rank=r) to "rank-{{r}}"\n'
    text += f'save extract_lora({merged}, base=base, rank=20, energy=0.7) to "energy"'
    eager = run(tmp_path, text, tmp_path / "eager", workers=1)
    result = run(tmp_path, text, tmp_path / "compiled", workers=2, memory=tight() + 90_000_000, compile=True)
    assert result.compiled_loops > 0
    assert result.warnings == eager.warnings
    assert digest(tmp_path / "eager") == digest(tmp_path / "compiled")


UNARY = ("negate", "abs", "sign", "sqrt", "majority")
FLOATS = ("float64", "float32", "float16", "bfloat16")


def operations(op):
    """Return programs with an operation on tiles, numbers, and numbers that are known when it runs, in all ways."""
    if op == "cast":
        inner = Instruction("cast", OUT, (Place("input", 0),), (("dtype", "float32"),))
        return [program([inner, written(to)], (source,), (to,)) for source, to in product(FLOATS, FLOATS)]
    arity = {"zeros": 0, "where": 3, "clamp": 3}.get(op, 1 if op in UNARY else 2)
    choices = [(tile, -0.7, NUMBER) if arity > 1 else (tile,) for tile in TILES[:arity]]
    found = [given for given in product(*choices) if not given or any(x in TILES for x in given)]
    return [program([Instruction(op, OUT, given, ()), written("float32")]) for given in found]


def written(dtype):
    """Return the instruction that writes a result."""
    return Instruction("cast", Place("output", 0), (OUT,), (("dtype", dtype),))


@pytest.mark.parametrize("op", POINTWISE)
def test_an_operation_gives_the_bits_of_its_kernel(op):
    if not compiles():
        return
    programs = operations(op)
    found = compile_programs(programs)
    assert found.warnings == ()
    for one in programs:
        (segment,), (loop,) = found.steps(one)[0], cut(one.phases[0], one)
        assert agrees(loop, segment)


def test_a_random_mask_is_drawn_in_the_loop():
    if not compiles():
        return
    drawn = [Instruction("random_mask", tile, (0.5, NUMBER), (("shape", (1000,)),)) for tile in TILES[:2]]
    kept = Instruction("multiply", OUT, (TILES[0], 0.5), ())
    masks = program([*drawn, kept, written("float32")])
    found = compile_programs([masks])
    assert found.warnings == ()
    (segment,), (loop,) = found.steps(masks)[0], cut(masks.phases[0], masks)
    assert agrees(loop, segment)


def test_float64_is_rounded_to_16_bits_once():
    cast = Instruction("cast", Place("output", 0), (Place("input", 0),), (("dtype", "bfloat16"),))
    rounded = program([cast, cast], ("float64",), ("bfloat16",))
    found = compile_programs([rounded])
    assert found.steps(rounded) == ((cast, cast),)
    assert found.loops == 0


def test_long_runs_become_several_loops():
    if not compiles():
        return
    add = [Instruction("add", TILES[i % 3], (TILES[i % 2], 0.1 * i), ()) for i in range(LONGEST + 2)]
    long = program([*add, Instruction("cast", Place("output", 0), (TILES[0],), (("dtype", "float32"),))])
    (steps,) = compile_programs([long]).steps(long)
    assert [type(step) for step in steps] == [Segment, Segment]


def test_commands_tell_what_compiling_took(tmp_path, monkeypatch, capsys):
    if not compiles():
        return
    make_family(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.merge").write_text(f'{HEADER}save lerp(a, b, t=0.3) to "out"')
    assert command(["run", "t.merge", "--compile"]) == 0
    assert re.match(r"out: compiled in \d+\.\d s, read ", capsys.readouterr().out)
    assert command(["run", "t.merge", "--compile", "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["compile_seconds"] > 0
    assert command(["explain", "t.merge", "--compile", "--analyze"]) == 0
    assert re.search(r"\ncompiled  1 loop in \d+\.\d\d seconds\n", capsys.readouterr().out)


def test_loops_that_give_other_bits_are_not_used(tmp_path, monkeypatch):
    if not compiles():
        return
    make_family(tmp_path, dtype="float32")
    text = f'{HEADER}save linear(a, b, c, weight=[0.8, 0.7, 0.25]) to "out"'
    run(tmp_path, text, tmp_path / "eager" / "out")
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-ffp-contract=fast", "-ffast-math"))
    result = run(tmp_path, text, tmp_path / "compiled" / "out", compile=True)
    assert str(MergeGraphError(*result.warnings)) == (
        "warning[MG462]: 1 of 1 compiled loops give other bits than they should, and are not used\n"
        "  = help: the output is as it should be; another C compiler may make it faster"
    )
    assert digest(tmp_path / "eager") == digest(tmp_path / "compiled")


def test_a_machine_without_compiler(tmp_path, monkeypatch):
    make_family(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, f'{HEADER}save lerp(a, b, t=0.3) to "out"', tmp_path / "out", compile=True)
    assert str(caught.value) == NO_COMPILER
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "base", "c"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'cc1: error: unknown value' >&2; exit 1", "cc1: error: unknown value"),
        ("exit 3", "it ended with 3"),
        (": > ${@: -1}", "loops.so: file too short"),
    ],
)
def test_a_compiler_that_fails(tmp_path, monkeypatch, script, reason):
    make_family(tmp_path)
    compiler = tmp_path / "bin" / "cc"
    compiler.parent.mkdir()
    compiler.write_text(f"#!/bin/bash\n{script}\n")
    compiler.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(compiler.parent))
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, f'{HEADER}save lerp(a, b, t=0.3) to "out"', tmp_path / "out", compile=True)
    assert str(caught.value) == (
        f"error[MG461]: the C compiler failed: {reason}\n  = help: say `--no-compile`: the output has the same bytes"
    )


SCALAR, OTHER = Place("scalar", 1), Place("scalar", 2)
SCANS = {
    "sum": Instruction("sum", NUMBER, (TILES[0],), ()),
    "dot": Instruction("dot", NUMBER, (TILES[0], TILES[1]), ()),
    "count": Instruction("count", NUMBER, (TILES[0],), ()),
    "magnitude_histogram": Instruction("magnitude_histogram", NUMBER, (TILES[0],), ()),
    "magnitude_sample": Instruction("magnitude_sample", NUMBER, (TILES[0],), ()),
    "magnitude_limit": Instruction("magnitude_limit", NUMBER, (TILES[0], SCALAR, OTHER), (("size", 1000),)),
    "packed_mask": Instruction("packed_mask", NUMBER, (TILES[0],), (("size", 1000),)),
    "threshold": Instruction("threshold", OUT, (TILES[0], SCALAR), ()),
    "unpacked_mask": Instruction("unpacked_mask", OUT, (SCALAR,), (("shape", (1000,)),)),
    "spread_rows": Instruction("spread_rows", OUT, (SCALAR,), (("length", 10), ("shape", (1000,)))),
    "column_dot": Instruction("column_dot", NUMBER, (TILES[0], TILES[1]), (("columns", 10),)),
    "spread_columns": Instruction("spread_columns", OUT, (SCALAR,), (("shape", (1000,)),)),
    "row_dot": Instruction("row_dot", NUMBER, (TILES[0], TILES[1]), (("rows", 1),)),
    "row_divergences": Instruction("row_divergences", NUMBER, (TILES[0], TILES[1]), (("rows", 1),)),
    "ranked_mask": Instruction("ranked_mask", OUT, (SCALAR, OTHER, NUMBER, TILES[0]), (("shape", (1000,)),)),
}


@pytest.mark.parametrize("op", SCANS)
def test_a_scan_does_what_its_kernel_does(op):
    if not compiles():
        return
    instruction = SCANS[op]
    tiles = [instruction, written("float32")] if instruction.out == OUT else [instruction]
    one = program(tiles, outputs=("float32",) if instruction.out == OUT else ())
    found = compile_programs([one])
    assert found.warnings == ()
    assert isinstance(found.steps(one)[0][0], Segment)
    loop = next(cut(one.phases[0], one))
    segment = found.steps(one)[0][0]
    idle = replace(segment, function=lambda *nothing: None)
    assert agrees(loop, segment)
    assert not agrees(loop, idle)
    assert agrees_plainly(loop, (segment, segment))
    assert not agrees_plainly(loop, (segment, idle))


ALL = (
    "breadcrumbs_ties(a, b, base=base, density=[0.5, 0.6])",
    "sce(a, b, base=base, select_topk=0.5)",
    "arcee_fusion(base, a)",
    'slerp(a, b, t=0.3, axis="rows")',
    'slerp(a, b, t=0.3, axis="columns")',
    *METHODS,
)


def make_blocks(folder, dtype, shape=(331, 701), *, odd=False):
    """Write models of a tensor that has several blocks, and is no multiple of anything; `odd` ones are not finite."""
    generator = torch.Generator().manual_seed(5)
    base = torch.randn(shape, generator=generator)
    for name in ("base", "a", "b", "c"):
        weight = (base + torch.randn(shape, generator=generator) * 0.01).to(getattr(torch, dtype))
        if odd and name in "ab":
            places = torch.randint(0, weight.numel(), (60,), generator=generator)
            bits = [0x7F80, 0xFF80, 0x7FC0, 0x7F81, 0xFFFF, 0x7FFF]
            weight.view(-1)[places] = torch.tensor(bits).to(torch.uint16).view(torch.bfloat16).repeat(10)
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
        save_file({"w": weight, "v": weight[0].clone()}, folder / name / "model.safetensors")


@pytest.mark.parametrize(("dtype", "shape"), [("bfloat16", (331, 701)), ("float32", (3, 66_001))])
def test_tensors_of_several_blocks(tmp_path, dtype, shape):
    if not compiles():
        return
    make_blocks(tmp_path, dtype, shape)
    text = HEADER + "\n".join(f'save {x} to "{i}"' for i, x in enumerate(ALL))
    run(tmp_path, text, tmp_path / "eager", workers=1)
    result = run(tmp_path, text, tmp_path / "compiled", workers=2, memory=tight() + 60_000_000, compile=True)
    assert not [w for w in result.warnings if w.code == "MG462"]
    assert digest(tmp_path / "eager") == digest(tmp_path / "compiled")


def test_what_is_not_finite_gives_the_same_bytes(tmp_path):
    if not compiles():
        return
    make_blocks(tmp_path, "bfloat16", odd=True)
    text = HEADER + "\n".join(f'save {x} to "{i}"' for i, x in enumerate(ALL) if "arcee" not in x)
    eager = run(tmp_path, text, tmp_path / "eager")
    result = run(tmp_path, text, tmp_path / "compiled", compile=True)
    assert [w.code for w in result.warnings] == ["MG453"]
    assert result.warnings == eager.warnings
    assert digest(tmp_path / "eager") == digest(tmp_path / "compiled")


def test_by_default_what_pays_is_compiled(tmp_path, monkeypatch):
    make_family(tmp_path)
    text = f'{HEADER}save lerp(a, b, t=0.3) to "out"'
    assert run(tmp_path, text, tmp_path / "small" / "out").compiled_loops == 0
    monkeypatch.setattr(compiled, "PAYS", 1000)
    assert run(tmp_path, text, tmp_path / "off" / "out", compile=False).compiled_loops == 0
    result = run(tmp_path, text, tmp_path / "large" / "out")
    assert result.compiled_loops == compiles()
    assert result.warnings == ()
    assert digest(tmp_path / "small") == digest(tmp_path / "large") == digest(tmp_path / "off")


def test_a_compiler_that_fails_is_a_warning_where_nobody_asked(tmp_path, monkeypatch):
    make_family(tmp_path)
    text = f'{HEADER}save lerp(a, b, t=0.3) to "out"'
    run(tmp_path, text, tmp_path / "small" / "out")
    failing = tmp_path / "bin" / "cc"
    failing.parent.mkdir()
    failing.write_text("#!/bin/sh\necho no licence >&2; exit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(compiled, "PAYS", 1000)
    monkeypatch.setenv("PATH", f"{failing.parent}:/bin:/usr/bin")
    result = run(tmp_path, text, tmp_path / "out" / "out")
    assert str(MergeGraphError(*result.warnings)) == (
        "warning[MG461]: the C compiler failed: no licence\n  = help: say `--no-compile`: the output has the same bytes"
    )
    assert digest(tmp_path / "small") == digest(tmp_path / "out")
