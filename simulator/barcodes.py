"""Barcodes in the shapes that partner libraries use."""

from __future__ import annotations

import random
from collections.abc import Callable

_ODD_EVERY = 6


def draw_barcodes(seed: int, count: int) -> list[str]:
    """`count` different barcodes, mostly of fourteen digits, every sixth of another shape."""
    rng = random.Random(f"barcodes {seed}")
    found: dict[str, None] = {}
    while len(found) < count:
        number = len(found)
        shape = _ODD[(number // _ODD_EVERY) % len(_ODD)] if number % _ODD_EVERY == _ODD_EVERY - 1 else _fourteen
        found[shape(rng)] = None
    return list(found)


def _fourteen(rng: random.Random) -> str:
    return f"32101{rng.randrange(10**9):09d}"


def _dollar(rng: random.Random) -> str:
    return f"$B{rng.randrange(10**6):06d}"


def _short(rng: random.Random) -> str:
    return f"HV{rng.randrange(10**4):04d}"


def _hyphen(rng: random.Random) -> str:
    return f"W1PD{rng.randrange(10**6):06d}-I{rng.randint(1, 9)}PD{rng.randrange(100):02d}"


_ODD: tuple[Callable[[random.Random], str], ...] = (_dollar, _short, _hyphen)
