"""What `up` says while it runs: a live table on a terminal, a plain line now and then in a pipe."""

from __future__ import annotations

import logging
import time
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from common import board
from common.store import is_url
from services.orchestrator import render
from services.orchestrator.view import View

# In a pipe a line is printed when something has changed, at first soon, in a long run seldom; in seconds.
_LINE_FIRST, _LINE_MOST = 2.0, 300.0


class Progress:
    """Speaks to the person in front of `up`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._line_at, self._line_every = 0.0, _LINE_FIRST
        self._line = ""
        self._halts: dict[str, str] = {}
        if self._live:
            self._live.start()

    def say(self, sentence: str) -> None:
        """One sentence, above the table."""
        self._print(f"{time.strftime('%H:%M:%S')}  {render.short(sentence, 1200)}")

    def handler(self) -> logging.Handler:
        """Makes the orchestrator's own warnings visible here."""
        return _Teller(self)

    def show(self, facts: dict[str, Any]) -> None:
        """The board as it is now."""
        self._tell_halts(facts)
        if self._live:
            self._live.update(render.status(facts))
            return
        line = f"{facts['done']} done, {facts['left']} on their way, {facts['failed']} failed | {_depths(facts)}"
        if line != self._line and time.monotonic() >= self._line_at:
            self._line, self._line_at = line, time.monotonic() + self._line_every
            self._line_every = min(_LINE_MOST, self._line_every * 1.3)
            self.say(line)

    def end(self, view: View) -> None:
        """The board once more, and each failed book with its reason."""
        if self._live:
            self._live.stop()
        facts = view.status()
        self._print(render.status(facts))
        if facts["done"]:
            self._print(render.plain(f"Finished books are in {_done_bucket(view)}."))
        failed = [row for row in view.rows(states=[board.FAILED]) if row.state == board.FAILED]
        if failed:
            self._print(f"{len(failed)} failed:")
        for line in render.failures(failed):
            self._print(line)

    def close(self) -> None:
        """Give the terminal back, however the run ends."""
        if self._live:
            self._live.stop()

    def _print(self, what: RenderableType) -> None:
        """A run goes on when nobody listens any more."""
        try:
            self.console.print(what, markup=False, highlight=False, soft_wrap=isinstance(what, str))
        except OSError:
            self.console.quiet = True

    def _tell_halts(self, facts: dict[str, Any]) -> None:
        """A halt is said once when it begins and once when it ends."""
        halted = [stage for stage in facts["stages"] if stage["halted"]]
        now = {stage["name"]: f"{stage['halted']} {stage['cure'] or ''}".strip() for stage in halted}
        for name, sentence in now.items():
            if self._halts.get(name) != sentence:
                self.say(f"{name} has halted: {sentence}")
        for name in self._halts.keys() - now.keys():
            self.say(f"{name} goes on.")
        self._halts = now


class _Teller(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self.progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self.progress.say(record.getMessage())


def _done_bucket(view: View) -> str:
    named = view.settings.global_.done_bucket
    return named if is_url(named) else str(view.settings.base / named)


def _depths(facts: dict[str, Any]) -> str:
    parts = []
    for bucket in facts["buckets"]:
        states = [f"{bucket[state]} {state}" for state in ("working", "deferred", "failed", "held") if bucket[state]]
        parts.append(f"{bucket['name']} {bucket['waiting']}" + (f" ({', '.join(states)})" if states else ""))
    return " | ".join(parts)
