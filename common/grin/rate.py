"""How often GRIN is asked: one rate for all processes on all hosts that share a board, without a broker or a lock.

Time is cut into slots. Who creates `<board>/grin/slots/<microseconds>/<k>`, exclusively, owns slot k of that length and
sends when it begins; whoever finds it taken tries the next one. So everybody reserves once and sleeps, in the order of
their coming, and whoever is killed or paused costs the others nothing but that slot.

A slot is a tenth longer than the rate asks for. Requests that reach GRIN up to a tenth of a second later than others
(a busy machine, a longer way) then still are at most the allowed number in any second, wherever that second begins.
Whoever wakes up too late for its slot takes another one.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from common import durable
from common.errors import Halt

_MARGIN = 1.1
# Seconds by which a slot may have begun when it is reserved, and when its request is sent.
_EARLY, _LATE = 0.02, 0.05
# What the turn needs is fetched so many seconds before it comes.
_AHEAD = 0.5
# The server's clock is asked again after so many seconds; of the answers so many count.
_ASK_EVERY, _ANSWERS = 5.0, 8
# Server times may be whole seconds; a clock that is off by more has been set.
_COARSE = 1.5
# Slots that began so many seconds ago are swept, this often.
_PAST, _SWEEP_EVERY = 10.0, 10.0
# Another spacing, in seconds, that can be a configuration's.
_LONGEST = 60.0
_FAILURES = 3
_CURE = "See that the board's disk is there, has space and inodes, and may be written to."
_Ready = TypeVar("_Ready")


def _steady() -> float:
    # Unlike time.monotonic it goes on while a machine sleeps.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RateLimit:
    """At most `per_second` requests in any second; threads take turns.

    With a `board` that is prepared, all processes that use it share the rate; before, and without one, this process
    spaces its own. Halt when the board cannot be written to.
    """

    def __init__(self, per_second: float, board: Path | None = None) -> None:
        self._gap = _MARGIN / per_second
        self._board = board
        self._lock = threading.Lock()
        self._next = 0.0
        self._slots: _Slots | None = None

    def wait(self) -> None:
        """Sleep until the next request may start."""
        self.turn(lambda: None)

    def turn(self, ready: Callable[[], _Ready]) -> _Ready:
        """Sleep until the next request may start; `ready` is called shortly before, and its result returned."""
        lead = 0.0
        while True:
            clock, start = self._reserve(lead)
            _sleep(start - _AHEAD - clock.now())
            made = ready()
            _sleep(start - clock.now())
            if abs(clock.now() - start) <= _LATE:
                return made
            # Paused, or too busy: then a slot farther away is more likely to be met.
            lead = min(5.0, 2 * lead + _LATE)

    def _reserve(self, lead: float) -> tuple[_Clock, float]:
        with self._lock:
            if self._slots is None and self._board is not None and (self._board / "workers").is_dir():
                self._slots = _Slots(self._board / "grin" / "slots", self._gap)
            if self._slots is not None:
                # What this process sent before there was a board counts, too.
                return self._slots.clock, self._slots.reserve(max(lead, self._next - _steady()))
            start = max(self._next, _steady())
            self._next = start + self._gap
            return _Clock(None), start


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


class _Clock:
    """The file server's time, carried on by this machine's steady clock; without a folder, that clock itself."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._offsets: deque[float] = deque(maxlen=_ANSWERS)
        self._offset = 0.0
        self._asked = -math.inf

    def now(self) -> float:
        """Seconds since the epoch of the server's clock; asks nobody."""
        return self._offset + _steady()

    def ask(self) -> None:
        """Look at the server's clock, if the last look is some seconds ago."""
        if self._folder is None or _steady() - self._asked < _ASK_EVERY:
            return
        for _ in range(1 if math.isfinite(self._asked) else 3):
            before = _steady()
            server = durable.server_time(self._folder)
            self._asked = _steady()
            # An answer is always a little older than the moment when it is here, so the largest offset is nearest; one
            # that is too large now was of a clock that has been set back.
            if self._offset > server - before + _COARSE:
                self._offsets.clear()
            self._offsets.append(server - self._asked)
            # At once, for other threads read it meanwhile.
            self._offset = max(self._offsets)


class _Slots:
    """The slots of one length in a folder that others use too."""

    def __init__(self, folder: Path, gap: float) -> None:
        self._folder = folder
        # A slot's length is part of its path, so it is a whole number: of microseconds.
        self._length = math.ceil(round(gap * 1e6, 3))
        self._gap = self._length / 1e6
        self._own = folder / str(self._length)
        self._swept = -math.inf
        self.clock = _Clock(folder)

    def reserve(self, lead: float) -> float:
        """The server's time at which the first free slot begins that is at least `lead` seconds away."""
        failures = 0
        while True:
            try:
                return self._first_free(lead)
            except OSError as error:
                failures += 1
                if failures == _FAILURES:
                    raise Halt(f"The rate of requests cannot be kept on the board: {error}.", _CURE) from None
                self._make()

    def _make(self) -> None:
        # Never the board itself: where it has gone, nothing may be made in its place.
        with suppress(OSError):
            for folder in (self._folder.parent, self._folder, self._own):
                durable.make_dir(folder)

    def _first_free(self, lead: float) -> float:
        self.clock.ask()
        self._sweep()
        number = math.ceil((self.clock.now() - _EARLY + lead) / self._gap)
        while not self._take(number):
            number += 1
        return number * self._gap

    def _take(self, number: int) -> bool:
        path = self._own / str(number)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644))
        except FileExistsError:
            # Perhaps our own, on a network file system that sends a request twice; then it is lost.
            return False
        if not self._clashes(number * self._gap):
            return True
        path.unlink(missing_ok=True)
        return False

    def _clashes(self, start: float) -> bool:
        """Whether a slot of another length is too near: others may work by another configuration for a while.

        Both sides create first and look then, so at least one of two sees the other.
        """
        for name in os.listdir(self._folder):
            if name != self._own.name and _is_number(name) and int(name) / 1e6 <= _LONGEST:
                gap = max(self._gap, int(name) / 1e6)
                if any(abs(begin - start) < gap for _, begin in _begins(self._folder / name)):
                    return True
        return False

    def _sweep(self) -> None:
        now = self.clock.now()
        if now - self._swept < _SWEEP_EVERY and now >= self._swept:
            return
        self._swept = now
        for name in os.listdir(self._folder):
            if not _is_number(name):
                # What looked at the clock, and was killed.
                durable.remove_if_old(self._folder / name, now)
                continue
            for path, begin in _begins(self._folder / name):
                if begin < now - _PAST:
                    with suppress(OSError):
                        path.unlink()
            if name != self._own.name:
                with suppress(OSError):
                    (self._folder / name).rmdir()


def _begins(folder: Path) -> list[tuple[Path, float]]:
    """The slots in a folder and when each begins; whatever else lies there is passed over."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [(folder / name, int(name) * int(folder.name) / 1e6) for name in names if _is_number(name)]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 20 and name[0] != "0"
