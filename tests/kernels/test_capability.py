"""The bytes do not depend on what vectors a CPU has: run everything with them and without."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
DISPATCHED = " ".join(
    name
    for name in np._core._multiarray_umath.__cpu_dispatch__
    if np._core._multiarray_umath.__cpu_features__.get(name)
)


def _digests(**settings):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **settings}
    program = [sys.executable, "-W", "ignore", str(HERE / "digests.py")]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def usual():
    return _digests()


def test_digests_are_those_of_many_kernels(usual):
    assert len(set(usual.splitlines())) == len(usual.splitlines()) > 25


def test_without_the_vectors_that_torch_would_use(usual):
    assert _digests(ATEN_CPU_CAPABILITY="default") == usual


def test_without_the_vectors_that_numpy_would_use(usual):
    assert _digests(NPY_DISABLE_CPU_FEATURES=DISPATCHED) == usual
