"""Keep Python's collector of cycles from work that finds nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause the collector of cycles: a graph that grows to millions of objects has none, and is walked again and again.

    It is also a decorator. Afterwards the collector runs if it ran before.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()


def resume_collection() -> None:
    """Let a collector that does not run do so, over what is made from now on: what is loaded stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
