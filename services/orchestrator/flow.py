"""What passes each stage, in books and bytes an hour: summed up from what the workers tell, remembered for a day."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from common import durable
from common.heartbeat import Seen, peek

if TYPE_CHECKING:
    from services.orchestrator.view import View

# All in seconds. The workers' files are read this often, or in no more than a twentieth of the time; and what was found
# is kept on the disk this often.
_LOOK_EVERY, _SHARE, _SAVE_EVERY = 5.0, 20, 300.0
# What happened while nobody looked for longer than this is in no rate, neither the books nor the time.
_GAP = 600.0
# A worker that has been gone for so long does not come back.
_GONE = 3600.0
# (A step, and for how long steps are kept.)
_RECENT, _DAY = (60, 900), (300, 86_400)
_ABSURD, _SLOWEST = 2**53, 1e-6
_MOST_BYTES = 4 * 2**20

# The members of a stage's rates: over the last quarter of an hour, and over the last day.
RECENT, DAY = ("books_per_hour", "bytes_per_hour"), ("books_per_hour_day", "bytes_per_hour_day")


class Steps:
    """Sums of each stage by steps of time: seconds that were watched, books and bytes that passed in them."""

    def __init__(self, width: int, kept: int) -> None:
        self.width, self.kept = width, kept
        self.sums: dict[int, dict[str, list[float]]] = {}

    def add(self, now: float, stage: str, seconds: float, books: int, size: int) -> None:
        """So much has passed in the `seconds` before `now`."""
        step = self.sums.setdefault(int(now // self.width), {}).setdefault(stage, [0.0, 0, 0])
        step[:] = [step[0] + seconds, step[1] + books, step[2] + size]

    def rate(self, now: float, stage: str) -> tuple[float, int] | None:
        """Books and bytes an hour in the time that was watched; None when none was."""
        self._forget(now)
        found = [step[stage] for step in self.sums.values() if stage in step]
        seconds, books, size = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0, 0)
        return (round(books / seconds * 3600, 1), round(size / seconds * 3600)) if seconds > 1 else None

    def _forget(self, now: float) -> None:
        """What is too old; and what lies ahead, after the file server's clock was set back."""
        first, latest = (now - self.kept) // self.width, now // self.width
        self.sums = {at: step for at, step in self.sums.items() if first < at <= latest}


class Flow:
    """The rates of each stage, over a quarter of an hour and over a day. Time is the file server's, in seconds."""

    def __init__(self, stages: Iterable[str]) -> None:
        self.stages = tuple(stages)
        self._recent, self._day = Steps(*_RECENT), Steps(*_DAY)
        self._at: float | None = None
        self._workers: dict[str, tuple[int, int, float]] = {}

    def note(self, workers: Iterable[Seen], now: float) -> None:
        """What the workers tell at this moment."""
        elapsed = now - self._at if self._at is not None else -1.0
        self._at = now
        books, sizes, telling = Counter[str](), Counter[str](), set[str]()
        for worker in workers:
            stage, told = worker.facts.get("stage"), _told(worker.facts)
            if stage not in self.stages or told is None:
                continue
            # Whoever was not there at the last look has begun since.
            before = self._workers.get(worker.worker, (0, 0, 0.0))
            books[stage] += max(0, told[0] - before[0])
            sizes[stage] += max(0, told[1] - before[1])
            telling.add(stage)
            self._workers[worker.worker] = (*told, now)
        self._workers = {name: last for name, last in self._workers.items() if abs(now - last[2]) < _GONE}
        if 0 <= elapsed <= _GAP:
            for stage in self.stages:
                if stage in telling or self._day.rate(now, stage):
                    self._recent.add(now, stage, elapsed, books[stage], sizes[stage])
                    self._day.add(now, stage, elapsed, books[stage], sizes[stage])

    def rates(self) -> dict[str, dict[str, float | None]]:
        """The four figures of each stage that anything is known of."""
        found: dict[str, dict[str, float | None]] = {}
        now = self._at or 0.0
        for stage in self.stages:
            recent, day = self._recent.rate(now, stage), self._day.rate(now, stage)
            if recent or day:
                figures = (*(recent or (None, None)), *(day or (None, None)))
                found[stage] = dict(zip((*RECENT, *DAY), figures, strict=True))
        return found

    # --- over a restart ---

    def kept(self) -> dict[str, Any]:
        """All of it, for `take`."""
        return {
            "at": self._at,
            "workers": {name: list(last) for name, last in self._workers.items()},
            "recent": _listed(self._recent),
            "day": _listed(self._day),
        }

    def take(self, kept: Mapping[str, Any]) -> None:
        """Go on from there; ValueError, and nothing is taken, when it is not what `kept` gives."""
        try:
            at = float(_sane(kept["at"]))
            workers = {str(name): _whole(last) for name, last in kept["workers"].items()}
            recent, day = (self._unlisted(kept[name]) for name in ("recent", "day"))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"It is no history of a flow: {error}") from error
        self._at, self._workers = at, workers
        self._recent.sums, self._day.sums = recent, day

    def _unlisted(self, steps: Iterable[Any]) -> dict[int, dict[str, list[float]]]:
        found: dict[int, dict[str, list[float]]] = {}
        for at, stage, *sums in steps:
            if len(sums) != 3:
                raise ValueError("a step has three sums")
            if stage in self.stages:
                found.setdefault(int(_sane(at)), {})[stage] = [_sane(figure) for figure in sums]
        return found


class FlowWatch:
    """The flow of one board, looked at now and then, and kept in a file on it over a restart."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.flow = Flow(row.name for row in view.settings.filters)
        self.path = view.root / "logs" / "flow.json"
        self._look_at, self._saved = 0.0, -_SAVE_EVERY
        self._rates: dict[str, dict[str, float | None]] = {}
        # Torn, hostile or missing: then the history begins now.
        with suppress(OSError, ValueError, RecursionError):
            self.flow.take(json.loads(peek(self.path, _MOST_BYTES)[1]))

    def turn(self) -> dict[str, dict[str, float | None]]:
        """Look if it is time to; the rates."""
        now = time.monotonic()
        if now >= self._look_at:
            self.flow.note(self.view.workers(), self.view.now())
            self._rates = self.flow.rates()
            self._look_at = now + max(_LOOK_EVERY, _SHARE * (time.monotonic() - now))
        if now - self._saved >= _SAVE_EVERY:
            self._saved = now
            self.save()
        return self._rates

    def save(self) -> None:
        """Keep it; a disk that does not take it costs a few minutes of figures and no more."""
        with suppress(OSError):
            durable.write_file(self.path, json.dumps(self.flow.kept()).encode() + b"\n")


def _told(facts: Mapping[str, Any]) -> tuple[int, int] | None:
    """Books and bytes that have passed a worker; None when it does not tell, or nonsense."""
    passed = facts.get("passed")
    if not isinstance(passed, dict):
        return None
    try:
        books, size, _ = _whole([passed.get("books"), passed.get("bytes_out", 0), 0])
    except ValueError:
        return None
    return books, size


def is_sane(figure: object) -> bool:
    """Whether it is a number that can be reckoned with."""
    return isinstance(figure, int | float) and not isinstance(figure, bool) and 0 <= figure < _ABSURD


def is_rate(figure: object) -> bool:
    """Whether a time can be reckoned from it: one book in a hundred years and nothing at all are two things."""
    return is_sane(figure) and (figure == 0 or float(figure) >= _SLOWEST)  # type: ignore[arg-type]


def _sane(figure: Any) -> float:
    if not is_sane(figure):
        raise ValueError("a figure is out of all reason")
    return float(figure)


def _whole(figures: Any) -> tuple[int, int, float]:
    books, size, at = figures
    return int(_sane(books)), int(_sane(size)), _sane(at)


def _listed(steps: Steps) -> list[list[Any]]:
    return [[at, stage, *sums] for at, step in steps.sums.items() for stage, sums in step.items()]
