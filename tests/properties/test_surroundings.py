"""Where and when a merge runs changes no byte of it: locale, time zone, hash seed, a clock that goes backward."""

import pytest
from elsewhere import assert_same_bytes_elsewhere
from families import make_family

RECIPE = """seed 3
base = model("./base")
a = model("./a")
b = model("./b")
save della(a, b, base=base, density=0.4, epsilon=0.1) to "one" with shard_size="40KB"
save dare_linear(a, b, base=base, density=0.5) to "two" with dtype="float32", tokenizer=union(a, b)
"""

BACKWARD = """
import itertools, sys, time
backward = itertools.count(int(sys.argv.pop(1)), -3600)
time.time = lambda: float(next(backward))
time.time_ns = lambda: next(backward) * 10**9
"""

WEST = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "America/St_Johns", "PYTHONHASHSEED": "1"}
EAST = {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "4000000000"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    make_family(folder)
    (folder / "r.merge").write_text(RECIPE)
    return folder / "r.merge"


@pytest.mark.parametrize(("variables", "clock"), [(WEST, 0), (EAST, 4_000_000_000)], ids=["west", "east"])
def test_bytes_do_not_depend_on_where_and_when(recipe, tmp_path, variables, clock):
    assert_same_bytes_elsewhere(recipe, tmp_path, BACKWARD, str(clock), variables=variables)
