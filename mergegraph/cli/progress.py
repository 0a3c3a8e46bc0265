"""Show how far a merge is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import click

from mergegraph.cli.show import colour_wanted
from mergegraph.sizes import format_size

if TYPE_CHECKING:
    from mergegraph.plan.plan import Plan

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.1

Report = Callable[[int], None]


@contextmanager
def progress() -> Iterator[Callable[[Plan], Report]]:
    """Give what starts the display for a plan, and ends it when the merge ends; all of it goes to stderr."""
    import sys

    if not colour_wanted(sys.stderr):
        yield lambda plan: _Lines(plan.bytes_read + plan.bytes_written).advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("merging"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def start(plan: Plan) -> Report:
            task = bar.add_task("merging", total=plan.bytes_read + plan.bytes_written)
            return _Gathered(lambda count: bar.advance(task, count), SECONDS_BETWEEN_DRAWINGS).advance

        yield start


class _Gathered:
    """Passes on byte counts a few times a second, however often they come."""

    def __init__(self, show: Report, seconds: float) -> None:
        self._show = show
        self._seconds = seconds
        self._pending = 0
        self._last = time.monotonic()
        self._lock = Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._pending += count
            if time.monotonic() - self._last < self._seconds:
                return
            pending, self._pending, self._last = self._pending, 0, time.monotonic()
        self._show(pending)


class _Lines:
    """Writes a line to stderr every few seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._gathered = _Gathered(self._line, SECONDS_BETWEEN_LINES)

    def advance(self, count: int) -> None:
        self._gathered.advance(count)

    def _line(self, count: int) -> None:
        self._done += count
        seconds = time.monotonic() - self._started
        rate = self._done / seconds if seconds else 0.0
        left = (self._total - self._done) / rate if rate else 0.0
        click.echo(
            f"{format_size(self._done)} of {format_size(self._total)}, {format_size(int(rate))}/s, {left:.0f} s left",
            err=True,
        )
