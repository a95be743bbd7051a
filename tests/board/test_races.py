"""Many at once: claimants for the same tokens, reapers for the same claims, and how soon a dead worker's come back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from common import board, listing, reaper
from common.config import Settings
from common.feed import Feed
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from tests.board import weak
from tests.board.storm import harness
from tests.helpers import until

CLAIMANTS = 16
Around = Callable[[], AbstractContextManager[object]]


def put(bucket: Path, count: int, state: str = board.WAITING, letter: str = "B") -> None:
    """Tokens that nobody waits for to reach the disk."""
    for number in range(count):
        path = board.path_of(bucket, f"{letter}{number:06}", state)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def start_together(works: Iterable[Callable[[], object]], start: Path) -> None:
    """Run each in a process of its own, all from the same moment on, to their ends."""

    def one(work: Callable[[], object]) -> None:
        while not start.exists():
            time.sleep(0.001)
        work()

    pids = [harness.fork(partial(one, work)) for work in works]
    start.touch()
    assert [harness.exit_code(pid, 300) for pid in pids] == [0] * len(pids)


def claim_all(bucket: Path, worker: str, result: Path, around: Around) -> None:
    """Claim until nothing is to be had, then write down what it was."""
    feed, got, idle = Feed(bucket, worker), [], 0
    with around():
        while idle < 3:
            held = feed.next(time.time())
            idle = 0 if held else idle + 1
            if held:
                got.append(held.barcode)
            else:
                time.sleep(0.03)
    result.write_text("\n".join(got))


def race(bucket: Path, folder: Path, around: Around = nullcontext) -> list[str]:
    """What all claimants together say that they claimed."""
    results = [folder / f"claimed-{number}" for number in range(CLAIMANTS)]
    start_together((partial(claim_all, bucket, result.name, result, around) for result in results), folder / "start")
    return [barcode for result in results for barcode in result.read_text().split()]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if possible."""
    with harness.in_memory(tmp_path) as folder:
        yield folder


@pytest.mark.slow
def test_a_hundred_thousand_claims(memory: Path, figure: Callable[[str], None]) -> None:
    """100,000 tokens and 16 processes give exactly 100,000 claims, none double, each under one name."""
    tokens, bucket = 100_000, memory / "01_in"
    board.prepare(memory, [bucket])
    put(bucket, tokens)
    began = time.monotonic()
    claimed = race(bucket, memory)
    figure(f"{len(claimed)} claims by {CLAIMANTS} processes, {len(claimed) / (time.monotonic() - began):,.0f} a second")
    assert len(claimed) == tokens
    assert len(set(claimed)) == tokens
    assert sorted(listing.barcodes(bucket, board.WORKING)) == sorted(claimed)
    assert next(listing.barcodes(bucket), None) is None


def test_claims_of_what_is_due(root: Path, tmp_path: Path) -> None:
    """Tokens whose time has come are claimed once each too, by 16 processes that also claim waiting ones."""
    put(root / "01_in", 500)
    put(root / "01_in", 500, board.DEFERRED, "D")
    claimed = race(root / "01_in", tmp_path)
    assert len(claimed) == len(set(claimed)) == 1_000


@contextmanager
def copied_claims() -> Iterator[None]:
    """A claim looks first, copies, and removes what it has copied."""

    def claim(bucket: Path, barcode: str, worker: str, number: int, state: str = board.WAITING) -> board.Claim | None:
        source, held = board.path_of(bucket, barcode, state), board.Claim(bucket, barcode, worker, number)
        if not source.exists():
            return None
        with suppress(FileNotFoundError):
            shutil.copyfile(source, held.path)
            source.unlink()
        return held

    with mock.patch.object(board, "claim", claim):
        yield


def test_copied_claims_are_double(root: Path, tmp_path: Path) -> None:
    """Without the one rename, 16 processes claim some tokens twice: the race above can be lost."""
    put(root / "01_in", 1_500)
    claimed = race(root / "01_in", tmp_path, copied_claims)
    assert len(claimed) > len(set(claimed))


# --- reapers ---


def claimed_by_the_dead(root: Path, count: int) -> None:
    """Claims of a worker that is no more."""
    put(root / "01_in", count)
    for number, barcode in enumerate(list(listing.barcodes(root / "01_in"))):
        assert board.claim(root / "01_in", barcode, "dead", number + 1)


def reap_all(root: Path, result: Path, around: Around) -> None:
    """Return the dead worker's claims, and write down how many they were."""
    with around(), weak.no_fsync():
        returned = reaper.Reaper(root, [root / "01_in"], 30).reap_worker("dead", "it was killed")
    result.write_text(str(returned))


def reap_together(root: Path, folder: Path, around: Around = nullcontext) -> int:
    """How many claims four reapers at once say that they returned."""
    results = [folder / f"returned-{number}" for number in range(4)]
    start_together((partial(reap_all, root, result, around) for result in results), folder / "start")
    return sum(int(result.read_text()) for result in results)


def test_reapers_at_once(root: Path, ledger: Ledger, tmp_path: Path) -> None:
    """Four reapers that find the same 1,000 claims return each of them once, and the ledgers say so once."""
    claimed_by_the_dead(root, 1_000)
    assert reap_together(root, tmp_path) == 1_000
    waiting = list(listing.barcodes(root / "01_in"))
    assert len(waiting) == 1_000
    assert {len(ledger.read(barcode)) for barcode in waiting} == {1}


def test_reapers_that_copy(root: Path, tmp_path: Path) -> None:
    """Without the one rename, reapers return some claims twice: the race above can be lost."""

    def take_back(dead: board.Claim) -> bool:
        if not dead.path.exists():
            return False
        with suppress(FileNotFoundError):
            shutil.copyfile(dead.path, board.path_of(dead.bucket, dead.barcode, board.WAITING))
            dead.path.unlink()
        return True

    claimed_by_the_dead(root, 1_000)
    assert reap_together(root, tmp_path, lambda: mock.patch.object(board, "take_back", take_back)) > 1_000


def test_reapers_that_are_killed(root: Path, ledger: Ledger, tmp_path: Path) -> None:
    """Reapers killed in the midst of it leave the rest to others: all claims are back, no ledger tells it twice."""
    claimed_by_the_dead(root, 600)
    kills = 0
    while left := sum(1 for _ in listing.claims(root / "01_in")):
        pid = harness.fork(lambda: reaper.Reaper(root, [root / "01_in"], 30).reap_worker("dead", "it was killed"))
        until(lambda seen=left: sum(1 for _ in listing.claims(root / "01_in")) <= max(0, seen - 40))
        os.kill(pid, signal.SIGKILL)
        kills += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    told = [len(ledger.read(barcode)) for barcode in listing.barcodes(root / "01_in")]
    assert kills
    assert len(told) == 600
    assert max(told) == 1
    assert told.count(0) <= kills


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """What the reaper asks."""
        return self.now


@pytest.mark.parametrize("seed", range(20))
def test_how_soon_claims_are_back(root: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A dead worker's claim is back within reap_after and two turns of the reaper; ten times as long a job stays."""
    clock, dice, reap_after = Clock(), random.Random(seed), 30.0
    monkeypatch.setattr(reaper, "time", clock)
    put(root / "01_in", 2)
    for number, worker in enumerate(("live", "dead")):
        Heartbeat(root / "workers", worker).announce()
        assert board.claim(root / "01_in", f"B{number:06}", worker, 1)
    one, turn, died = reaper.Reaper(root, [root / "01_in"], reap_after), reap_after / 8, 1_000 + dice.uniform(20, 90)
    beats = {"live": 1_000.0, "dead": 1_000.0 + dice.random()}
    returned = 0.0
    while clock.now < 1_000 + 10 * reap_after:
        clock.now += turn
        for worker, end in (("live", 1e9), ("dead", died)):
            while beats[worker] + 5 <= min(clock.now, end):
                beats[worker] += 5
            os.utime(root / "workers" / f"{worker}.json", (beats[worker], beats[worker]))
        if one.turn():
            returned = clock.now
    assert reap_after - 5 <= returned - died <= reap_after + 2 * turn
    assert [held.worker for held in listing.claims(root / "01_in")] == ["live"]


def hold(folder: Path, without: str) -> tuple[Settings, int, int]:
    """Two workers, each with a book that takes until the file `go` is there; their process ids."""
    rows = harness.rows(["Waits"], options={"until": str(folder / "go")})
    settings = harness.make_board(folder, rows, reap_after=0.6)
    harness.seed(settings, ["A1", "A2"])
    live, dead = (harness.fork(partial(harness.work, settings, "s0", name, without)) for name in ("w-live", "w-dead"))
    until(lambda: sum(1 for _ in listing.claims(settings.bucket_paths()[0])) == 2, 60)
    return settings, live, dead


@pytest.mark.slow
def test_the_dead_and_the_slow(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Under two reapers a killed worker's claim comes back, once, and a job of ten times reap_after is left alone."""
    settings, live, dead = hold(tmp_path, "")
    began = time.monotonic()
    bucket, ledger = settings.bucket_paths()[0], Ledger(settings.global_.pipeline_dir / "ledger")
    reapers = [harness.fork(partial(harness.reap, settings)) for _ in range(2)]
    os.kill(dead, signal.SIGKILL)
    os.waitpid(dead, 0)
    until(lambda: any(listing.barcodes(bucket)), 60)
    took = time.monotonic() - began
    figure(f"back after {took:.2f} s of a limit of 0.6 s")
    assert took > 0.6 - settings.global_.beat_every
    time.sleep(max(0.0, 10 * 0.6 - took))
    assert [held.worker for held in listing.claims(bucket)] == ["w-live"]
    (tmp_path / "go").touch()
    until(lambda: sum(1 for _ in listing.barcodes(settings.bucket_paths()[1])) == 2, 60)
    for pid in (live, *reapers):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    kinds = sorted([event["event"] for event in ledger.read(barcode)].count("returned") for barcode in ("A1", "A2"))
    assert kinds == [0, 1]


def test_a_slow_worker_without_heartbeat_is_taken_for_dead(tmp_path: Path) -> None:
    """Without its heartbeat, live work is taken back: what keeps it above is the heartbeat and nothing else."""
    settings, *workers = hold(tmp_path, "heartbeat")
    pid = harness.fork(partial(harness.reap, settings))
    until(lambda: sum(1 for _ in listing.barcodes(settings.bucket_paths()[0])) == 2, 60)
    for one in (pid, *workers):
        os.kill(one, signal.SIGKILL)
        os.waitpid(one, 0)


def test_what_a_killed_heartbeat_leaves(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker killed while it wrote its heartbeat file leaves half a one, which goes when the worker is buried."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def announce() -> None:
        with mock.patch.object(os, "rename", die), mock.patch.object(os, "replace", die):
            Heartbeat(root / "workers", "w-1").announce()

    assert harness.exit_code(harness.fork(announce)) == -signal.SIGKILL
    assert len(list((root / "workers").iterdir())) == 1
    clock = Clock()
    monkeypatch.setattr(reaper, "time", clock)
    one = reaper.Reaper(root, [root / "01_in"], 30)
    for _ in range(400):
        clock.now += 4
        one.turn()
    assert list((root / "workers").iterdir()) == []
