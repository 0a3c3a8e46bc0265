"""Read and print sizes in bytes: `5GB` is 5·10⁹, `5GiB` is 5·2³⁰."""

from __future__ import annotations

import re
from fractions import Fraction

_DECIMAL = ("B", "KB", "MB", "GB", "TB", "PB")
_UNITS = {unit.lower(): 1000**i for i, unit in enumerate(_DECIMAL)} | {
    unit.lower(): 1024**i for i, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), start=1)
}
_SIZE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*)\s*")


def parse_size(size: str | int) -> int:
    """Return the bytes that `5GB`, `1.5 GiB`, `700MB` or a plain number mean, parts of a byte dropped.

    Raise ValueError, with a text for the user, for anything else and for sizes under one byte.
    """
    nbytes = size if isinstance(size, int) else _parse(size)
    if nbytes < 1:
        raise ValueError("a size must be at least one byte")
    return nbytes


def _parse(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("a size is a number and a unit, such as 700MB, 5GB or 2GiB")
    number, unit = match.groups()
    factor = _UNITS.get(unit.lower() or "b")
    if factor is None:
        raise ValueError("the units of a size are B, KB, MB, GB, TB and PB, or KiB, MiB, GiB, TiB and PiB")
    return int(Fraction(number) * factor)


def format_size(nbytes: int) -> str:
    """Return a size as people say it, to three digits in decimal units: `4.21 GB`."""
    rounded = int(float(f"{nbytes:.3g}"))
    power = min((len(str(rounded)) - 1) // 3, len(_DECIMAL) - 1)
    return f"{rounded / 1000**power:g} {_DECIMAL[power]}"
