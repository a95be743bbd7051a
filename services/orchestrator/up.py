"""`up`: prepares the board, seeds it, runs and supervises all stages on this machine, reaps, shows progress."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from common import board, config, durable, logs, reaper
from common.config import Settings
from common.errors import ConfigError, StageError
from common.health import Check, HealthServer
from common.heartbeat import Heartbeat, worker_name
from services.orchestrator import seeding
from services.orchestrator.collector import registry
from services.orchestrator.progress import Progress
from services.orchestrator.supervisor import Supervisor
from services.orchestrator.view import View

_TURN = 0.2
# The board is counted and the reaper runs this often, in seconds; on a board that is slow to count, so seldom that
# counting takes no more than a twentieth of the time.
_COUNT_EVERY, _COUNT_SHARE = 0.5, 20
_RESEED_EVERY = 60.0
# Beyond the workers' own grace, before they are killed.
_PATIENCE_AT_END = 5.0


@dataclass(frozen=True)
class Orders:
    """What `up` was asked to do."""

    wish: seeding.Wish
    until_drained: bool = False
    no_stages: bool = False
    patience: float = 60.0


def check_stages(settings: Settings) -> None:
    """Ask every stage what keeps it from starting; ConfigError with all of it."""
    problems = [p for row in settings.filters for p in config.stage_class(row)(settings, row).check()]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def prepare(settings: Settings) -> None:
    """Make the board's and the books' folders; ConfigError when that cannot be done."""
    try:
        board.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
        durable.make_dirs(settings.global_.processing_bucket)
    except OSError as error:
        raise ConfigError([f"The board cannot be made: {error.filename}: {error.strerror}."]) from None


class Up:
    """One run of the orchestrator. `run` returns the exit code."""

    def __init__(self, settings: Settings, orders: Orders, secrets: dict[str, str], progress: Progress) -> None:
        self.settings = settings
        self.orders = orders
        self.progress = progress
        self.view = View(settings)
        self.root = settings.global_.pipeline_dir
        self._secrets = secrets
        self._signals = 0
        self._idle_counts = 0
        self._blocked_since: float | None = None
        self._count_at = 0.0
        self._seeded = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> int:
        """Everything, from preparing to the last word."""
        with seeding.Source(self.settings, self.orders.wish) as barcodes:
            self._prepare()
            self._seed(barcodes)
        log = logs.setup(self.root / "logs", "orchestrator", self.heartbeat.worker, stdout=False)
        log.addHandler(self.progress.handler())
        self.reaper = reaper.Reaper(self.root, self.view.paths.values(), self.settings.global_.reap_after)
        self.supervisor = Supervisor(self.settings, self._secrets, self.reaper, log)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        server = self._serve()
        try:
            code = self._loop()
        finally:
            self._end()
            server.close()
            self.heartbeat.leave()
        self.progress.end(self.view)
        return code

    # --- before the loop ---

    def _prepare(self) -> None:
        prepare(self.settings)
        self.heartbeat = Heartbeat(self.root / "workers", worker_name("orchestrator"), stage="orchestrator")
        self.heartbeat.announce()

    def _seed(self, barcodes: Iterator[str]) -> None:
        """Fill the first bucket when it is empty, or with what was asked for by name."""
        wish = self.orders.wish
        first = seeding.bucket_for(self.settings, wish.at)
        if not wish.explicit and board.count(first, board.WAITING, 1):
            return
        try:
            tally = seeding.seed(self.settings, barcodes, first, self.progress.seeding)
        except StageError as error:
            # The books that are on the board already need no list.
            self.progress.say(f"Nothing was seeded: {error.reason} {error.cure}".rstrip())
        else:
            self.progress.seeding(tally)

    def _serve(self) -> HealthServer:
        host, _, port = self.settings.board.listen.rpartition(":")
        checks: dict[str, Check] = {"/healthz": lambda: (True, "ok"), "/readyz": lambda: (True, "ok")}
        server = HealthServer(host, int(port), registry(self.view), checks)
        self.heartbeat.announce(port=server.port, metrics=f"http://{host}:{server.port}/metrics")
        return server

    # --- the loop ---

    def _loop(self) -> int:
        while not self._signals:
            if not self.orders.no_stages:
                self.supervisor.turn()
            if time.monotonic() >= self._count_at:
                began = time.monotonic()
                code = self._look()
                if code is not None:
                    return code
                self._count_at = began + max(_COUNT_EVERY, _COUNT_SHARE * (time.monotonic() - began))
            self._wait(_TURN)
        self.progress.say("Draining: each worker finishes the book it holds. Ctrl-C again makes them hand it back.")
        return 0

    def _look(self) -> int | None:
        """Count, reap, show; the exit code when the run is over."""
        self.reaper.turn(self.heartbeat.beat())
        facts = self.view.status()
        self.progress.show(facts)
        if self.orders.until_drained:
            return self._verdict(facts)
        if time.monotonic() - self._seeded > _RESEED_EVERY:
            self._reseed()
        return None

    def _reseed(self) -> None:
        self._seeded = time.monotonic()
        try:
            with seeding.Source(self.settings, self.orders.wish) as barcodes:
                self._seed(barcodes)
        except StageError as error:
            self.progress.say(f"Nothing was seeded: {error.reason} {error.cure}".rstrip())

    def _verdict(self, facts: dict[str, Any]) -> int | None:
        # A token on its way back to an earlier bucket can be missed by one count, never by two in a row.
        self._idle_counts = self._idle_counts + 1 if facts["left"] == 0 else 0
        if self._idle_counts >= 2:
            return 1 if facts["failed"] else 0
        if not self._is_blocked(facts):
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = time.monotonic()
        elif time.monotonic() - self._blocked_since > self.orders.patience:
            self.progress.say("Nothing can move any more, so this run ends; the books wait where they are.")
            return 3
        return None

    def _is_blocked(self, facts: dict[str, Any]) -> bool:
        """Every book that is left waits before a stage that is halted or paused."""
        stages = {stage["input"]: stage for stage in facts["stages"]}
        busy = [stages[b["name"]] for b in facts["buckets"] if b["name"] in stages and View.in_line(b)]
        return bool(busy) and all(stage["halted"] or stage["paused"] for stage in busy)

    # --- the end ---

    def _end(self) -> None:
        """Stop the workers first, keep the heartbeat alive meanwhile, then return what is left."""
        self.supervisor.stop()
        asked, deadline = self._signals, time.monotonic() + self.settings.global_.grace + _PATIENCE_AT_END
        while self.supervisor.running() and time.monotonic() < deadline:
            self.heartbeat.beat()
            if self._signals > asked:
                asked = self._signals
                self.supervisor.stop()
            self._wait(_TURN)
        self.supervisor.kill()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        os.write(self._wake_write, b"!")

    def _wait(self, seconds: float) -> None:
        if select.select([self._wake_read], [], [], seconds)[0]:
            os.read(self._wake_read, 64)
