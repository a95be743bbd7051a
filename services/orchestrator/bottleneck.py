"""How long the books on their way will still take, and what limits the line at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.config import Settings
from services.orchestrator.flow import DAY, RECENT, is_rate

# What a stage lets through is told in these windows, the later ones only where the earlier say nothing.
_WINDOWS = (RECENT[0], DAY[0])


def judge(facts: dict[str, Any], settings: Settings, told: object) -> None:
    """Add to what `status` knows: each stage's `flow`, as an orchestrator tells it, `eta_seconds_range` and `limit`."""
    for stage in facts["stages"]:
        stage["flow"] = _flow(told, stage["name"])
    line = _Line(facts, settings)
    in_the_way = line.in_the_way()
    facts["eta_seconds_range"] = None if in_the_way else line.eta()
    limit = in_the_way or line.waiting_for() or line.slowest()
    facts["limit"] = {"stage": limit[0], "why": limit[1]} if limit else None


class _Line:
    """The stages with what lies before each. A limit is a stage and a sentence."""

    def __init__(self, facts: dict[str, Any], settings: Settings) -> None:
        self.buckets = {bucket["name"]: bucket for bucket in facts["buckets"]}
        self.stages = facts["stages"]
        self.left = facts["left"]
        self.remaining = {stage["name"]: self._remaining(stage, settings) for stage in self.stages}
        self.ahead = [stage for stage in self.stages if self.remaining[stage["name"]]]

    def _remaining(self, stage: dict[str, Any], settings: Settings) -> int:
        before = [settings.row(name).input_pipe.name for name in settings.upstream(stage["name"])]
        return sum(self._count(name, "waiting", "working", "deferred") for name in {stage["input"], *before})

    def _count(self, bucket: str, *states: str) -> int:
        return sum(int(self.buckets[bucket][state]) for state in states)

    def eta(self) -> list[int] | None:
        """The least and the most seconds that it may take; None when some stage's rate is not known."""
        found = [seconds for window in _WINDOWS if (seconds := self._longest(window)) is not None]
        return [round(min(found)), round(max(found))] if found else None

    def _longest(self, window: str) -> float | None:
        rates = [(self.remaining[stage["name"]], (stage["flow"] or {}).get(window)) for stage in self.ahead]
        if not all(rate for _, rate in rates):
            return None
        return max((count / rate * 3600 for count, rate in rates if rate), default=0.0)

    # --- what limits it ---

    def in_the_way(self) -> tuple[str, str] | None:
        """What keeps books from ever arriving as long as nobody, or no time, changes it."""
        for state, words in (("halted", "has halted"), ("paused", "is paused")):
            for stage in self.ahead:
                if stage[state]:
                    return stage["name"], f"{stage['name']} {words}; {self._yet(stage)}."
        for stage in self.ahead:
            if not stage["workers"] and (count := self._count(stage["input"], "waiting", "working")):
                return stage["name"], f"{stage['name']} has no worker, and {_books(count)} before it."
        return self._later()

    def _later(self) -> tuple[str, str] | None:
        counts = {stage["name"]: self._count(stage["input"], "deferred") for stage in self.ahead}
        if not self.left or sum(counts.values()) < self.left:
            return None
        most = max(counts, key=lambda name: counts[name])
        return most, f"{_books(self.left)} for a later attempt and nothing else is left, most of it before {most}."

    def waiting_for(self) -> tuple[str, str] | None:
        """A limit that holds a stage back: whose bucket is full, or what else it says."""
        limited = [stage for stage in self.ahead if stage["limited"]]
        for stage in reversed(limited):
            behind = next((other for other in self.stages if other["input"] == stage["output"]), None)
            if behind is not None and str(stage["limited"]).startswith(f"{stage['output']} holds"):
                return behind["name"], f"{stage['name']} waits for {behind['name']}: {stage['limited']}."
        return next(((one["name"], f"{one['name']} waits, because {one['limited']}.") for one in limited), None)

    def slowest(self) -> tuple[str, str] | None:
        """Of the stages that never run out of books the one that needs longest for what is left."""
        known = [stage for stage in self.ahead if stage["flow"] and self._count(stage["input"], "waiting", "working")]
        never_idle = [stage for stage in known if self._count(stage["input"], "waiting") > len(stage["workers"])]
        slowest = max(never_idle or known, key=self._needs, default=None)
        return (slowest["name"], self._slow(slowest)) if slowest else None

    def _needs(self, stage: dict[str, Any]) -> float:
        rate = _rate(stage)
        return self.remaining[stage["name"]] / rate if rate else float("inf")

    def _slow(self, stage: dict[str, Any]) -> str:
        count, rate, workers = self._count(stage["input"], "waiting"), _rate(stage), len(stage["workers"])
        pace = (
            f"lets {f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'} an hour through"
            if rate
            else "has let none through so far"
        )
        crew = f"{workers} worker{'s' * (workers != 1)}"
        return f"{stage['name']} is the slowest: with {crew} it {pace}, and {_books(count)} before it."

    def _yet(self, stage: dict[str, Any]) -> str:
        count = self.remaining[stage["name"]]
        return f"{count:,} book{'s have' if count != 1 else ' has'} yet to pass it"


def _rate(stage: dict[str, Any]) -> float:
    return next((rate for window in _WINDOWS if (rate := (stage["flow"] or {}).get(window))), 0.0)


def _flow(told: object, stage: str) -> dict[str, float | None] | None:
    """A stage's rates among those that an orchestrator has told, which may be anything."""
    figures = told.get(stage) if isinstance(told, Mapping) else None
    if not isinstance(figures, Mapping):
        return None
    return {name: figures.get(name) if is_rate(figures.get(name)) else None for name in (*RECENT, *DAY)}


def _books(count: int) -> str:
    return f"{count:,} book{'s wait' if count != 1 else ' waits'}"
