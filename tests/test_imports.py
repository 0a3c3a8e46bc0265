"""Importing the package, or asking for help, is quick: nothing heavy is loaded."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "dask"}
IMPORT = "import mergegraph"
HELP = """
from mergegraph.cli import main
sys.argv = ["mergegraph", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import", "help"])
def test_nothing_heavy_is_loaded(code):
    script = f"import json, sys\n{code}\nprint()\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "mergegraph" in loaded
    assert not loaded & HEAVY
