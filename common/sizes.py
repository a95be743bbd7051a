"""Sizes as people write them: 20GB, 512MiB, 1.5T or a plain number of bytes."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(I?)B?", re.IGNORECASE)


def parse_size(value: object) -> int:
    """The number of bytes: K, M, G, T, P count in thousands, Ki, Mi, … in 1024s; ValueError says what was expected."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[3] and not match[2]):
        raise ValueError("should be a size such as 20GB, 512MiB or a number of bytes, and not negative")
    unit = 1024 if match[3] else 1000
    return int(float(match[1]) * unit ** " KMGTP".index(match[2].upper() or " "))
