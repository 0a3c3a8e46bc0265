from types import ModuleType

import pytest
import torch

from mergegraph.kernels import limit, magnitude, random, ranked, rows, sums, threshold


@pytest.fixture(params=["numpy", "torch"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: with the integer arithmetic of CPUs, and with that of other devices."""
    if request.param == "torch":
        for module in (limit, magnitude, random, ranked, rows, sums, threshold):
            _use_torch(module, monkeypatch)


def _use_torch(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(module, "library"):
        monkeypatch.setattr(module, "library", lambda x: torch)
    if hasattr(module, "raw"):
        monkeypatch.setattr(module, "raw", lambda x: x.view(torch.int32))
