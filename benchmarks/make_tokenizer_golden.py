"""Remake tests/fixtures/tokenizers: tiny models with tokenizers, and what mergekit 0.1.5 makes of them by every *.yml.

Models that are there are kept. mergekit numbers new tokens differently in every run, so the vocabulary of each output
is kept beside its weights.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mergekit_peer
from _paths import ROOT
from tokenized import OTHER_TEXT, bpe, extended, unigram, vocabulary, write_model

GOLDEN = ROOT / "tests" / "fixtures" / "tokenizers"


def main(names: list[str]) -> int:
    """Remake the outputs of the named configurations, or of all; return how many mergekit refused."""
    if not (GOLDEN / "base").exists():
        make_models(GOLDEN)
    if not (GOLDEN / "d").exists():
        write_model(
            GOLDEN / "d", unigram(50, OTHER_TEXT, ("<s>", "<unk>", "</s>")), 4, bos_token="<s>", eos_token="</s>"
        )
    configs = sorted(GOLDEN.glob("*.yml"))
    return sum(not _merge(config) for config in configs if not names or config.stem in names)


def make_models(folder: Path) -> None:
    """Write four models: a base, two with added tokens of their own, and one with another vocabulary altogether."""
    base = bpe()
    common = {"bos_token": "<s>", "eos_token": "</s>"}
    write_model(folder / "base", base, 0, **common)
    chat = extended(base, plain=["shared"], special=["<|im_start|>", "<|im_end|>"])
    write_model(folder / "a", chat, 1, bos_token="<s>", eos_token="<|im_end|>")
    other = extended(base, plain=["shared", "onlyb"], special=["<|b|>"])
    write_model(folder / "b", other, 2, padding=3, **common)
    write_model(folder / "c", bpe(50, OTHER_TEXT, ("</s>", "<s>", "<c>")), 3, **common)


def _merge(config: Path) -> bool:
    """Run one configuration in its folder, keep weights and vocabulary, and tell whether it worked."""
    target = GOLDEN / "outputs" / config.stem
    with tempfile.TemporaryDirectory() as folder:
        command = mergekit_peer.command(config, Path(folder) / "out")
        done = subprocess.run(command, cwd=GOLDEN, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{config.name}: mergekit refused\n{done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return False
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(Path(folder) / "out" / "model.safetensors", target.with_suffix(".safetensors"))
        made = dict(sorted(vocabulary(Path(folder) / "out").items()))
        target.with_suffix(".json").write_text(json.dumps(made, indent=0, ensure_ascii=False) + "\n")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
