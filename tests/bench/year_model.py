"""The model of a year: GRIN's limits, the line, the volume, the nodes.

Hour by hour: GRIN converts, its pool drops the oldest archives, and the five stages pass on what the narrowest of all
resources lets through, no further than the WIP limits let them; troubles come on days that a seed decides. All that is
put in stands in year_inputs.py, with its source.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Set
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter

from tests.bench import year_inputs as given
from tests.bench.year_inputs import LINE, VOLUMES, Volume

CONVERSIONS, OUTAGE = "GRIN's conversions", "an outage"
_HOUR, _YEAR = 3_600, 24 * 365
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """What is simulated; `lifted`: GRIN has converted all books and keeps them, and nothing goes wrong."""

    nodes: int
    layout: str = "tar"
    volume: str = "EFS, elastic"
    books: int = 1_000_000
    quota: float = given.CONVERSIONS_A_DAY
    lifted: bool = False
    seed: int = 1


@dataclass
class Result:
    """What has come of it; shares are of the time until the last book was home."""

    days: float = math.inf
    home_after_a_year: float = 0.0
    a_day: float = 0.0
    asked_again: float = 0.0
    bounds: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    usd_nodes: float = math.inf
    usd_nodes_paid_while_used: float = math.inf
    usd_volume: float = math.inf


def seconds(layout: str, volume: Volume) -> list[float]:
    """How long each stage's worker has a book: its CPU, each operation's way to the volume and back, the transfers."""
    found = []
    for work in LINE[layout].values():
        waits = work.writes * volume.write_seconds + work.looks * volume.read_seconds
        found.append(work.cpu + waits + (work.written + work.read) / given.NODE_MB_A_SECOND)
    found[0] += given.BOOK_MB / given.DOWNLOAD_MB_A_SECOND
    found[-1] += given.PACKAGE_MB / given.NODE_MB_A_SECOND
    return found


def uses(layout: str, volume: Volume) -> dict[str, float]:
    """What a book takes of each resource."""
    stages = LINE[layout].values()
    taken = seconds(layout, volume)
    written, read = sum(work.written for work in stages), sum(work.read for work in stages)
    return {
        "GRIN's requests": given.REQUESTS_A_BOOK,
        "the link from GRIN": given.BOOK_MB,
        "CPU": sum(work.cpu for work in stages) + given.UP_CPU,
        "workers": sum(taken),
        "the nodes' network": written + read + given.BOOK_MB + given.PACKAGE_MB,
        "the volume's writes": sum(work.writes for work in stages) + given.UP_WRITES,
        "the volume's reads": sum(work.looks for work in stages),
        "MB to the volume": written,
        "MB from the volume": read,
        "metered MB": written + read / 3,
        "WIP limits": max(took / limit for took, limit in zip(taken, (given.KEEP, *given.WIP), strict=True)),
    }


@cache
def capacities(nodes: float, volume: Volume) -> dict[str, float]:
    """What there is of each in a second."""
    return {
        "GRIN's requests": given.REQUESTS_A_SECOND,
        "the link from GRIN": given.LINK_MB_A_SECOND,
        "CPU": nodes * given.NODE_CPUS,
        "workers": nodes * given.NODE_WORKERS,
        "the nodes' network": nodes * given.NODE_MB_A_SECOND,
        "the volume's writes": volume.writes,
        "the volume's reads": volume.reads,
        "MB to the volume": volume.mb_written,
        "MB from the volume": volume.mb_read,
        "metered MB": volume.metered,
        "WIP limits": 1.0,
    }


@cache
def narrowest_of(nodes: float, layout: str, volume: Volume) -> tuple[float, str]:
    """Books a second that the narrowest resource lets through, and which that is."""
    have = capacities(nodes, volume)
    return min((have[name] / use, name) for name, use in uses(layout, volume).items())


class Grin:
    """Conversions and the pool: each hour's archives, how many were made and how many of them nobody has fetched."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.unasked = 0.0 if case.lifted else float(case.books)
        self.queued = self.lost = 0.0
        self.ready = float(case.books) if case.lifted else 0.0
        self.pool: deque[list[float]] = deque([[self.ready, self.ready]])
        self._lying = self.ready
        self._fetched: deque[float] = deque(maxlen=24)

    @property
    def more(self) -> bool:
        """Whether there are books that have not been fetched."""
        return self.unasked + self.queued + self.ready > 1e-6

    def ask(self) -> None:
        """As `up` asks: no more than the pool and the last day's pace can take, nor than the queue."""
        room = given.CONVERTED_POOL + sum(self._fetched) - self.queued - self.ready
        asked = max(0.0, min(self.unasked, room, given.QUEUE_LIMIT - self.queued))
        self.unasked, self.queued = self.unasked - asked, self.queued + asked

    def convert(self) -> None:
        """An hour's conversions; what no longer fits into the pool must be asked for again."""
        made = min(self.queued, self.case.quota / 24)
        self.queued -= made
        self.ready, self._lying = self.ready + made, self._lying + made
        self.pool.append([made, made])
        while not self.case.lifted and self._lying > given.CONVERTED_POOL:
            size, left = self.pool.popleft()
            self.ready, self._lying = self.ready - left, self._lying - size
            self.lost, self.unasked = self.lost + left, self.unasked + left

    def fetch(self, books: float) -> None:
        """The oldest first."""
        self._fetched.append(books)
        self.ready -= books
        for archives in filter(itemgetter(1), self.pool):
            taken = min(books, archives[1])
            archives[1] -= taken
            books -= taken


class Year:
    """One case, hour by hour."""

    def __init__(self, case: Case) -> None:
        self.case, self.grin = case, Grin(case)
        self.volume = VOLUMES[case.volume]
        self.use = uses(case.layout, self.volume)
        self.levels = [0.0] * len(given.WIP)
        self.home = self.hours = 0.0
        self.result = Result()
        self._random = random.Random(case.seed)
        self._out = {} if case.lifted else troubles(self._random)
        self._bounds: Counter[str] = Counter()

    def run(self) -> Result:
        """Until all books are home, or ten years are over."""
        while self.home < self.case.books - 1e-6 and self.hours < 10 * _YEAR and self.case.nodes:
            passed = self._hour(self._out.get(int(self.hours) % _YEAR, _NONE))
            self.hours += passed
            if self.hours <= _YEAR:
                self.result.home_after_a_year = self.home
        return self._told()

    def _hour(self, out: Set[str]) -> float:
        """One hour; how much of it was needed."""
        nodes = max(0, self.case.nodes - ("node" in out))
        budget, narrowest = (0.0, OUTAGE) if "disk" in out or not nodes else self._budget(nodes)
        if "GRIN" not in out:
            self.grin.ask()
        self.grin.convert()
        most = [budget] * (len(self.levels) + 1)
        most[-1] = 0.0 if "store" in out else budget
        for stage in reversed(range(len(self.levels))):
            most[stage] = min(budget, given.WIP[stage] - self.levels[stage] + most[stage + 1])
        flow = fetched = 0.0 if "GRIN" in out else min(self.grin.ready, most[0])
        self.grin.fetch(fetched)
        for stage, level in enumerate(self.levels):
            passed = min(most[stage + 1], level + flow)
            self.levels[stage], flow = level + flow - passed, passed
        self._bounds[self._why(out, narrowest, fetched < most[0] - 1e-9 and self.grin.more)] += 1
        self.home += flow
        return flow / budget if self.home >= self.case.books - 1e-6 and budget else 1.0

    def _why(self, out: Set[str], narrowest: str, starved: bool) -> str:
        if out & {"GRIN", "store"}:
            return OUTAGE
        return CONVERSIONS if starved and narrowest != OUTAGE else narrowest

    def _budget(self, nodes: int) -> tuple[float, str]:
        """Books that the narrowest resource lets through in an hour, and which that is; books differ in size."""
        rate, narrowest = narrowest_of(nodes, self.case.layout, self.volume)
        size = self._random.gauss(1, given.SPREAD / math.sqrt(max(1.0, rate * _HOUR)))
        # GRIN counts requests, not bytes.
        return rate * _HOUR / (1 if narrowest == "GRIN's requests" else max(0.5, size)), narrowest

    def _told(self) -> Result:
        result, rate = self.result, self.home / max(1.0, self.hours) / _HOUR
        have = capacities(self.case.nodes, self.volume)
        result.asked_again = self.grin.lost
        result.used = {name: rate * use / have[name] if have[name] else 0.0 for name, use in self.use.items()}
        total = sum(self._bounds.values())
        result.bounds = {name: count / total for name, count in self._bounds.most_common()}
        if self.home >= self.case.books - 1e-6 and self.home:
            result.days, result.a_day = self.hours / 24, self.home / self.hours * 24
            self._costs()
        return result

    def _costs(self) -> None:
        """USD a book: nodes that are always on, CPU and memory paid only while workers have books, the volume."""
        node = given.NODE_CPUS * given.CPU_HOUR + given.NODE_MEMORY * given.GB_HOUR
        share = max(self.use["CPU"] / given.NODE_CPUS, self.use["workers"] / given.NODE_WORKERS)
        self.result.usd_nodes = self.case.nodes * node * self.hours / self.case.books
        self.result.usd_nodes_paid_while_used = share * node / _HOUR
        volume = self.volume
        moved = self.use["MB to the volume"] * volume.gb_written + self.use["MB from the volume"] * volume.gb_read
        kept = max(volume.least_gb, given.STORED_GB) * volume.gb_month * self.hours / 730
        self.result.usd_volume = moved / 1000 + kept / self.case.books


def troubles(dice: random.Random) -> dict[int, set[str]]:
    """Which are there in which hour of the year."""
    found: dict[int, set[str]] = {}
    for name, trouble in given.OUTAGES.items():
        for part in range(trouble.times):
            # Spread over the year: each has a part of it to itself.
            start = int((part + dice.random()) / trouble.times * (_YEAR - trouble.hours))
            for hour in range(start, start + trouble.hours):
                found.setdefault(hour, set()).add(name.split(",")[0])
    return found
