"""`mergegraph demo`: a first merge without any model at hand."""

from __future__ import annotations

from pathlib import Path

import click

RECIPE = """\
# Two fine-tunes of one base, merged three ways; every input is read once per pass.
base = model("./base")
a = model("./a")
b = model("./b")

save linear(a, b) to "linear"
save ties(a, b, base=base, density=0.5) to "ties"
save slerp(a, b, t=0.3) to "slerp"
"""


@click.command("demo")
@click.argument("folder", default="mergegraph-demo", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Make three small random models, explain a merge, run it.

    All of it goes to FOLDER, `mergegraph-demo` unless it is given.

    \b
    Example:
        mergegraph demo first-merge
    """
    from mergegraph.compiler import read_recipe
    from mergegraph.merge import Options, merge
    from mergegraph.report.explain import explain

    if folder.exists():
        raise click.UsageError(f"`{folder}` exists; give a folder that does not")
    for number, name in enumerate(("base", "a", "b")):
        _random_model(folder / name, number)
    recipe = folder / "demo.merge"
    recipe.write_text(RECIPE, "utf-8")
    compilation = read_recipe(recipe)
    click.echo(f"{RECIPE}\n$ mergegraph explain {recipe}")
    click.echo(explain(compilation, "plan", tensor=None, format="text", memory=None, workers=None))
    click.echo(f"$ mergegraph run {recipe} {folder / 'out'}")
    result = merge(compilation, folder / "out", Options())
    click.echo("\n".join(str(path) for path in result.outputs))


def _random_model(folder: Path, seed: int) -> None:
    """Write a model of four layers whose weights differ from those of seed 0 by small changes."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    base, change = np.random.default_rng(0), np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{i}.mlp.{n}.weight": (256, 256) for i in range(4) for n in ("up_proj", "down_proj")
    }
    shapes |= {"model.embed_tokens.weight": (512, 256), "model.norm.weight": (256,)}
    tensors = {
        name: (0.02 * base.standard_normal(shape) + seed * 0.001 * change.standard_normal(shape)).astype(np.float16)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
