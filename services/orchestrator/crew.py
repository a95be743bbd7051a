"""Who works on a board, what each holds, and what becomes of what the dead ones held. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from common import audit, listing
from common.heartbeat import Seen
from services.orchestrator.view import View, iso

_FACTS = ("stage", "host", "pid", "version", "started", "metrics", "halted", "cure", "limited")


@dataclass(frozen=True)
class Hold:
    """A book in a worker's hands, and since when, by the file server."""

    barcode: str
    bucket: str
    since: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON line."""
        return {**vars(self), "since": iso(self.since)}


@dataclass(frozen=True)
class Hand:
    """A worker: its file's facts, how old its last sign of life is (None when there is no file), what it holds."""

    worker: str
    age: float | None
    alive: bool
    paused: bool
    facts: Mapping[str, Any]
    holds: tuple[Hold, ...]
    takes_back: str
    """Who brings back what it holds, when it is dead; empty when nobody is there to do it."""

    @property
    def fate(self) -> str:
        """What becomes of a dead worker's books, in a sentence."""
        if self.alive:
            return ""
        if not self.holds:
            return "dead; it held no book, and its file is removed after a while"
        books = " and ".join(hold.barcode for hold in self.holds)
        if self.takes_back:
            return f"dead; {books} will wait again in {self.holds[0].bucket} soon, brought back by {self.takes_back}"
        back = f"as soon as `grin-pipeline up` or a worker of {self.holds[0].bucket} runs"
        return f"dead; {books} will wait again in {self.holds[0].bucket} {back}"

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON line."""
        facts = {name: self.facts.get(name) for name in _FACTS}
        age = None if self.age is None else round(self.age, 1)
        holds = [hold.as_dict() for hold in self.holds]
        seen = {"worker": self.worker, "alive": self.alive, "heartbeat_age": age, "paused": self.paused}
        return {**seen, **facts, "holds": holds, "fate": self.fate or None}


def crew(view: View) -> list[Hand]:
    """Every worker that has a heartbeat file or a claim: in the order of the line, the orchestrators last."""
    seen = {worker.worker: worker for worker in view.workers()}
    holds = _holds(view)
    buckets = {row.name: row.input_pipe.name for row in view.settings.filters}
    # A worker brings back what lies in its own stage's bucket, an orchestrator what lies anywhere.
    reapers: dict[str, str] = {}
    for worker in seen.values():
        if view.is_live(worker):
            stage = str(worker.facts.get("stage"))
            for bucket in buckets.values() if stage == "orchestrator" else filter(None, [buckets.get(stage)]):
                reapers.setdefault(bucket, worker.worker)
    order = {name: at for at, name in enumerate(buckets)}
    hands = [_hand(view, name, seen.get(name), tuple(holds.get(name, ())), reapers) for name in seen.keys() | holds]
    return sorted(hands, key=lambda hand: (order.get(str(hand.facts.get("stage")), len(order)), hand.worker))


def _hand(view: View, name: str, seen: Seen | None, holds: tuple[Hold, ...], reapers: Mapping[str, str]) -> Hand:
    facts = dict(seen.facts) if seen else {}
    if not isinstance(facts.get("stage"), str):
        stages = (row.name for row in view.settings.filters if holds and row.input_pipe.name == holds[0].bucket)
        facts["stage"] = next(stages, "")
    alive = seen is not None and view.is_live(seen)
    paused = facts["stage"] in {row.name for row in view.settings.filters} and (
        audit.paused(view.root, facts["stage"]) is not None
    )
    back = reapers.get(holds[0].bucket, "") if holds else ""
    return Hand(name, seen.age if seen else None, alive, paused, facts, holds, back)


def _holds(view: View) -> dict[str, list[Hold]]:
    """The claims of each worker. The rename that makes a claim leaves the mtime, and sets the ctime."""
    found: dict[str, list[Hold]] = {}
    now = view.now()
    for name, path in view.paths.items():
        for claim in listing.claims(path):
            with suppress(FileNotFoundError):
                since = os.lstat(claim.path).st_ctime
                hold = Hold(claim.barcode, name, since, max(0.0, round(now - since, 1)))
                found.setdefault(claim.worker, []).append(hold)
    return found
