"""One book's whole story, and the list of a bucket, as the page shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from common import audit, board
from common.ledger import Event
from services.orchestrator.choosing import COMMANDS, DONE
from services.orchestrator.view import Row, View

# So many rows of a bucket are listed, and so many of a book's events; `ls` and `show` have all.
_ROWS, _EVENTS = 200, 500
# So many details of an event are told, and so many characters of all events: a page is for reading.
_DETAILS, _CHARACTERS = 40, 400_000
# Members of an event that are told in its sentence, and what only the board itself needs.
_OWN = frozenset({"time", "event", "stage", "attempt", "seconds", "reason", "cure", "version", "claim", "token"})
_BYTES = frozenset({"size", "bytes_in", "bytes_out", "bytes"})


@dataclass(frozen=True)
class Story:
    """Where a book is, why, what to do, and what has happened to it, newest first."""

    barcode: str
    places: list[dict[str, str]]
    reason: str
    cure: str
    events: list[Event]
    older: int = 0

    @property
    def known(self) -> bool:
        """Whether the board has ever heard of it."""
        return bool(self.places or self.events)

    def may(self, name: str) -> bool:
        """Whether a command does something to a book that lies where this one lies."""
        command = COMMANDS[name]
        return any(place["state"] in (*command.bulk, *command.named) for place in self.places)

    def as_dict(self) -> dict[str, Any]:
        """For a client that asks for JSON: the events oldest first, as far as the page shows them."""
        return {"barcode": self.barcode, "places": self.places, "events": self.events[::-1]}


def story(view: View, barcode: str) -> Story:
    """All that is known of a book."""
    found, events = view.story(barcode)
    places = [
        {
            "bucket": place.bucket.name,
            "state": DONE if place.bucket in view.last and place.state == board.WAITING else place.state,
            "worker": place.worker or "",
        }
        for place in found
    ]
    reason, cure = audit.reason(events, found[0].state) if found else ("", "")
    shown = list(_newest(events[-_EVENTS:]))
    return Story(barcode, places, reason, cure, shown, len(events) - len(shown))


def _newest(events: list[Event]) -> Iterator[Event]:
    room = _CHARACTERS
    for event in reversed(events):
        yield event
        room -= len(str(event))
        if room < 0:
            return


def details(event: Event) -> list[tuple[str, str]]:
    """What an event tells beside its sentence, the facts of a stage one by one; nothing that is empty or none."""
    facts = event.get("facts")
    found = [(key, value) for key, value in event.items() if key not in _OWN and key != "facts"]
    found += list(facts.items()) if isinstance(facts, Mapping) else []
    told = ((str(key), _told(str(key), value)) for key, value in found if value not in (None, "", [], {}, 0))
    return list(islice(told, _DETAILS))


def _told(key: str, value: object) -> str:
    if key in _BYTES and isinstance(value, int):
        return f"{value:,} bytes"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def bucket_rows(view: View, name: str, state: str) -> tuple[list[Row], bool]:
    """Some tokens of a bucket, in one state or in all, and whether there are more."""
    states = [state] if state in board.STATES else board.STATES
    if state == DONE:
        states = [board.WAITING]
    rows = list(islice(view.rows(name, states), _ROWS + 1))
    return rows[:_ROWS], len(rows) > _ROWS
