"""What units of a plan took when they ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What a unit took when it ran: seconds, the memory of the whole process at its end, and bytes it read."""

    seconds: float
    memory_bytes: int
    bytes_read: int


NOT_RUN = Measured(0.0, 0, 0)
"""A unit that an earlier run had finished."""
