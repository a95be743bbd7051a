"""One storm: workers and reapers forked, killed and paused by a seeded dice until every book has arrived."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from common import board, listing
from common.heartbeat import worker_name
from common.reaper import Reaper
from tests.board.storm import harness
from tests.board.storm.oracle import Story, Verdict, judge
from tests.board.storm.stages import RECORD, work_log

REAPER = "reaper"
_REAPERS = 2
# One kill in so many strikes a reaper: it must live longer than reap_after to be of any use.
_REAPER_SHARE = 40
# A pause lasts so many times reap_after.
_PAUSE = (2.0, 4.0)
# The last blow falls when this part of the work is done.
_LAST_BLOW = 0.97


@dataclass(frozen=True)
class Plan:
    """How large a storm is, and which dice it throws."""

    books: int
    kills: int
    pauses: int
    stages: int = 5
    workers: int = 2
    seed: int = 1
    reap_after: float = 1.0
    without: str = ""
    patience: float = 30.0
    """Seconds in which nothing moves, after which the storm gives up."""


@dataclass
class Member:
    """A living process of the storm; `wakes` is when a paused one goes on."""

    role: str
    name: str
    wakes: float | None = None
    killed: bool = False


@dataclass
class Storm:
    """`run` does all of it, in a folder that is empty."""

    folder: Path
    plan: Plan
    members: dict[int, Member] = field(default_factory=dict)
    story: Story = field(default_factory=Story)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.plan.seed)
        classes = ["Writes", "Adds", *["Logged"] * (self.plan.stages - 3), "Ends"]
        reap_after = self.plan.reap_after
        beats = {"reap_after": reap_after, "heartbeat": reap_after / 5}
        self.settings = harness.make_board(self.folder, harness.rows(classes, workers=self.plan.workers), **beats)
        self.log = work_log(self.settings)
        self.log.touch()
        self.supervisor = Reaper(self.settings.global_.pipeline_dir, self.settings.bucket_paths(), reap_after)
        self.quiet, self._moved, self._idle = (0, 0.0), 0.0, 0

    def run(self) -> Verdict:
        """Seed, rage, drain, judge."""
        began = time.monotonic()
        width = len(str(self.plan.books - 1))
        self.story.inodes = harness.seed(self.settings, (f"B{n:0{width}}" for n in range(self.plan.books)))
        work = self.plan.books * self.plan.stages
        self._rage(self._moments(self.plan.kills, work), self._moments(self.plan.pauses, work))
        self._end()
        verdict = judge(self.settings, self.story)
        verdict.seconds = time.monotonic() - began
        return verdict

    def _moments(self, blows: int, work: int) -> list[float]:
        """After how much work each blow falls, the last one first: the same storm on slow machines and fast."""
        return sorted((work * _LAST_BLOW * self.dice.random() for _ in range(blows)), reverse=True)

    # --- the storm itself ---

    def _rage(self, kills: list[float], pauses: list[float]) -> None:
        while not self._over(kills, pauses):
            self._bury()
            self._fill()
            self._wake()
            done = self.log.stat().st_size // RECORD
            if kills and done >= kills[-1]:
                kills.pop()
                self._kill()
            if pauses and done >= pauses[-1]:
                pauses.pop()
                self._pause()
            time.sleep(self.dice.uniform(0, 0.004))

    def _over(self, kills: list[float], pauses: list[float]) -> bool:
        if self._stands_still():
            return True
        if kills or pauses or any(member.wakes for member in self.members.values()):
            return False
        # A token on its way back can be missed by one look, never by two in a row.
        self._idle = self._idle + 1 if self._is_drained() else 0
        if self._idle < 2:
            time.sleep(0.05)
        return self._idle >= 2

    def _is_drained(self) -> bool:
        states = (board.DEFERRED, board.WAITING, board.WORKING)
        buckets = self.settings.bucket_paths()[:-1]
        return not any(barcode for bucket in buckets for state in states for barcode in listing.barcodes(bucket, state))

    def _stands_still(self) -> bool:
        size, now = self.log.stat().st_size, time.monotonic()
        if size != self.quiet[0] or not self.quiet[1]:
            self.quiet = (size, now)
        return now - self.quiet[1] > self.plan.patience

    def _kill(self) -> None:
        reaper = self.dice.randrange(_REAPER_SHARE) == 0
        awake = self._awake()
        # All of one kind may be paused just now.
        pid, _ = self._victim([one for one in awake if (one[1].role == REAPER) == reaper] or awake)
        os.kill(pid, signal.SIGKILL)
        self.members[pid].killed = True
        self.story.killed.add(self.members[pid].name)

    def _pause(self) -> None:
        """Reapers are paused as well as workers."""
        pid, member = self._victim(self._awake())
        os.kill(pid, signal.SIGSTOP)
        member.wakes = time.monotonic() + self.plan.reap_after * self.dice.uniform(*_PAUSE)
        self.story.paused.append(member.name)

    def _victim(self, among: list[tuple[int, Member]]) -> tuple[int, Member]:
        """Every other blow strikes one who holds a claim, if anybody does."""
        if self.dice.random() < 0.5:
            holders = {held.worker for bucket in self.settings.bucket_paths() for held in listing.claims(bucket)}
            among = [one for one in among if one[1].name in holders] or among
        return self.dice.choice(among)

    def _awake(self) -> list[tuple[int, Member]]:
        return [(pid, member) for pid, member in self.members.items() if not (member.killed or member.wakes)]

    def _wake(self) -> None:
        now = time.monotonic()
        for pid, member in self.members.items():
            if member.wakes and member.wakes <= now:
                member.wakes = None
                os.kill(pid, signal.SIGCONT)

    # --- the supervisor's part ---

    def _bury(self) -> None:
        """Notice the dead; half of them are reaped at once, as `up` does, the others are left to the reapers."""
        for pid in list(self.members):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            member = self.members.pop(pid)
            if not member.killed:
                self.story.ended.append(f"{member.name}: {os.waitstatus_to_exitcode(status)}")
            if member.role != REAPER and self.dice.random() < 0.5:
                self.supervisor.reap_worker(member.name, f"worker {member.name} was killed")

    def _fill(self) -> None:
        """A paused process is replaced too: others may be at work when it wakes."""
        present = [member.role for member in self.members.values() if not member.wakes]
        for role in [row.name for row in self.settings.filters]:
            for _ in range(self.plan.workers - present.count(role)):
                name = worker_name(role)
                self._start(Member(role, name), partial(harness.work, self.settings, role, name, self.plan.without))
        for _ in range(_REAPERS - present.count(REAPER)):
            self._start(Member(REAPER, worker_name(REAPER)), partial(harness.reap, self.settings))

    def _start(self, member: Member, work: partial[None]) -> None:
        self.members[harness.fork(work)] = member

    def _end(self) -> None:
        """Workers drain, reapers are killed."""
        for pid, member in self.members.items():
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL if member.role == REAPER else signal.SIGTERM)
        for pid, member in self.members.items():
            code = harness.exit_code(pid)
            if member.role != REAPER and code and not member.killed:
                self.story.ended.append(f"{member.name}: {code} at its end")
