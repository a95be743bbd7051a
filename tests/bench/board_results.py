"""What the bench has measured, and the ratios that are taken from it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from tests.bench.board_forked import Timing
from tests.bench.board_kill import Fate

# Beside the boards of the wanted sizes stands a second one of the smallest size: what differs between those is noise.
CONTROL = 0


@dataclass(frozen=True, order=True)
class Case:
    """What of ours is measured at every size."""

    kind: str
    workers: int
    fsync: bool


@dataclass
class Drained:
    """One board, full and then half drained: claims a second, durable moves a second, seconds to a first claim."""

    claims: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


@dataclass
class Beside:
    """Ours and the libraries at one size, measured in turn: the passes of all of them belong together."""

    size: int
    puts: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Messages put a second, and how many were in when the time was up."""
    theirs: dict[str, dict[int, list[Timing]]] = field(default_factory=dict)
    """By name and number of workers."""
    ours: dict[Case, list[Timing]] = field(default_factory=dict)

    def ratio(self, case: Case, name: str) -> float:
        """Ours to theirs, one worker each: the median over the passes, taken pair by pair; 0 without figures."""
        pairs = zip(self.ours.get(case, []), self.theirs.get(name, {}).get(1, []), strict=False)
        ratios = [ours.rate / theirs.rate for ours, theirs in pairs if theirs.rate]
        return statistics.median(ratios) if ratios else 0.0


@dataclass
class Results:
    """Everything that was measured."""

    sizes: list[int]
    ours: dict[Case, dict[int, list[Timing]]] = field(default_factory=dict)
    drained: dict[int, Drained] = field(default_factory=dict)
    beside: dict[int, Beside] = field(default_factory=dict)
    syncs: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)

    def rate(self, case: Case, size: int) -> float:
        """The median rate of a case."""
        return rate_of(self.ours[case][size])

    def flatness(self, case: Case, size: int) -> float:
        """The rate at this size as a part of that at the smallest: the median over the passes, taken pair by pair."""
        sizes = self.ours[case]
        pairs = zip(sizes[size], sizes[self.sizes[0]], strict=True)
        return statistics.median(one.rate / base.rate for one, base in pairs)

    def is_synced(self, name: str) -> bool:
        """Whether a library waits for the disk when a message is taken; taken as true where nobody could count."""
        counts = self.syncs.get(name)
        return counts is None or counts[1] >= 0.5

    def ratio(self, case: Case, name: str) -> float:
        """Ours to theirs at the size where it is smallest; 0 when nothing was measured."""
        return min(filter(None, (one.ratio(case, name) for one in self.beside.values())), default=0.0)


def rate_of(timings: list[Timing]) -> float:
    """The median rate."""
    return statistics.median(timing.rate for timing in timings)


def as_json(results: Results) -> dict[str, object]:
    """All of it for a program."""
    return {
        "sizes": results.sizes,
        "ours": [
            {**vars(case), "size": size or "control", "passes": [vars(timing) for timing in timings]}
            for case, sizes in results.ours.items()
            for size, timings in sizes.items()
        ],
        "half_drained": {size: vars(one) for size, one in results.drained.items()},
        "beside": [_beside(one) for one in results.beside.values()],
        "fsyncs": results.syncs,
        "kill": {name: vars(fate) for name, fate in results.fates.items()},
        "left_out": results.left_out,
    }


def _beside(one: Beside) -> dict[str, object]:
    return {
        "size": one.size,
        "puts": one.puts,
        "ours": [{**vars(case), "passes": [vars(timing) for timing in passes]} for case, passes in one.ours.items()],
        "theirs": [
            {"name": name, "workers": workers, "passes": [vars(timing) for timing in passes]}
            for name, by_workers in one.theirs.items()
            for workers, passes in by_workers.items()
        ],
    }
