"""The page in pieces: each is HTML with an id, so that the live page replaces only what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader

from common import board
from services.orchestrator import render
from services.orchestrator.causes import Causes
from services.orchestrator.choosing import DONE
from services.orchestrator.page import words
from services.orchestrator.page.columns import Columns
from services.orchestrator.page.notes import notes, time_to_go
from services.orchestrator.page.story import details
from services.orchestrator.view import View

# All who look at the page share one look at the board in so many seconds.
_SHARED = 0.5
# The loop counts twice a second, a very large board seldom; figures older than this, in seconds, are told to be old.
_OLD = 30.0
# So many causes are shown, and so many ledgers are read at one look, each of which somebody waits for.
_CAUSES, _READ = 30, 200
SIGNS = {
    board.WAITING: "○",
    board.WORKING: "▶",
    board.DEFERRED: "◷",
    board.FAILED: "✕",
    board.HELD: "‖",
    board.DROPPED: "⌀",
    DONE: "✓",
}


def environment() -> Environment:
    """The templates; everything is escaped."""
    made = Environment(
        loader=PackageLoader("services.orchestrator.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        words.plain,
        words.short,
        words.brief,
        words.ago,
        words.since,
        words.code,
        words.moment,
        render.span,
        render.size,
    )
    made.filters |= {function.__name__: function for function in filters}
    made.globals |= {"signs": SIGNS, "states": board.STATES, "details": details}
    return made


class Look:
    """One look at the board, as the loop counted it last and as its folders are now."""

    def __init__(
        self, view: View, facts: Callable[[], tuple[Mapping[str, Any], float]], acts: Callable[[], bool]
    ) -> None:
        self.view = view
        self._acts = acts
        self.templates = environment()
        self._facts = facts
        self._columns = Columns(view)
        self._causes = Causes(view, _READ)
        self._lock = threading.Lock()
        self._pieces: dict[str, str] = {}
        self._at = float("-inf")

    def pieces(self) -> dict[str, str]:
        """The HTML of each piece by its id, no older than half a second."""
        with self._lock:
            if time.monotonic() - self._at > _SHARED:
                self._pieces, self._at = self._made(), time.monotonic()
            return self._pieces

    def _made(self) -> dict[str, str]:
        facts, age = self._facts()
        macros: Any = self.templates.get_template("pieces.html").make_module({"acts": self._acts()})
        columns = self._columns.of(facts)
        holds = {card.worker: card for column in columns for card in column.of(board.WORKING)}
        causes = self._causes.groups([board.FAILED])
        failed = sorted(causes, key=lambda cause: -cause.count)
        pieces = {"figures": macros.figures(facts, time_to_go(facts), notes(facts), age > _OLD and words.ago(age))}
        narrow = (facts.get("limit") or {}).get("stage")
        pieces |= {f"bucket-{column.name}": macros.bucket(column, narrow) for column in columns}
        pieces["failed"] = macros.failed(failed[:_CAUSES], facts["failed"], len(failed) - _CAUSES, self._causes.unread)
        pieces["workers"] = macros.workers(facts["stages"], holds)
        pieces["table"] = macros.table(columns)
        return {name: str(html) for name, html in pieces.items()}
