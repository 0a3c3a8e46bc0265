"""What units of a plan took when they ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What a unit took when it ran: seconds, the memory of the process at its end, and bytes it read and wrote."""

    seconds: float
    memory_bytes: int
    bytes_read: int
    bytes_written: int


NOT_RUN = Measured(0.0, 0, 0, 0)
"""A unit that an earlier run had finished."""
