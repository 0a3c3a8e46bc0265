import subprocess
import sys

import pytest

from mergegraph.keys import random_bits_key


def test_keys_never_change():
    assert random_bits_key(0) == 0xA5B825202135A459
    assert random_bits_key(42, "drop", 7, "model.layers.0.mlp.up_proj.weight") == 0x7E4D62CCD330868F


def test_keys_have_64_bits():
    keys = [random_bits_key(seed) for seed in range(200)]
    assert all(0 <= key < 1 << 64 for key in keys)
    assert max(keys) >> 63


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, "ab", "c"), (0, "a", "bc")),
        ((0, "a", ""), (0, "a")),
        ((0, "", "a"), (0, "a", "")),
        ((0, 1), (0, "1")),
        ((1, 0), (0, 1)),
        ((12,), (1, 2)),
        ((0, -1), (0, 1)),
        ((0, "i1:1"), (0, 1)),
    ],
)
def test_different_parts_give_different_keys(one, other):
    assert random_bits_key(*one) != random_bits_key(*other)


def test_names_with_unpaired_surrogates_have_keys():
    assert random_bits_key(0, "\udc80") != random_bits_key(0, "\udc81")


def test_keys_do_not_load_torch():
    code = "import sys, mergegraph.keys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
