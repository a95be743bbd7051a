"""`up`: prepares the board, seeds it, runs and supervises all stages on this machine, reaps, shows progress."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from common import board, durable, logs, reaper, run
from common.config import Settings
from common.errors import ConfigError, StageError, refusal
from common.health import Check, metrics_url
from common.heartbeat import Heartbeat, worker_name
from services.orchestrator.census import Pace
from services.orchestrator.collector import registry
from services.orchestrator.flow import FlowWatch
from services.orchestrator.guarded import Guarded
from services.orchestrator.home import Home
from services.orchestrator.intake import Intake
from services.orchestrator.progress import Progress
from services.orchestrator.seeding import Wish, bucket_for, downloads, seed
from services.orchestrator.standstill import Standstill, bare
from services.orchestrator.supervisor import Supervisor
from services.orchestrator.view import View

if TYPE_CHECKING:
    from services.orchestrator.keeper import Keeper
    from services.orchestrator.page.server import PageServer

_TURN = 0.2
# The board is counted this often, in seconds; one that is slow to count so seldom that counting takes no more than a
# twentieth of the time.
_COUNT_EVERY, _COUNT_SHARE = 0.5, 20
_RESEED_EVERY = 60.0
_PACE_EVERY = 30.0
# A loop that has not turned for this long, in seconds, hangs; counting a very large board is not hanging.
_STUCK = 60.0
# Beyond the workers' own grace, before they are killed.
_PATIENCE_AT_END = 5.0


@dataclass(frozen=True)
class Orders:
    """What `up` was asked to do; `patience` in seconds."""

    wish: Wish
    until_drained: bool = False
    no_stages: bool = False
    patience: float = 60.0


def check_stages(settings: Settings) -> None:
    """Ask every stage what keeps it from starting; ConfigError with all of it."""
    problems = [problem for row in settings.filters for problem in run.problems_of(run.make_stage(settings, row))]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def prepare(settings: Settings) -> None:
    """Make the board's and the books' folders; ConfigError when that cannot be done."""
    run.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
    try:
        durable.make_dirs(settings.global_.processing_bucket)
    except OSError as error:
        raise ConfigError([f"The processing bucket cannot be made: {error.filename}: {refusal(error)}"]) from None


def _keeper(settings: Settings, orders: Orders, home: Home) -> Keeper | None:
    """Who keeps up with GRIN: for a run that has no end, on a line that fetches from there."""
    if orders.until_drained or not downloads(settings):
        return None
    # Imported here: httpx and google-auth take longer to load than `status` takes to run.
    from services.orchestrator.keeper import Keeper  # noqa: PLC0415

    return Keeper(settings, fills=orders.wish.endless(settings), require=home.require)


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
        self._count_at = 0.0
        self._facts: dict[str, Any] | None = None
        self._facts_at = 0.0
        self._trouble = ""
        self._pace, self._paced = Pace(), 0.0
        self._flow = FlowWatch(self.view)
        self._standstill = Standstill(orders.patience)
        self._home = Home(self.root)
        self._keeper = _keeper(settings, orders, self._home)
        self._guarded = Guarded()
        self._known: dict[str, object] = {}
        self._intake = self._new_intake()
        self._seeded = self._turned = time.monotonic()
        self._beaten = 0.0
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> int:
        """Everything, from preparing to the last word."""
        prepare(self.settings)
        self._home.remember()
        self._greet()
        self.heartbeat = Heartbeat(self.root / "workers", worker_name("orchestrator"), stage="orchestrator")
        log = logs.setup(self.root / "logs", "orchestrator", self.heartbeat.worker, stdout=False)
        log.addHandler(self.progress.handler())
        self.reaper = reaper.Reaper(self.root, self.view.paths.values(), self.settings.global_.reap_after)
        self.supervisor = Supervisor(self.settings, self._secrets, self.reaper, log)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.log = log
        server = self._serve()
        try:
            self._intake.open()
            if self._keeper:
                self._keeper.start()
            code = self._loop()
        finally:
            self._end()
            server.close()
            self.heartbeat.leave()
        self._guarded(partial(self.progress.end, self.view))
        return code

    def _greet(self) -> None:
        """What a person should know before it begins."""
        if self.orders.no_stages:
            # In containers it may be the demo's, where a library's own was expected.
            self.progress.say(f"The configuration is {self.settings.path}.")
        for other in self.view.live("orchestrator"):
            host, pid = other.facts.get("host"), other.facts.get("pid")
            self.progress.say(f"Another orchestrator (host {host}, process {pid}) runs on this board; both work.")
        secret = self.settings.global_.gpg_passphrase_file
        if secret is not None and secret.exists() and secret.stat().st_mode & 0o004:
            self.progress.say(f"Everybody on this machine can read the passphrase: chmod 600 {secret}")

    def _serve(self) -> PageServer:
        # Imported here: a web server takes longer to load than `status` takes to run.
        from services.orchestrator.page.app import Page  # noqa: PLC0415
        from services.orchestrator.page.server import PageServer  # noqa: PLC0415

        host, _, port = self.settings.board.listen.rpartition(":")
        checks: dict[str, Check] = {"/healthz": self._alive, "/readyz": self._ready}
        page = Page(View(self.settings), self._counted, registry(self.view, self._books), checks, self._home.require)
        server = PageServer(host, int(port), page)
        self.heartbeat.announce(port=server.port, metrics=metrics_url(host, server.port))
        self._tell_page(server)
        return server

    def _tell_page(self, server: PageServer) -> None:
        file = self.settings.board.action_token_file
        token = f" Its buttons ask for the token in {file}." if file is not None and file.exists() else ""
        self.progress.say(f"{server.where}{token}")

    def _counted(self) -> tuple[dict[str, Any], float]:
        """The board as it was counted last, and how many seconds ago; at the very beginning: now."""
        if self._facts is None:
            self._facts, self._facts_at = self.view.status(), time.monotonic()
        return self._facts, time.monotonic() - self._facts_at

    def _books(self) -> dict[str, int]:
        """On GRIN's lists, as the keeper has read them."""
        return dict(self._keeper.books) if self._keeper else {}

    # --- the loop ---

    def _loop(self) -> int:
        while not self._signals:
            try:
                code = self._turn()
            except OSError as error:
                # The board may fail for a while; a run of months must not end of it.
                self._tell_trouble(f"The board cannot be used: {error}. It is tried again.")
                code = None
            if code is not None:
                return code
            self._wait(_TURN)
        grace = self.settings.global_.grace
        self.progress.say(
            f"Draining: each worker finishes its book, or hands it back after {grace:g} s; Ctrl-C again: now."
        )
        return 130 if self.orders.until_drained else 0

    def _alive(self) -> tuple[bool, str]:
        still = time.monotonic() - self._turned
        return still < _STUCK, f"the loop turned {still:.0f} seconds ago"

    def _ready(self) -> tuple[bool, str]:
        """The same, and the board is there; asks no disk, which may hang."""
        return (False, self._home.lost) if self._home.lost else self._alive()

    def _turn(self) -> int | None:
        self._turned = time.monotonic()
        self._home.require()
        if self._turned - self._beaten > self.settings.global_.beat_every:
            self._beaten = self._turned
            self.heartbeat.beat()
        self._guarded(self._tell_flow)
        if not self.orders.no_stages:
            self.supervisor.turn()
        self.reaper.turn()
        self._intake.turn(_TURN)
        if time.monotonic() < self._count_at:
            return None
        began = time.monotonic()
        code = self._look()
        self._count_at = began + max(_COUNT_EVERY, _COUNT_SHARE * (time.monotonic() - began))
        return code

    def _look(self) -> int | None:
        """Count and show; the exit code when the run is over."""
        facts = self._guarded(self._count)
        if facts is not None:
            self._guarded(partial(self._show, facts))
        if self.orders.until_drained:
            return self._verdict(facts or bare(self.view))
        fed = self.orders.wish.explicit or (self._keeper is not None and self._keeper.fills)
        if self._intake.done and not fed and time.monotonic() - self._seeded > _RESEED_EVERY:
            self._reseed()
        return None

    def _count(self) -> dict[str, Any]:
        facts = self.view.status()
        self._facts, self._facts_at = facts, time.monotonic()
        self._trouble = ""
        return facts

    def _show(self, facts: dict[str, Any]) -> None:
        self._tell_pace(facts)
        self._hear(facts)
        self.progress.show(facts)

    def _tell_flow(self) -> None:
        self.heartbeat.note(flow=self._flow.turn())

    def _hear(self, facts: dict[str, Any]) -> None:
        """What the keeper has to say, and how far the board is, which it needs to know."""
        if self._keeper is None:
            return
        if self._intake.done:
            first = bucket_for(self.settings, None).name
            behind = [bucket for bucket in facts["buckets"] if bucket["name"] != first]
            self._keeper.pace.note(sum(bucket[state] for bucket in behind for state in board.STATES))
        while not self._keeper.says.empty():
            self.log.warning(self._keeper.says.get())
        known = self._keeper.facts()
        if known != self._known:
            self._known = known
            self.heartbeat.announce(grin=known)

    def _tell_pace(self, facts: dict[str, Any]) -> None:
        """With very many books done nobody can tell throughput from the board alone; `status` reads it here."""
        self._pace.note(facts["done"])
        if time.monotonic() - self._paced > _PACE_EVERY:
            self._paced = time.monotonic()
            self.heartbeat.announce(books_per_hour=self._pace.per_hour())

    def _reseed(self) -> None:
        self._seeded = time.monotonic()
        try:
            self._intake = self._new_intake()
            self._intake.open()
        except (StageError, ConfigError) as error:
            self._tell_trouble(f"Nothing can be seeded: {error}")

    def _new_intake(self) -> Intake:
        fills = self._keeper is not None and self._keeper.fills
        return Intake(self.settings, self.orders.wish, self.progress.say, only_recover=fills)

    def _verdict(self, facts: dict[str, Any]) -> int | None:
        # A token on its way back to an earlier bucket can be missed by one count, never by two in a row.
        self._idle_counts = self._idle_counts + 1 if facts["left"] == 0 and self._intake.done else 0
        if self._idle_counts == 1 and self._recovered():
            self._idle_counts = 0
        if self._idle_counts >= 2:
            return 3 if self._intake.failed else 1 if facts["failed"] else 0
        reasons = self._standstill.reasons(facts) if self._intake.done else []
        if not reasons:
            return None
        self.progress.say("Nothing moves any more, so this run ends; the books wait where they are.")
        for reason in reasons:
            self.progress.say(reason)
        return 3

    def _recovered(self) -> bool:
        """Whether a seeder that died meanwhile had left a book that is on its way now."""
        return next(seed(self.settings, (), bucket_for(self.settings, None))).new > 0

    def _tell_trouble(self, sentence: str) -> None:
        """Say it once, until something else is to be said."""
        if sentence != self._trouble:
            self._trouble = sentence
            self.progress.say(sentence)

    # --- the end ---

    def _end(self) -> None:
        """Stop the workers first, then return what those that had to be killed still held."""
        self._flow.save()
        self.supervisor.stop()
        if self._keeper:
            self._keeper.stop()
        asked, deadline = self._signals, time.monotonic() + self.settings.global_.grace + _PATIENCE_AT_END
        while self.supervisor.running() and time.monotonic() < deadline:
            if self._signals > asked:
                asked = self._signals
                self.supervisor.stop()
            self._wait(_TURN)
        try:
            self.supervisor.kill()
        except OSError as error:
            self.progress.say(f"What the last workers held is left to the next run's reaper: {error}.")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        os.write(self._wake_write, b"!")

    def _wait(self, seconds: float) -> None:
        if select.select([self._wake_read], [], [], seconds)[0]:
            os.read(self._wake_read, 64)
