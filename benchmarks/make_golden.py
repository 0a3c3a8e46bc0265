"""Remake tests/fixtures/mergekit: a tiny family of models, and what mergekit 0.1.5 makes of it by every *.yml there.

Models that are there are kept; only their absence makes new ones. Given names of configurations, remake only those.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mergekit_peer
import torch
from _paths import GOLDEN
from families import make_family
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

WEIGHTS = "model.safetensors"


def main(names: list[str]) -> int:
    """Remake the outputs of the named configurations, or of all; return how many mergekit refused."""
    _make_models(("base", "a", "b", "c"), layers=2, hidden=8, intermediate=12, vocab=20, heads=2, kv_heads=1, seed=20)
    _make_models(("deep_a", "deep_b"), layers=32, hidden=4, intermediate=4, vocab=8, heads=1, kv_heads=1, seed=21)
    _make_t5(("t5_a", "t5_b"))
    _make_towers(("towers_a", "towers_b"))
    configs = sorted(GOLDEN.glob("*.yml"))
    return sum(not _merge(config) for config in configs if not names or config.stem in names)


def _make_models(names: tuple[str, ...], **sizes: int) -> None:
    """Write models, unless they are there, without tokenizers, each as one float32 file."""
    if (GOLDEN / names[0]).exists():
        return
    for folder in make_family(GOLDEN, models=names, dtype="float32", ties=False, **sizes).values():
        for path in folder.iterdir():
            if path.name not in (WEIGHTS, "config.json"):
                path.unlink()


def _make_t5(names: tuple[str, ...]) -> None:
    """Write models of two stacks, unless they are there, each as one float32 file."""
    sizes = {"vocab_size": 8, "d_model": 4, "d_kv": 2, "d_ff": 4, "num_heads": 2}
    config = T5Config(**sizes, num_layers=4, num_decoder_layers=3, feed_forward_proj="gated-gelu")
    for seed, name in enumerate(names):
        if not (GOLDEN / name).exists():
            torch.manual_seed(seed)
            model = T5ForConditionalGeneration(config)
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter)
            model.save_pretrained(GOLDEN / name)
            (GOLDEN / name / "generation_config.json").unlink()


def _make_towers(names: tuple[str, ...]) -> None:
    """Write models of no known architecture, unless they are there: one stack ends with the name of another."""
    layers = [f"{tower}.layers.{n}.weight" for tower in ("encoder", "vision_encoder") for n in range(3)]
    for seed, name in enumerate(names):
        if not (GOLDEN / name).exists():
            torch.manual_seed(seed)
            shapes = dict.fromkeys(
                (*layers, "encoder.norm.weight", "vision_encoder.norm.weight", "proj.weight"), (2, 3)
            )
            (GOLDEN / name).mkdir()
            save_file({key: torch.randn(shape) for key, shape in shapes.items()}, GOLDEN / name / WEIGHTS)
            config = {"architectures": ["TwoTowers"], "model_type": "t5", "d_model": 2, "vocab_size": 3}
            (GOLDEN / name / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _merge(config: Path) -> bool:
    """Run one configuration in its folder, keep weights and config as outputs/NAME, and tell whether it worked."""
    target = GOLDEN / "outputs" / f"{config.stem}.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        command = [*mergekit_peer.command(config, Path(folder) / "out"), "--no-copy-tokenizer"]
        done = subprocess.run(command, cwd=GOLDEN, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{config.name}: mergekit refused\n{done.stderr[-1500:]}", file=sys.stderr)
            return False
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(Path(folder) / "out" / WEIGHTS, target)
        shutil.copyfile(Path(folder) / "out" / "config.json", target.with_suffix(".json"))
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
