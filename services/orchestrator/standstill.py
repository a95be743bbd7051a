"""Whether anything on the board can still move by itself; if not, why."""

from __future__ import annotations

import time
from typing import Any

from services.orchestrator.view import View


class Standstill:
    """Watches the counts: books that only wait for `patience` seconds, with nobody at work, stand still."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._counts: object = None
        self._since = time.monotonic()

    def reasons(self, facts: dict[str, Any]) -> list[str]:
        """A sentence for each bucket whose books cannot move; none while something moves, or may by itself."""
        counts = [
            (bucket["name"], View.in_line(bucket), bucket["failed"], bucket["held"]) for bucket in facts["buckets"]
        ]
        if counts != self._counts or self._may_move(facts):
            self._counts, self._since = counts, time.monotonic()
        if time.monotonic() - self._since < self.patience:
            return []
        return [self._reason(bucket, stage) for bucket, stage in _waiting(facts)]

    @staticmethod
    def _may_move(facts: dict[str, Any]) -> bool:
        """Some stage that is neither halted nor paused holds a book, or has one that is deferred until later."""
        return any(
            (bucket["working"] or bucket["deferred"]) and not (stage["halted"] or stage["paused"])
            for bucket, stage in _waiting(facts)
        )

    @staticmethod
    def _reason(bucket: dict[str, Any], stage: dict[str, Any]) -> str:
        count = View.in_line(bucket)
        books = f"{count} book{'s' * (count != 1)} in {bucket['name']}"
        if stage["halted"]:
            return f"{books}: {stage['name']} has halted. {stage['halted']}"
        if stage["paused"]:
            return f"{books}: {stage['name']} is paused."
        if stage["limited"]:
            return f"{books}: {stage['name']} waits, because {stage['limited']}."
        return f"{books}: {stage['name']} takes none of them; logs/{stage['name']}.jsonl and .stderr may say why."


def bare(view: View) -> dict[str, Any]:
    """What the end of a run is judged by, from the tokens alone: for when nothing more can be told of the board."""
    buckets, unknown = view.counts(), {"halted": None, "paused": False, "limited": None}
    stages = [{"name": row.name, "input": row.input_pipe.name, **unknown} for row in view.settings.filters]
    failed = sum(bucket["failed"] for bucket in buckets)
    return {"buckets": buckets, "stages": stages, "left": view.left(buckets), "failed": failed}


def _waiting(facts: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Buckets with books before a stage, and that stage."""
    stages = {stage["input"]: stage for stage in facts["stages"]}
    found = [(bucket, stages.get(bucket["name"])) for bucket in facts["buckets"] if View.in_line(bucket)]
    return [(bucket, stage) for bucket, stage in found if stage is not None]
