"""Ranks and alphas of patterns are those that peft's own matching gives, for any names and patterns."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from peft.utils.other import get_pattern_key

from mergegraph.checkpoint.adapter_config import read_config

PARTS = ["model", "layers", "0", "1", "11", "q_proj", "proj", "self_attn", "k", "mlp", "experts"]
PIECES = [*PARTS, ".", r"\.", ".*", r"\d", "[kq]", "(q|k)_proj", "^", "$", "+", "?", "_", "layers.1", ".q_proj"]

names = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map(".".join)
patterns = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join).filter(lambda text: text[0] not in "+?")
)


@given(names, st.lists(patterns, max_size=4, unique=True))
def test_patterns(name, keys):
    keys = [
        key
        for key in keys
        if not any(double in key for double in ("++", "+?", "?+", "??", "*+", "*?", "^+", "^?", "$+", "$?"))
    ]
    table = {key: rank for rank, key in enumerate(keys, 1)}
    config = read_config(
        {"peft_type": "LORA", "r": 99, "lora_alpha": 99, "rank_pattern": table}, Path("adapter_config.json")
    )
    rank, scale = config.scaling(name, Path("adapter_config.json"))
    assert rank == table.get(get_pattern_key(table, name), 99)
    assert scale == 99 / rank
