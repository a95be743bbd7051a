"""What KEDA and the autoscaler of Kubernetes make of a ScaledObject, by their documented arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

# How often the autoscaler looks, and what it takes for no difference: its defaults.
SYNC, TOLERANCE = 15, 0.1
# Seconds of a turn.
STEP = 5
# A figure a trigger; None where Prometheus has none.
Figures = dict[str, float | None]


@dataclass
class Autoscaler:
    """KEDA decides between none and one, the autoscaler between one and the most."""

    spec: dict[str, Any]
    replicas: int = 0
    _last_active: float = -math.inf
    _failures: dict[str, int] = field(default_factory=dict)
    _wanted: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def turn(self, now: float, figures: Figures) -> int:
        """The replicas after this turn."""
        if now % self.spec["pollingInterval"] == 0:
            self._keda(now, figures)
        if now % SYNC == 0 and self.replicas:
            self._autoscaler(now, figures)
        return self.replicas

    def _keda(self, now: float, figures: Figures) -> None:
        least, failing = self.spec["minReplicaCount"], None in figures.values()
        if any(figure for figure in figures.values()):
            self._last_active = now
            self.replicas = self.replicas or max(1, least)
        elif failing and self.spec["fallback"]["replicas"]:
            # Stays as it is: what is to be done about it, the autoscaler does.
            return
        elif self.replicas and not least and now > self._last_active + self.spec["cooldownPeriod"]:
            self.replicas = 0
            self._wanted.clear()
            self._changes.clear()
        self.replicas = max(self.replicas, least)

    def _autoscaler(self, now: float, figures: Figures) -> None:
        asked = [self._asked(trigger, figures[trigger["name"]]) for trigger in self.spec["triggers"]]
        known = [one for one in asked if one is not None]
        if not known or (len(known) < len(asked) and max(known) < self.replicas):
            return
        wanted = min(max(*known, self.spec["minReplicaCount"], 1), self.spec["maxReplicaCount"])
        self._wanted = [(at, count) for at, count in self._wanted if at > now - 3600] + [(now, wanted)]
        after = self._paced(now, self._settled(now))
        if after != self.replicas:
            self._changes.append((now, after - self.replicas))
            self.replicas = after

    def _asked(self, trigger: dict[str, Any], figure: float | None) -> int | None:
        name, threshold = trigger["name"], float(trigger["metadata"]["threshold"])
        self._failures[name] = 0 if figure is not None else self._failures.get(name, 0) + 1
        if figure is None:
            fallback = self.spec["fallback"]
            if self._failures[name] <= fallback["failureThreshold"]:
                return None
            assert fallback["behavior"] == "currentReplicasIfHigher"
            figure = threshold * max(fallback["replicas"], self.replicas)
        if abs(figure / (threshold * self.replicas) - 1) <= TOLERANCE:
            return self.replicas
        return math.ceil(figure / threshold)

    def _settled(self, now: float) -> int:
        """Upwards the least that was wanted within the window, downwards the most."""
        up, down = (now - self._rule(which)["stabilizationWindowSeconds"] for which in ("scaleUp", "scaleDown"))
        least = min(count for at, count in self._wanted if at >= up)
        most = max(count for at, count in self._wanted if at >= down)
        return min(max(self.replicas, least), most)

    def _paced(self, now: float, wanted: int) -> int:
        """No more in a period than the policies let."""
        for policy in self._rule("scaleUp")["policies"]:
            wanted = min(wanted, self._at(now - policy["periodSeconds"]) + policy["value"])
        for policy in self._rule("scaleDown")["policies"]:
            wanted = max(wanted, self._at(now - policy["periodSeconds"]) - policy["value"])
        return wanted

    def _at(self, since: float) -> int:
        """The replicas at the beginning of a period."""
        return self.replicas - sum(change for at, change in self._changes if at > since)

    def _rule(self, which: str) -> dict[str, Any]:
        rule: dict[str, Any] = self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"][which]
        assert {policy["type"] for policy in rule["policies"]} == {"Pods"}
        return rule


@dataclass
class Worker:
    """What a worker has in hand: how long that takes in all, and since when it is asked to stop."""

    takes: float = 0
    left: float = 0
    stopping: float | None = None


@dataclass
class Stage:
    """Workers that take books, and the worst choice of whom to stop: the one that would have been busy longest."""

    scaler: Autoscaler
    grace: float
    waiting: list[float] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    handed_back: int = 0
    blind: bool = False
    limited: bool = False
    history: list[int] = field(default_factory=list)

    def figures(self) -> Figures:
        """What the two queries are at this moment."""
        if self.blind:
            return {"waiting": None, "in_line": None}
        in_line = min(1, len(self.waiting) + sum(1 for worker in self.workers if worker.left))
        return {"waiting": 0 if self.limited else len(self.waiting), "in_line": in_line}

    def turn(self, now: float) -> None:
        """Time passes."""
        self._staff(now, self.scaler.turn(now, self.figures()))
        self.history.append(self.scaler.replicas)
        for worker in self.workers:
            self._work(now, worker)
        self.workers = [worker for worker in self.workers if worker.left or worker.stopping is None]

    def _staff(self, now: float, wanted: int) -> None:
        alive = [worker for worker in self.workers if worker.stopping is None]
        self.workers += [Worker() for _ in range(wanted - len(alive))]
        for worker in sorted(alive, key=lambda one: -one.left)[: max(0, len(alive) - wanted)]:
            worker.stopping = now

    def _work(self, now: float, worker: Worker) -> None:
        if worker.left and worker.stopping is not None and now >= worker.stopping + self.grace:
            self.waiting.append(worker.takes)
            worker.left = 0
            self.handed_back += 1
        elif worker.left:
            worker.left = max(0, worker.left - STEP)
            self.done += [worker.takes] if not worker.left else []
        elif worker.stopping is None and self.waiting and not self.limited:
            worker.takes = worker.left = self.waiting.pop(0)

    def since(self, seconds: float, until: float | None = None) -> list[int]:
        """The replicas from a second on."""
        return self.history[int(seconds) // STEP : None if until is None else int(until) // STEP]

    def turns(self) -> list[int]:
        """The replicas at which their number turned, from growing to falling or back."""
        counts = [count for count, _ in groupby(self.history)]
        return [b for a, b, c in zip(counts, counts[1:], counts[2:], strict=False) if (b > a) != (c > b)]

    def stays(self) -> float:
        """The fewest seconds from a time when the replicas grew to the next when they fell."""
        grown, least = -math.inf, math.inf
        for number, (before, after) in enumerate(pairwise(self.history)):
            if after > before:
                grown = number
            elif after < before:
                least = min(least, (number - grown) * STEP)
        return least
