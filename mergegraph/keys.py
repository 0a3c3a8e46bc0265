"""Derive stable random keys from a seed and names."""

from __future__ import annotations

import hashlib


def random_bits_key(seed: int, *parts: str | int) -> int:
    """Return the 64-bit key of `seed` and `parts`, the same in every process.

    Each part enters the SHA-256 with its kind and length, so `("ab", "c")` and `("a", "bc")`, `1` and `"1"` differ.
    """
    digest = hashlib.sha256()
    for part in (seed, *parts):
        kind = b"s" if isinstance(part, str) else b"i"
        data = str(part).encode("utf-8", "surrogatepass")
        digest.update(b"%c%d:%b" % (kind, len(data), data))
    return int.from_bytes(digest.digest()[:8], "little")
