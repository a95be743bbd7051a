"""`pause resume drain`: a pause is a file on the board, so it survives restarts and shows everywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common import audit, listing
from common.board import Claim
from common.config import Settings
from common.errors import ConfigError
from services.orchestrator import terminal
from services.orchestrator.render import span
from services.orchestrator.view import View

# How often a bucket that drains is counted, in seconds.
_LOOK_EVERY = 0.2
# A worker that looked for a pause just before there was one may still claim a book: so long nothing must be claimed.
_SETTLED = 1.0
# So many books that are still in work are named.
_SHOWN = 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pausing:
    """The stages that a person means, all of them when none was named."""

    settings: Settings
    stages: tuple[str, ...]
    by: str
    why: str
    say: Say
    dry_run: bool = False

    def pause(self) -> None:
        """Let the stages claim nothing more."""
        for stage in self.stages:
            before = audit.paused(self._root, stage)
            if before is not None:
                self.say(audit.pause_sentence(stage, before))
            elif self.dry_run:
                self.say(f"{stage} would be paused.")
            else:
                audit.pause(self._root, stage, self.by, self.why)
                self.say(f"{stage} is paused; `grin-pipeline resume {stage}` lets it go on.")
        self._record("pause")

    def resume(self) -> None:
        """Let the stages go on."""
        for stage in self.stages:
            before = audit.paused(self._root, stage)
            if before is None:
                self.say(f"{stage} was not paused.")
            elif self.dry_run:
                self.say(f"{stage} would go on.")
            else:
                audit.resume(self._root, stage)
                self.say(f"{stage} goes on.")
        self._record("resume")

    def drain(self, timeout: float | None) -> bool:
        """Pause, and wait until the stages' workers hold no book; False when that took longer than `timeout`."""
        self.pause()
        if self.dry_run:
            for stage in self.stages:
                self.say(f"{stage}: {terminal.books(len(self._claims(stage)))} to wait for.")
            return True
        try:
            late = self._wait(timeout)
        except KeyboardInterrupt:
            self.say("Interrupted while books were still in work. What is paused stays paused.")
            raise
        for stage in late:
            self._tell_late(stage)
        self._record("drained" if not late else "not drained", late=late or None)
        return not late

    def _wait(self, timeout: float | None) -> list[str]:
        """The stages that are not empty when the time is over."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        waiting = {stage: _Count() for stage in self.stages}
        resumed: list[str] = []
        while waiting:
            for stage, count in list(waiting.items()):
                if audit.paused(self._root, stage) is None:
                    del waiting[stage]
                    resumed.append(stage)
                    self.say(f"{stage} was resumed meanwhile, so it is not drained.")
                    continue
                if count.changed(len(self._claims(stage))) and count.left:
                    self.say(f"{stage}: {terminal.books(count.left)} still in work.")
                if count.settled():
                    del waiting[stage]
                    stays = f"It stays paused until `grin-pipeline resume {stage}`."
                    self.say(f"{stage} is empty: none of its workers holds a book. {stays}")
            if waiting and time.monotonic() >= end:
                break
            time.sleep(_LOOK_EVERY if waiting else 0)
        return [*waiting, *resumed]

    def _tell_late(self, stage: str) -> None:
        """What still works, and whether it lives."""
        ages = {worker.worker: worker.age for worker in View(self.settings).workers()}
        for claim in self._claims(stage)[:_SHOWN]:
            age = ages.get(claim.worker)
            sign = "has no heartbeat file" if age is None else f"gave its last sign of life {span(max(0, age))} ago"
            self.say(f"{stage} still works on {claim.barcode}: {claim.worker} {sign}.")
        self.say(f"{stage} is not empty. It stays paused until `grin-pipeline resume {stage}`.")

    def _claims(self, stage: str) -> list[Claim]:
        return list(listing.claims(self.settings.row(stage).input_pipe))

    def _record(self, command: str, **members: object) -> None:
        if not self.dry_run:
            # A line that a full disk does not take must not make a deed that is done look undone.
            with suppress(OSError):
                audit.record(self._root, command, by=self.by, why=self.why, stages=list(self.stages), **members)

    @property
    def _root(self) -> Path:
        return self.settings.global_.pipeline_dir


class _Count:
    """How many books a stage that drains still has in work, and since when there is none."""

    def __init__(self) -> None:
        self.left = -1
        self._since = time.monotonic()

    def changed(self, left: int) -> bool:
        """Take a new count; whether it is another one than before."""
        if left == self.left:
            return False
        self.left, self._since = left, time.monotonic()
        return True

    def settled(self) -> bool:
        """Whether there has been none for long enough."""
        return self.left == 0 and time.monotonic() - self._since >= _SETTLED


def meant(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """The stages of these names, or all; ConfigError when there is no such stage."""
    known = [row.name for row in settings.filters]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([f"There is no stage {name!r}; there are {', '.join(known)}." for name in unknown])
    return tuple(dict.fromkeys(names)) or tuple(known)
