"""The loop of one worker: claim, work, move, again; its heartbeat, its watchdog, its signals, its health.

Order of an ending, after SIGTERM, Ctrl-C or the supervisor's death: claim nothing more; finish the book in hand; if
that takes longer than `grace` seconds (or at a second signal) hand it back; only then stop the heartbeat and leave.
"""

from __future__ import annotations

import os
import random
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from common import board, durable, listing
from common.attempt import LEFT, LOST, Attempt, Desk
from common.errors import Halt, Lost
from common.feed import Feed
from common.health import HealthServer, metrics_url
from common.heartbeat import Heartbeat
from common.limits import Limits
from common.reaper import Reaper

# The watchdog looks this often, in seconds.
_TICK = 0.2
# A loop that has not turned for this long, in seconds, while it has no book in hand, hangs; so does the watchdog.
_STUCK = 30.0
_HALT_FIRST, _HALT_MOST = 1.0, 60.0
# After a book, in seconds, before an idle worker looks again.
_QUICK = 0.02
# A token that could not even be given a verdict is looked at again after so many seconds.
_LOOK_AGAIN = 60.0


class Worker:
    """One process of a stage. `renew` makes the stage anew from the configuration, after a halt."""

    def __init__(self, desk: Desk, name: str, renew: Callable[[], Desk]) -> None:
        self.desk = desk
        self.name = name
        self.renew = renew
        common = desk.settings.global_
        self.root = common.pipeline_dir
        self.feed = Feed(desk.row.input_pipe, name)
        self.heartbeat = Heartbeat(self.root / "workers", name, stage=desk.row.name, passed=desk.metrics.passed)
        self.reaper = Reaper(self.root, [desk.row.input_pipe], common.reap_after)
        self.current: Attempt | None = None
        self.stopping_since: float | None = None
        self._grace = common.grace
        self.limits = Limits(desk)
        self._limit, self._told = "", 0.0
        self._stranded: list[Attempt] = []
        self._halts, self._board_halted = 0, False
        self._reaping = threading.Lock()
        self._turned = self._beaten = self._reaped = self._watched = self._busy = time.monotonic()
        self._ended = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self, host: str, port: int) -> None:
        """Work until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        server = HealthServer(host, port, self.desk.metrics.registry, {"/healthz": self.alive, "/readyz": self.ready})
        self._come_aboard({"port": server.port, "metrics": metrics_url(host, server.port)})
        self.desk.server_now = self.heartbeat.server_now
        watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        watchdog.start()
        self.desk.stage.opened()
        self.desk.log.info("The worker is ready.", extra={"port": server.port})
        try:
            while self.stopping_since is None:
                self._turn_safely()
        finally:
            self._ended.set()
            watchdog.join()
            self.desk.stage.close()
            server.close()
            if self._return_stranded():
                self.heartbeat.leave()
            # A thread that a stage left running may keep the process: the next signal then ends it.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self.desk.log.info("The worker has stopped.")

    def _come_aboard(self, facts: dict[str, object]) -> None:
        """Be seen before the first claim. A file server that fails at the first word is asked again, not run from."""
        while self.stopping_since is None:
            try:
                self.heartbeat.announce(**facts)
                self.heartbeat.beat()
            except OSError as error:
                self.desk.log.warning(f"The board cannot be used: {error}. This worker asks again.")
                self._wait(self.desk.settings.global_.poll)
            else:
                return

    # --- one turn ---

    def _turn_safely(self) -> None:
        """The board may fail for a while; a worker that waits for it needs no restart."""
        try:
            self._turn()
        except OSError as error:
            self._board_halted = True
            self._halted(Halt(f"The board cannot be used: {error}.", "Mend the disk; the stage goes on by itself."))

    def _turn(self) -> None:
        self._turned = time.monotonic()
        self.heartbeat.note(passed=self.desk.metrics.passed)
        self._reap()
        if self._blocked():
            return self._wait(self.desk.settings.global_.poll)
        held = self.feed.next(self.heartbeat.server_now())
        if held is None:
            self._idle()
            # Jitter, so that idle workers on many hosts do not ask the file server in step.
            longest = pause(self.desk.settings.global_.poll, self._turned - self._busy)
            return self._wait(longest * random.uniform(0.5, 1))  # noqa: S311
        self._attempt(held)
        self._busy = time.monotonic()
        return None

    def _idle(self) -> None:
        """The board answers; and where no book is left at all, there is none to halt over."""
        if self._halts and (self._board_halted or not listing.in_line(self.desk.row.input_pipe, 1)):
            self._goes_on()

    def _blocked(self) -> bool:
        paused = (self.root / "paused" / self.desk.row.name).exists()
        limit = "" if paused else self.limits.reached()
        self.desk.metrics.paused("operator", paused)
        self.desk.metrics.wip_limited(bool(limit))
        # A limit that comes and goes many times a second is not worth a write each time.
        if limit != self._limit and time.monotonic() - self._told > 1:
            self._limit, self._told = limit, time.monotonic()
            self.heartbeat.announce(limited=limit)
        # Whatever else holds the stage back, what it still has in its hands goes first.
        returned = self._return_stranded()
        return paused or bool(limit) or not returned

    def _attempt(self, held: board.Claim) -> None:
        attempt = self.current = Attempt(self.desk, held)
        try:
            outcome = attempt.run()
        except OSError as error:
            # Not even the verdict could be written: the token stays claimed until it can be returned.
            self._stranded.append(attempt)
            if error.errno not in durable.FULL:
                self.feed.skip(held.barcode, _LOOK_AGAIN)
            cure = "Make space, or mend what is named; the stage goes on by itself."
            return self._halted(Halt(f"{held.barcode} could not be given a verdict: {error}", cure))
        except Lost:
            outcome = LOST
        finally:
            self.current = None
        if attempt.halt:
            self._board_halted = False
            return self._halted(attempt.halt)
        if outcome == LEFT:
            return self.feed.skip(held.barcode, attempt.look_again)
        return self._count(outcome)

    def _count(self, outcome: str) -> None:
        self.desk.metrics.outcome(outcome)
        if self._halts:
            self._goes_on()

    def _goes_on(self) -> None:
        self._halts, self._board_halted = 0, False
        self.desk.metrics.paused("halt", False)
        self.heartbeat.announce(halted=None, cure=None)
        self.desk.log.info("The cause of the halt is gone; the stage goes on.")

    def _halted(self, halt: Halt) -> None:
        if not self._halts:
            self.desk.log.error(halt.reason, extra={"cure": halt.cure, "halted": True})
        self._halts = min(self._halts + 1, 10)
        self.desk.metrics.paused("halt", True)
        try:
            self.heartbeat.announce(halted=halt.reason, cure=halt.cure)
        except OSError as error:
            self.desk.log.warning(f"The heartbeat file cannot be written: {error}")
        self._wait(min(_HALT_MOST, _HALT_FIRST * 2 ** (self._halts - 1)))
        self._renew()

    def _renew(self) -> None:
        """Read the configuration again: the cure may have been a change there. Other buckets need another worker."""
        try:
            fresh = self.renew()
            if _pipes(fresh) != _pipes(self.desk):
                self.desk.log.warning(
                    "The line of stages has changed, so this worker ends; a new one knows the new line."
                )
                self.stopping_since = time.monotonic()
                return
            fresh.stage.opened()
        except Exception as error:  # noqa: BLE001 - a stage's constructor and opened() may raise anything
            self.desk.log.warning(f"The configuration cannot be used again, the old one holds: {error}")
            return
        self.desk.stage.close()
        self.desk.settings, self.desk.row, self.desk.stage = fresh.settings, fresh.row, fresh.stage
        self.limits = Limits(self.desk)

    def _return_stranded(self) -> bool:
        """Give back the claims whose verdict could not be written; whether none is left."""
        for attempt in list(self._stranded):
            try:
                attempt.hand_back("halted", "the verdict could not be written")
            except Lost:
                pass
            except board.OccupiedError as error:
                # Somebody copied tokens until every place was taken: left for a person, the others must flow.
                self.desk.log.warning(f"{error} The claim stays where it is.", extra={"barcode": attempt.held.barcode})
            except OSError:
                continue
            self._stranded.remove(attempt)
        return not self._stranded

    def _reap(self) -> None:
        if self._turn_reaper():
            self.reaper.reap_unknown(self.name, {attempt.held.path for attempt in self._stranded})

    def _turn_reaper(self) -> bool:
        """Look for the dead if it is time to; from the loop, or from the watchdog while a long book is in work."""
        with self._reaping:
            if time.monotonic() - self._reaped <= self.desk.settings.global_.reap_after / 8:
                return False
            self._reaped = time.monotonic()
            self.reaper.turn()
            return True

    # --- signals, waiting ---

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.stopping_since is not None:
            self._grace = 0.0
        self.stopping_since = self.stopping_since or time.monotonic()
        self.feed.closed = True
        os.write(self._wake_write, b"!")

    def _wait(self, seconds: float) -> None:
        """Sleep, but not through a signal."""
        end = time.monotonic() + seconds
        while self.stopping_since is None and (left := end - time.monotonic()) > 0:
            self._turned = time.monotonic()
            _select(self._wake_read, min(left, 1.0))

    # --- the watchdog's thread ---

    def _watch(self) -> None:
        while not self._ended.wait(_TICK):
            self._watched = time.monotonic()
            if time.monotonic() - self._beaten >= self.desk.settings.global_.beat_every:
                self._beat()
            working = self.current
            if working is not None:
                self._judge(working)
                self._reap_meanwhile()

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        try:
            self.heartbeat.beat()
        except OSError as error:
            self.desk.log.warning(f"The heartbeat failed and will be tried again: {error}")

    def _reap_meanwhile(self) -> None:
        """A book may take hours, and other workers may die meanwhile."""
        try:
            self._turn_reaper()
        except OSError as error:
            self.desk.log.warning(f"The dead cannot be looked for, and will be again: {error}")

    def _judge(self, working: Attempt) -> None:
        limit = self.desk.row.time_limit
        if self.stopping_since is not None and time.monotonic() - self.stopping_since > self._grace:
            self._leave(self._hand_back, working, signal.SIGTERM)
        elif limit is not None and time.monotonic() - working.started > limit:
            self._leave(lambda: working.overrun(limit), working, signal.SIGKILL)

    def _hand_back(self) -> None:
        # Lost: its token has moved, and the worker hung in tidying up.
        with suppress(Lost):
            if self.current is not None:
                self.current.hand_back()
        self.heartbeat.leave()

    def _leave(self, last_act: Callable[[], None], working: Attempt, deadly: signal.Signals) -> None:
        """Put the book where it belongs, then end this process and all that it started: nothing else stops them."""
        try:
            last_act()
        except (Lost, OSError) as error:
            self.desk.log.warning(f"The book is left to the reaper: {error}", extra={"barcode": working.held.barcode})
        if os.getpgrp() == os.getpid():
            # The first process of a container reaches all others by this, never itself, and may be alone.
            with suppress(ProcessLookupError):
                os.killpg(os.getpgrp(), deadly)
        os._exit(0 if deadly == signal.SIGTERM else 1)

    # --- health ---

    def alive(self) -> tuple[bool, str]:
        """The loop turns, or it has a book in hand that the watchdog watches."""
        blind = time.monotonic() - self._watched
        if blind > _STUCK:
            return False, f"the watchdog looked {blind:.0f} seconds ago"
        if self.current is not None:
            return True, "working"
        still = time.monotonic() - self._turned
        return still < _STUCK, f"the loop turned {still:.0f} seconds ago"

    def ready(self) -> tuple[bool, str]:
        """The worker claims books."""
        if self.stopping_since is not None:
            return False, "stopping"
        well, text = self.alive()
        if not well:
            return False, text
        return (False, "halted") if self._halts else (True, "ready")


def pause(poll: float, idle: float) -> float:
    """How long a worker that was idle for `idle` seconds waits: where a book went, the next is often close behind."""
    return min(poll, _QUICK + idle / 4)


def _pipes(desk: Desk) -> tuple[object, ...]:
    return desk.row.input_pipe, desk.row.output_pipe, desk.settings.bucket_paths()


def _select(fd: int, seconds: float) -> None:
    if select.select([fd], [], [], seconds)[0]:
        os.read(fd, 64)
