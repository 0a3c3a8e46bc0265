"""Show how far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import click

from mergegraph.cli.show import colour_wanted
from mergegraph.collector import resume_collection
from mergegraph.diagnostics import escape
from mergegraph.machine import resident_bytes
from mergegraph.sizes import format_size

if TYPE_CHECKING:
    from mergegraph.plan.plan import Plan, Planned, Report

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.1


@dataclass(frozen=True, slots=True)
class _Work:
    """So many bytes to be read and written, some of them by a run before, in so much memory, if that is bounded."""

    total: int
    budget: int | None = None
    before: int = 0

    def memory(self) -> str:
        used = format_size(resident_bytes())
        return used if self.budget is None else f"{used} of {format_size(self.budget)}"


@contextmanager
def progress(verb: str) -> Iterator[Planned]:
    """Give what starts the display for a plan, and ends it when the run ends; all of it goes to stderr."""
    with _display(verb) as start:

        def planned(plan: Plan, before: int) -> Report:
            resume_collection()
            return start(_Work(plan.bytes_read + plan.bytes_written, plan.budget_bytes, before))

        yield planned


@contextmanager
def reading_progress(verb: str) -> Iterator[Callable[[int], Report]]:
    """Give what starts the display for a number of bytes."""
    with _display(verb) as start:
        yield lambda total: start(_Work(total))


@contextmanager
def _display(verb: str) -> Iterator[Callable[[_Work], Report]]:
    if not colour_wanted(sys.stderr):
        yield lambda work: _Lines(work).advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[memory]}"),
        TextColumn("{task.fields[tensor]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)

    def start(work: _Work) -> Report:
        task = bar.add_task(verb, total=work.total, completed=work.before, memory=work.memory(), tensor="")
        bar.start()

        def show(count: int, tensor: str) -> None:
            bar.update(task, advance=count, memory=work.memory(), tensor=escape(tensor))

        return _Gathered(show, SECONDS_BETWEEN_DRAWINGS).advance

    try:
        yield start
    finally:
        bar.stop()


@contextmanager
def downloading(nbytes: int) -> Iterator[Callable[[int], None]]:
    """Show a download of so many bytes for the length of a block, on stderr."""
    if not colour_wanted(sys.stderr):
        arrived = 0

        def line(count: int, _: str) -> None:
            nonlocal arrived
            arrived += count
            click.echo(f"downloaded {format_size(arrived)} of {format_size(nbytes)}", err=True)

        yield partial(_Gathered(line, SECONDS_BETWEEN_LINES).advance, tensor="")
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=nbytes)
        yield lambda count: bar.advance(task, count)


class _Gathered:
    """Passes on byte counts, with the latest tensor, a few times a second, however often they come."""

    def __init__(self, show: Callable[[int, str], None], seconds: float) -> None:
        self._show = show
        self._seconds = seconds
        self._pending = 0
        self._last = time.monotonic()
        self._lock = Lock()

    def advance(self, count: int, tensor: str) -> None:
        with self._lock:
            self._pending += count
            if time.monotonic() - self._last < self._seconds:
                return
            pending, self._pending, self._last = self._pending, 0, time.monotonic()
        self._show(pending, tensor)


class _Lines:
    """Writes a line to stderr every few seconds."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._done = 0
        self._started = time.monotonic()
        self.advance = _Gathered(self._line, SECONDS_BETWEEN_LINES).advance

    def _line(self, count: int, tensor: str) -> None:
        self._done += count
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        done, before = self._work.before + self._done, self._work.before
        left = max(0, self._work.total - done) / rate if rate else 0.0
        click.echo(
            f"{format_size(done)} of {format_size(self._work.total)}"
            f"{f' ({format_size(before)} were done before)' if before else ''}, {format_size(int(rate))}/s, "
            f"{left:.0f} s left, memory {self._work.memory()}, {escape(tensor)}",
            err=True,
        )
