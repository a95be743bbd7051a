"""The watchdog, the signals, the waiting and the health of a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common import board, worker
from common.attempt import Attempt
from common.errors import Lost
from common.feed import Feed
from tests.helpers import until
from tests.unit.test_worker import broken
from tests.unit.workbench import Bench

Acts = list[object]


class Left(BaseException):
    """The process would have ended here."""


def in_hand(bench: Bench) -> Attempt:
    """A book that the worker is working on; its attempt is recorded."""
    attempt = bench.worker.current = Attempt(bench.worker.desk, bench.claim())
    attempt._record("attempt")
    return attempt


def deadly(monkeypatch: pytest.MonkeyPatch, *, leads: bool = True) -> Acts:
    """What the worker would have ended, and how, instead of this process."""
    acts: Acts = []

    def ended(code: int) -> None:
        acts.append(code)
        raise Left

    monkeypatch.setattr(os, "getpgrp", lambda: os.getpid() if leads else 1)
    monkeypatch.setattr(os, "killpg", lambda group, number: acts.append((group == os.getpid(), number)))
    monkeypatch.setattr(os, "_exit", ended)
    return acts


# --- signals and waiting --------------------------------------------------------------------------------------------


def test_the_first_signal_drains(root: Path) -> None:
    """After a signal nothing more is claimed, and the book in hand has its time of grace."""
    bench = Bench(root, grace=17)
    bench.put("A1")
    bench.worker._on_signal(signal.SIGTERM, None)
    assert bench.worker.stopping_since == pytest.approx(time.monotonic(), abs=60)
    assert bench.worker.feed.next(0.0) is None
    assert bench.worker._grace == 17
    assert bench.worker.ready() == (False, "stopping")


def test_the_second_signal_ends_the_grace(root: Path) -> None:
    """A second signal leaves no time of grace; since when the worker stops does not change by it."""
    bench = Bench(root, grace=17)
    bench.worker._on_signal(signal.SIGTERM, None)
    since = bench.worker.stopping_since
    bench.worker._on_signal(signal.SIGTERM, None)
    assert (bench.worker._grace, bench.worker.stopping_since) == (0.0, since)


def test_a_signal_never_waits(root: Path) -> None:
    """The pipe that wakes the loop never holds up a signal's handler."""
    bench = Bench(root)
    assert not os.get_blocking(bench.worker._wake_write)
    bench.worker._on_signal(signal.SIGTERM, None)
    assert os.read(bench.worker._wake_read, 10) == b"!"


def test_waiting_lasts_as_long_as_it_should(root: Path) -> None:
    """A wait takes its time, and the loop counts as turning all the while."""
    bench = Bench(root)
    bench.worker._turned = 0.0
    began = time.monotonic()
    bench.worker._wait(0.3)
    assert 0.3 <= time.monotonic() - began < 30
    assert bench.worker._turned >= began


def test_a_long_wait_is_done_in_short_ones(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a wait is, each second of it is a sign of life; what is left of it last is not exceeded."""
    bench, naps = Bench(root), []
    now = [100.0]

    def nap(fd: int, seconds: float) -> None:
        assert fd == bench.worker._wake_read
        naps.append(seconds)
        now[0] += seconds
        assert len(naps) < 10

    monkeypatch.setattr(worker, "_select", nap)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bench.worker._wait(2.5)
    assert naps == [1.0, 1.0, 0.5]


def test_no_waiting_when_told_to_stop(root: Path) -> None:
    """A worker that is told to stop does not wait at all."""
    bench = Bench(root)
    bench.worker.stopping_since = time.monotonic()
    began = time.monotonic()
    bench.worker._wait(600)
    assert time.monotonic() - began < 60


def test_a_waiting_worker_is_woken(root: Path) -> None:
    """A signal's byte ends a wait at once, and is used up by it."""
    reading, writing = os.pipe()
    os.write(writing, b"!!!")
    began = time.monotonic()
    worker._select(reading, 600)
    assert time.monotonic() - began < 60
    worker._select(reading, 0.0)
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    os.close(reading)
    os.close(writing)


# --- the watchdog ---------------------------------------------------------------------------------------------------


def watched(bench: Bench, condition: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watchdog look until something is true."""
    monkeypatch.setattr(worker, "_TICK", 0.005)
    thread = threading.Thread(target=bench.worker._watch)
    thread.start()
    try:
        until(condition)
    finally:
        bench.worker._ended.set()
        thread.join(20)
    assert not thread.is_alive()


def test_the_watchdog_beats(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog beats when it is time, again and again, and says that it looks."""
    bench = Bench(root, heartbeat=0.02, reap_after=9)
    path, worker_ = root / "workers" / "w-1.json", bench.worker
    os.utime(path, (1e9, 1e9))
    worker_._watched = worker_._beaten = 0.0
    watched(bench, lambda: path.stat().st_mtime > 1e9, monkeypatch)
    worker_._ended.clear()
    os.utime(path, (1e9, 1e9))
    watched(bench, lambda: path.stat().st_mtime > 1e9, monkeypatch)
    assert time.monotonic() - worker_._watched < 60
    assert time.monotonic() - worker_._beaten < 60


def test_the_watchdog_does_not_beat_at_every_look(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two heartbeats lies the time that the configuration says."""
    bench = Bench(root, heartbeat=100, reap_after=9000)
    path, looks = root / "workers" / "w-1.json", []
    os.utime(path, (1e9, 1e9))
    in_hand(bench)
    monkeypatch.setattr(bench.worker, "_judge", looks.append)
    watched(bench, lambda: len(looks) > 3, monkeypatch)
    assert path.stat().st_mtime == 1e9
    assert set(looks) == {bench.worker.current}


def test_the_watchdog_judges_only_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a book in hand there is nothing to judge, and the watchdog lives."""
    bench = Bench(root, time_limit=0.001)
    bench.worker._watched = 0.0
    watched(bench, lambda: bench.worker._watched > 0, monkeypatch)


def test_a_heartbeat_that_fails_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that fails is logged and is no end of the watchdog."""
    bench = Bench(root)
    monkeypatch.setattr(bench.worker.heartbeat, "beat", broken)
    bench.worker._beaten = 0.0
    bench.worker._beat()
    assert bench.said() == ["The heartbeat failed and will be tried again: [Errno 28] full"]
    assert time.monotonic() - bench.worker._beaten < 60


@pytest.mark.parametrize(("ago", "ends"), [(10.0, False), (10.1, True)])
def test_a_book_is_handed_back_after_the_grace(
    root: Path, ago: float, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopping worker hands its book back once the time of grace is over, leaves, and ends all that it started."""
    bench, acts = Bench(root, grace=10, time_limit=1000), deadly(monkeypatch)
    attempt = in_hand(bench)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    bench.worker.stopping_since = 1000.0 - ago
    if not ends:
        bench.worker._judge(attempt)
        assert (acts, bench.kinds()) == ([], ["attempt"])
        return
    with pytest.raises(Left):
        bench.worker._judge(attempt)
    assert acts == [(True, signal.SIGTERM), 0]
    assert bench.places() == ["01_in/A1.json"]
    assert bench.kinds() == ["attempt", "handed_back"]
    assert list((root / "workers").iterdir()) == []


@pytest.mark.parametrize(("ago", "ends"), [(10.0, False), (10.1, True)])
def test_a_book_that_takes_too_long(root: Path, ago: float, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book that is over its time limit is deferred, and its worker killed with all that it started."""
    bench, acts = Bench(root, time_limit=10), deadly(monkeypatch)
    attempt = in_hand(bench)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    attempt.started = 1000.0 - ago
    if not ends:
        bench.worker._judge(attempt)
        assert (acts, bench.kinds()) == ([], ["attempt"])
        return
    with pytest.raises(Left):
        bench.worker._judge(attempt)
    assert acts == [(True, signal.SIGKILL), 1]
    assert bench.places() == ["01_in/deferred/A1.json"]
    assert "time limit of 10 seconds" in bench.ledger.read("A1")[-1]["reason"]


def test_without_a_time_limit_a_book_may_take_for_ever(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage without a time limit, and without a signal, is never ended."""
    bench, acts = Bench(root), deadly(monkeypatch)
    attempt = in_hand(bench)
    attempt.started = 0.0
    bench.worker._judge(attempt)
    assert acts == []


def test_a_worker_that_leads_no_group(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that leads no process group ends itself alone: the group is somebody else's."""
    bench, acts = Bench(root), deadly(monkeypatch, leads=False)
    with pytest.raises(Left):
        bench.worker._leave(lambda: None, in_hand(bench), signal.SIGTERM)
    assert acts == [0]


@pytest.mark.parametrize("error", [Lost("taken"), OSError("broken")])
def test_a_last_act_that_fails(root: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the book cannot be put where it belongs the reaper will do it: the worker says so and ends."""
    bench, acts = Bench(root), deadly(monkeypatch)

    def fails() -> None:
        raise error

    with pytest.raises(Left):
        bench.worker._leave(fails, in_hand(bench), signal.SIGTERM)
    assert acts == [(True, signal.SIGTERM), 0]
    (record,) = bench.records
    assert record.getMessage().startswith("The book is left to the reaper: ")
    assert vars(record)["barcode"] == "A1"


@pytest.mark.parametrize("stopping", [True, False])
def test_a_book_that_cannot_be_put_back(root: Path, stopping: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker ends in time although its board cannot be written, and names the book that it leaves to the reaper."""
    bench, acts = Bench(root, time_limit=1, grace=1), deadly(monkeypatch)
    attempt = in_hand(bench)
    attempt.started = 0.0
    bench.worker.stopping_since = 0.0 if stopping else None
    monkeypatch.setattr(board, "give_back", broken)
    monkeypatch.setattr(board, "defer", broken)
    with pytest.raises(Left):
        bench.worker._judge(attempt)
    assert acts[-1] == (0 if stopping else 1)
    assert [vars(record)["barcode"] for record in bench.records] == ["A1"]
    assert "working" in bench.places()[0]


def test_handing_back_what_has_moved(root: Path) -> None:
    """A worker that hung in tidying up, its token moved on, hands nothing back and leaves; so does one with no book."""
    bench = Bench(root)
    board.finish(in_hand(bench).held, root / "02_out")
    bench.worker._hand_back()
    assert bench.places() == ["02_out/A1.json"]
    assert list((root / "workers").iterdir()) == []
    bench.worker.current = None
    bench.worker._hand_back()


# --- health ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turned", "seen", "works", "well", "says"),
    [
        (0, 0, False, True, "the loop turned 0 seconds ago"),
        (29, 0, False, True, "the loop turned 29 seconds ago"),
        (30, 0, False, False, "the loop turned 30 seconds ago"),
        (35, 0, False, False, "the loop turned 35 seconds ago"),
        (35, 0, True, True, "working"),
        (0, 30, False, True, "the loop turned 0 seconds ago"),
        (0, 35, False, False, "the watchdog looked 35 seconds ago"),
        (0, 35, True, False, "the watchdog looked 35 seconds ago"),
    ],
)
def test_alive(
    root: Path, turned: int, seen: int, works: bool, well: bool, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker lives while its loop turns or it has a book, as long as the watchdog looks; else it takes no books."""
    bench = Bench(root)
    if works:
        in_hand(bench)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    bench.worker._turned, bench.worker._watched = 1000.0 - turned, 1000.0 - seen
    assert bench.worker.alive() == (well, says)
    assert bench.worker.ready() == (well, "ready" if well else says)


def test_a_new_worker_is_well(root: Path) -> None:
    """A worker that has just been made is alive and ready, has no book, and claims in its own name."""
    bench = Bench(root)
    assert bench.worker.alive()[0]
    assert bench.worker.ready() == (True, "ready")
    assert isinstance(bench.worker.feed, Feed)
    bench.put("A1")
    held = bench.worker.feed.next(0.0)
    assert held is not None
    assert (held.worker, held.bucket) == ("w-1", root / "01_in")
