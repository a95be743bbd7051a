"""One book's whole story as a person reads it: where, why, what to do, every attempt, and what the logs say."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from common import audit, board, listing
from common.ledger import RESETS, Event, last
from services.orchestrator.census import mtime_of
from services.orchestrator.render import plain, size, span
from services.orchestrator.view import View

_COLOURS = {"failed": "red", "deferred": "yellow", "redo": "yellow", "halted": "yellow", "held": "magenta"}
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}
# So many warnings, files and the like are told of an event, and so many signs of any one; --json has all.
_SHOWN, _LONGEST = 10, 1_000
_INDENT = " " * 26
# Members of an event that are told in its first line, and what only the board itself needs.
_BYTES = {"bytes_in": "in", "bytes_out": "out"}
_NEXT = {
    board.FAILED: "Then `grin-pipeline retry {0}`, or `grin-pipeline drop {0}` if it shall not come home.",
    board.DEFERRED: "It is tried again by itself; `grin-pipeline retry {0}` does it now.",
}


@dataclass(frozen=True)
class Story:
    """All that is known of a book."""

    barcode: str
    places: Sequence[listing.Place]
    events: Sequence[Event]
    log: Sequence[Mapping[str, Any]] = ()
    whole: bool = True
    """Whether all of the logs was read for it."""
    done: frozenset[str] = field(default_factory=frozenset)
    """The buckets in which books are done."""
    now: float = 0.0

    @property
    def why(self) -> tuple[str, str]:
        """Why it is where it is, and what a person can do."""
        return audit.reason(self.events, self.places[0].state) if self.places else ("", "")

    def as_dict(self) -> dict[str, Any]:
        """What `show --json` gives."""
        where = [{"bucket": p.bucket.name, "state": p.state, "worker": p.worker} for p in self.places]
        reason, cure = self.why
        told = {"reason": reason, "cure": cure, "log": list(self.log), "log_is_whole": self.whole}
        return {"barcode": self.barcode, "places": where, "events": list(self.events), **told}


def tell(view: View, barcode: str) -> Story:
    """A book's story as the board has it; without what the logs say."""
    places, events = view.story(barcode)
    done = frozenset(path.name for path in view.last)
    return Story(barcode, places, events, done=done, now=view.now())


def story(one: Story) -> RenderableType:
    """The whole story, what matters first."""
    head = [Text(plain(line), style="bold") for line in _head(one)]
    events = [line for event, turn in _rounds(one.events) for line in _event(event, turn)]
    return Group(*head, *events, *_log(one))


# --- the head -------------------------------------------------------------------------------------------------------


def _head(one: Story) -> Iterator[str]:
    where = " and ".join(_where(one, place) for place in one.places) or "is in no bucket at this moment"
    reason, cure = one.why
    state = one.places[0].state if len(one.places) == 1 else ""
    dropped = state == board.DROPPED
    yield f"{one.barcode} {where}{'. ' if dropped else ': '}{reason}" if reason else f"{one.barcode} {where}."
    following = _NEXT.get(state, "").format(shlex.quote(one.barcode))
    yield from [f"What to do: {cure}"] if cure and not dropped else []
    yield from [following] if following else []
    yield from _summary(one.events)


def _where(one: Story, place: listing.Place) -> str:
    if place.state == "seeding":
        return "is registered, and not yet on the board: `grin-pipeline up` or the next seeding places it"
    if place.state == board.DROPPED:
        return "is dropped; `grin-pipeline release` brings it back"
    since, name = mtime_of(place.path), place.bucket.name
    age = "" if since is None or since > one.now else span(one.now - since)
    if place.state == board.DEFERRED:
        return f"is deferred in {name}, due {'now' if age or since is None else f'in {span(since - one.now)}'}"
    words = {
        board.FAILED: f"has failed in {name}{_ago(age)}",
        board.WORKING: f"is being worked on in {name} by {place.worker}",
        board.HELD: f"is held in {name}{age and f' for {age}'}",
        board.WAITING: f"waits in {name}{age and f' for {age}'}",
    }
    return f"is done, in {name}{_ago(age)}" if _is_done(one, place) else words[place.state]


def _is_done(one: Story, place: listing.Place) -> bool:
    return place.state == board.WAITING and place.bucket.name in one.done


def _ago(age: str) -> str:
    return age and f", {age} ago"


def _summary(events: Sequence[Event]) -> Iterator[str]:
    """The book's title, and what it has cost so far."""
    facts = [event["facts"] for event in events if isinstance(event.get("facts"), Mapping)]
    record: Mapping[str, Any] = next(
        (one["record"] for one in reversed(facts) if isinstance(one.get("record"), Mapping)), {}
    )
    if record.get("title"):
        author = f" {record['author_personal']}" if record.get("author_personal") else ""
        yield f"{record['title']}{author}"[:_LONGEST]
    tries = sum(event["event"] == "attempt" for event in events)
    seconds = [event["seconds"] for event in events if isinstance(event.get("seconds"), int | float)]
    came = last(events, "done", stage="downloader") or {}
    if tries:
        size_in = came["facts"].get("bytes_out") if isinstance(came.get("facts"), Mapping) else None
        archive = f", an archive of {size(size_in)}" if isinstance(size_in, int) else ""
        yield f"{tries} attempt{'s' * (tries != 1)}, {_work(sum(seconds))}{archive}"


def _work(seconds: float) -> str:
    return f"{span(seconds) if seconds >= 1 else 'less than a second'} of finished work"


# --- the events -----------------------------------------------------------------------------------------------------


def _rounds(events: Sequence[Event]) -> Iterator[tuple[Event, int]]:
    """Each event, and how many times over its stage is at the book: attempts are counted anew in each round."""
    rounds: dict[Any, int] = {}
    ended: set[Any] = set()
    for event in events:
        kind, stage = event["event"], event.get("stage")
        if kind == "attempt":
            rounds[stage] = rounds.get(stage, 1) + (stage in ended)
            ended.discard(stage)
        elif kind in RESETS and not event.get("late"):
            ended |= {stage} & rounds.keys() if stage is not None else rounds.keys()
        yield event, rounds.get(stage, 1)


def _event(event: Event, turn: int = 1) -> Iterator[Text]:
    number = f" {event['attempt']}" if event.get("attempt") and event["event"] == "attempt" else ""
    number += f" of round {turn}" if number and turn > 1 else ""
    facts = event.get("facts")
    facts = dict(facts) if isinstance(facts, Mapping) else {}
    rest = [f"{event['seconds']} s"] if "seconds" in event else []
    rest += [f"{size(n)} {word}" for key, word in _BYTES.items() if isinstance(n := facts.pop(key, None), int)]
    rest += [f"by {event['by']}"] if event.get("by") else []
    rest += [str(event[key]) for key in ("bucket", "from", "to", "until", "why", "reason") if event.get(key)]
    # A book that is made again by itself needs nobody; if that was in vain, the failure that follows has the cure.
    rest += [f"→ {event['cure']}"] if event.get("cure") and event["event"] != "redo" else []
    rest += [str(event["worker"])] if event.get("worker") else []
    rest += ["(late: it counts for nothing)"] if event.get("late") else []
    head = f"{event.get('time', '')!s:<24}  {event.get('stage', ''):<12} {event['event']}{number}"
    yield Text(plain(f"{head}  {'  '.join(rest)}".rstrip()), style=_COLOURS.get(event["event"], ""))
    for line, style in _facts(facts):
        yield Text(plain(_INDENT + line[:_LONGEST]), style=style)


def _facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a stage told of its work: single figures in one line, then a line a thing, warnings in colour."""
    single = [f"{key}={value}" for key, value in facts.items() if isinstance(value, str | int | float)]
    if single:
        yield "  ".join(single), ""
    for key, value in facts.items():
        things = value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []
        for thing in things[:_SHOWN]:
            yield f"{_singular(key)}: {_thing(thing)}", "yellow" if key == "warnings" else ""
        if len(things) > _SHOWN:
            yield f"{key}: {len(things) - _SHOWN} more (--json has all)", ""


def _singular(key: str) -> str:
    return key.removesuffix("s") if key in ("warnings", "files", "sidecars") else key


def _thing(thing: object) -> str:
    if not isinstance(thing, Mapping):
        return str(thing)
    if isinstance(thing.get("name"), str):
        sized = f"{thing['size']:,} bytes" if isinstance(thing.get("size"), int) else ""
        told = (thing["name"], sized, f"sha256={thing['sha256']}" if thing.get("sha256") else "")
        return "  ".join(filter(None, told))
    return json.dumps(thing, ensure_ascii=False, default=str)


# --- the logs -------------------------------------------------------------------------------------------------------


def _log(one: Story) -> Iterable[Text]:
    """What the ledger has not told already."""
    told = [event.get("reason") for event in one.events]
    log = [line for line in one.log if line.get("traceback") or line.get("message") not in told]
    if log:
        yield Text("In the logs:" if one.whole else "In the logs, of which only the end was read:", style="bold")
    for line in log:
        head = f"{line.get('time', '')!s:<24}  {line.get('stage', '')!s:<12} {line.get('level', '')}"
        cure = f" → {line['cure']}" if line.get("cure") else ""
        said = f"{line.get('message', '')}{cure}"[: 2 * _LONGEST]
        yield Text(plain(f"{head}  {said}"), style=_LEVELS.get(str(line.get("level")), ""))
        for row in str(line.get("traceback") or "").splitlines()[-30:]:
            yield Text(plain(f"{_INDENT}{row[:_LONGEST]}"), style="dim")
