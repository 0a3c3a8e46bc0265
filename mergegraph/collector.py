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
