"""What a person must know of the board at first sight, what stands still first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from common import audit
from services.orchestrator import render

Facts = Mapping[str, Any]


class Note(NamedTuple):
    """A sentence, and its kind: halted, paused, limit or grin."""

    kind: str
    text: str


def notes(facts: Facts) -> list[Note]:
    """The sentences of `status`, but for the figures that stand above and the commands that the page itself spares."""
    return [*_halted(facts), *_paused(facts), *_limits(facts), *_grin(facts)]


def time_to_go(facts: Facts) -> str:
    """How long it will still take, as a range; empty when nothing is left to do."""
    if not facts["left"]:
        return ""
    between = facts.get("eta_seconds_range")
    return render.span_between(*between) if between else "unknown"


def _halted(facts: Facts) -> Iterator[Note]:
    for stage in facts["stages"]:
        if stage["halted"]:
            yield Note("halted", f"{stage['name']} has halted: {stage['halted']} {stage['cure'] or ''}".rstrip())


def _paused(facts: Facts) -> Iterator[Note]:
    for stage in facts["stages"]:
        if stage["paused"]:
            yield Note("paused", audit.pause_sentence(stage["name"], stage.get("pause") or {}))


def _limits(facts: Facts) -> Iterator[Note]:
    limit = (facts.get("limit") or {}).get("why", "")
    if limit:
        yield Note("limit", f"What limits the line: {limit}")
    for stage in facts["stages"]:
        if stage["limited"] and not limit.startswith(f"{stage['name']} waits"):
            yield Note("limit", f"{stage['name']} waits, because {stage['limited']}.")


def _grin(facts: Facts) -> Iterator[Note]:
    yield from (Note("grin", line) for line in render.grin(facts.get("grin") or {}))
