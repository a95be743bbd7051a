"""The states of a library's books at the start, drawn in the shares that real libraries have."""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from simulator.grin.entry import State

STATES = tuple(State)
CODES = {state: code for code, state in enumerate(STATES)}
_GRAIN = 1 << 16
# One library's figures, and a guess at how many conversions had failed.
_SEEN = {
    State.CHECKED_IN: 6970,
    State.NEW: 120,
    State.IN_PROCESS: 2019,
    State.CONVERTED: 6995,
    State.PREVIOUSLY_DOWNLOADED: 91_673,
    State.NOT_AVAILABLE_FOR_DOWNLOAD: 60,
    State.FAILED: 100,
}


def parse_mix(text: str) -> dict[State, float]:
    """`NEW=0.7,FAILED=0.01` as shares; the states that are not named share the rest as real libraries do."""
    parts = (part.partition("=") for part in text.split(","))
    named = {State(state.strip()): float(share) for state, _, share in parts}
    if not all(0 <= share < math.inf for share in named.values()):
        raise ValueError("A share is a number of 0 or more.")
    return named


def shares(named: Mapping[State, float]) -> dict[State, float]:
    """The share of every state; together 1."""
    rest = max(0.0, 1 - sum(named.values()))
    seen = sum(count for state, count in _SEEN.items() if state not in named)
    all_shares = {state: named[state] if state in named else rest * _SEEN[state] / seen for state in STATES}
    total = sum(all_shares.values())
    if total <= 0:
        raise ValueError("The shares of a mix cannot all be 0.")
    return {state: share / total for state, share in all_shares.items()}


def drawn(named: Mapping[State, float], count: int, seed: int, most: Mapping[State, tuple[int, State]]) -> bytearray:
    """The code of each book's state; those above the `most` of their state get the state beside it."""
    edges = list(accumulate(shares(named)[state] * _GRAIN for state in STATES))
    dice = array("H", random.Random(f"states {seed}").randbytes(2 * count))
    # Sorted out once for each face of the dice, or for each throw, whichever is less work.
    table = {
        face: min(bisect_right(edges, face), len(STATES) - 1) for face in (dice if count < _GRAIN else range(_GRAIN))
    }
    states = bytearray(map(table.__getitem__, dice))
    for state, (limit, instead) in most.items():
        _thin(states, CODES[state], max(0, limit), CODES[instead])
    return states


def _thin(states: bytearray, code: int, limit: int, instead: int) -> None:
    kept, place = 0, states.find(code)
    while place >= 0:
        kept += 1
        if kept > limit:
            states[place] = instead
        place = states.find(code, place + 1)
