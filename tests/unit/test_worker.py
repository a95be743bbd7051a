"""The worker's loop, its waiting, its halts and its end, in this process: a real board, a real stage, real signals."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import board, feed, heartbeat, worker
from common.errors import Reject, Retry
from common.ledger import Ledger
from common.stage import Book
from tests.helpers import until
from tests.unit.recording import recorded
from tests.unit.workbench import NAME, Bench, Does


@pytest.fixture
def _signals() -> Iterator[None]:
    """The test's own signal handlers are back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither halts nor the watchdog make a test wait."""
    monkeypatch.setattr(worker, "_HALT_FIRST", 0.0)
    monkeypatch.setattr(worker, "_TICK", 0.01)


def waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the worker would have waited, each time; it lists its bucket anew at each turn."""
    found: list[float] = []
    monkeypatch.setattr(feed, "_RELIST_AFTER", 0.0)
    monkeypatch.setattr(feed, "_RELIST_SHARE", 0)
    monkeypatch.setattr(bench.worker, "_wait", found.append)
    return found


def broken(*_: object, **__: object) -> None:
    """A disk that cannot be written."""
    raise OSError(errno.ENOSPC, "full")


# --- a whole life ---------------------------------------------------------------------------------------------------


def asked(port: int, path: str) -> tuple[int, str]:
    """What the worker answers over HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_whole_life(root: Path, number: signal.Signals, _signals: None, _hasty: None) -> None:
    """A worker announces itself, works, answers, and at a signal finishes the book in hand, closes and leaves."""
    answers: list[object] = []

    def deed(book: Book, work: Path) -> None:
        try:
            looked()
        finally:
            os.kill(os.getpid(), number)
        until(lambda: bench.worker.stopping_since is not None)
        answers.append(asked(bench.facts()["port"], "/readyz"))

    def looked() -> None:
        facts = bench.facts()
        answers.append((facts["stage"], facts["worker"], facts["metrics"]))
        answers.append(f"http://127.0.0.1:{facts['port']}/metrics")
        answers.append(abs(bench.worker.desk.server_now() - time.time()) < 5)
        answers.extend((asked(facts["port"], "/healthz"), asked(facts["port"], "/readyz")))
        answers.append("grin_stage_paused" in asked(facts["port"], "/metrics")[1])
        answers.append("watchdog" in [thread.name for thread in threading.enumerate() if thread.daemon])

    bench = Bench(root, deed, poll=0.01)
    bench.put("A1", "A2")
    bench.worker.desk.server_now = lambda: 0.0
    bench.worker.run("127.0.0.1", 0)
    assert answers[0] == (NAME, "w-1", answers[1])
    assert answers[2:] == [True, (200, "working\n"), (200, "ready\n"), True, True, (503, "stopping\n")]
    assert Does.happened[0] == "opened"
    assert Does.happened[2:] == ["closed"]
    assert len(list((root / "02_out").glob("*.json"))) == len(list((root / "01_in").glob("*.json"))) == 1
    assert list((root / "workers").iterdir()) == []
    assert "watchdog" not in [thread.name for thread in threading.enumerate()]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == [signal.SIG_DFL] * 2
    assert [text for text in bench.said() if text.startswith("The worker ")] == [
        "The worker is ready.",
        "The worker has stopped.",
    ]
    assert vars(bench.records[0])["port"] > 0


def test_what_cannot_be_returned_keeps_its_heartbeat(root: Path, _signals: None, _hasty: None) -> None:
    """A worker that ends with a claim that it cannot give back leaves its file, so that a reaper notices."""
    bench = Bench(root, poll=0.01)
    bench.put("A1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "append", broken)
        bench.worker._turn_safely()
        patch.setattr(board, "give_back", broken)
        bench.worker.stopping_since = time.monotonic()
        bench.worker.run("127.0.0.1", 0)
    assert bench.facts()["worker"] == "w-1"
    assert len(bench.places()) == 1


def test_an_idle_worker_ends_at_once(root: Path, _signals: None, _hasty: None) -> None:
    """A worker that waits for books wakes up at a signal, however long it would have waited."""
    bench = Bench(root, poll=600)

    def tell() -> None:
        # By default a signal would end the tests, if the worker did not even wait for it.
        if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(0.2, tell)
    timer.start()
    began = time.monotonic()
    bench.worker.run("127.0.0.1", 0)
    timer.join()
    assert 0.1 < time.monotonic() - began < 60


# --- one turn -------------------------------------------------------------------------------------------------------


def test_one_turn_one_book(root: Path) -> None:
    """A turn takes one book, moves it on and counts it; the book is in hand only while it is worked on."""
    seen: list[object] = []

    def deed(book: Book, work: Path) -> None:
        current = bench.worker.current
        seen.append(current.held.barcode if current else None)

    bench = Bench(root, deed)
    bench.put("A1")
    bench.worker._turn_safely()
    assert seen == ["A1"]
    assert bench.worker.current is None
    assert bench.places() == ["02_out/A1.json"]
    assert bench.metric("grin_stage_tokens_total", outcome="done") == 1


@pytest.mark.parametrize(
    ("verdict", "place", "outcome"),
    [
        (Retry("Later.", delay=60), "01_in/deferred/A1.json", "deferred"),
        (Reject("No."), "01_in/failed/A1.json", "failed"),
    ],
)
def test_verdicts_are_counted(root: Path, verdict: Exception, place: str, outcome: str) -> None:
    """A deferred and a failed book are counted as what they are."""

    def deed(_book: Book, _work: Path) -> None:
        raise verdict

    bench = Bench(root, deed)
    bench.put("A1")
    bench.worker._turn_safely()
    assert bench.places() == [place]
    assert bench.metric("grin_stage_tokens_total", outcome=outcome) == 1


def test_idle_workers_wait_in_no_step(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to do a worker waits between half of the poll and the whole of it, never the same."""
    bench = Bench(root, poll=0.4)
    found = waits(bench, monkeypatch)
    bench.worker._busy -= 100
    for _ in range(60):
        bench.worker._turn()
    assert 0.2 <= min(found) < 0.25
    assert 0.35 < max(found) <= 0.4


def test_after_a_book_the_next_is_looked_for_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that just had a book waits for a moment only, and the longer it has none, the longer, up to the poll."""
    bench = Bench(root, poll=0.4)
    found = waits(bench, monkeypatch)
    bench.worker._busy -= 100
    bench.put("A1")
    bench.worker._turn()
    bench.worker._turn()
    assert 0.01 <= found[-1] < 0.1
    assert [round(worker.pause(0.4, idle), 3) for idle in (0, 0.4, 1.2, 1.6, 99)] == [0.02, 0.12, 0.32, 0.4, 0.4]


def test_a_turn_is_a_sign_of_life(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn says that the loop turns."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    bench.worker._turned = 0.0
    bench.worker._turn()
    assert time.monotonic() - bench.worker._turned < 5


def test_a_deferred_book_is_taken_when_the_server_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a book is due is judged by the file server's clock."""
    bench = Bench(root)
    held = bench.claim()
    board.defer(held, time.time() + 1000)
    waits(bench, monkeypatch)
    bench.worker._turn()
    assert bench.places() == ["01_in/deferred/A1.json"]
    monkeypatch.setattr(bench.worker.heartbeat, "server_now", lambda: time.time() + 2000)
    bench.worker.feed._look_at = 0.0
    bench.worker._turn()
    assert bench.places() == ["02_out/A1.json"]


def test_a_pause_is_seen_and_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the stage is paused nothing is claimed, the poll is waited for, and the metrics say so; then it goes on."""
    bench = Bench(root, poll=0.4)
    found = waits(bench, monkeypatch)
    bench.put("A1")
    (root / "paused" / NAME).touch()
    bench.worker._turn()
    assert (found, bench.places()) == ([0.4], ["01_in/A1.json"])
    assert bench.metric("grin_stage_paused", reason="operator") == 1
    assert bench.metric("grin_stage_wip_limited") == 0
    (root / "paused" / NAME).unlink()
    bench.worker._turn()
    assert bench.places() == ["02_out/A1.json"]
    assert bench.metric("grin_stage_paused", reason="operator") == 0


def test_a_limit_is_seen_and_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a limit nothing is claimed; the metrics and the heartbeat file say so, and say when it is over."""
    bench = Bench(root, wip_limit=1, poll=0.4)
    found = waits(bench, monkeypatch)
    bench.put("A1")
    (root / "02_out" / "B2.json").write_text("{}")
    bench.worker._turn()
    assert (found, bench.places()) == ([0.4], ["01_in/A1.json"])
    assert bench.metric("grin_stage_wip_limited") == 1
    assert "02_out holds wip_limit, 1 books" in bench.facts()["limited"]
    (root / "02_out" / "B2.json").unlink()
    bench.worker._told -= 2
    bench.worker._turn()
    assert bench.places() == ["02_out/A1.json"]
    assert bench.metric("grin_stage_wip_limited") == 0
    assert bench.facts()["limited"] == ""


def test_a_paused_stage_has_no_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a stage is paused its limits are not looked at, and not shown."""
    bench = Bench(root, wip_limit=1)
    waits(bench, monkeypatch)
    (root / "paused" / NAME).touch()
    (root / "02_out" / "B2.json").write_text("{}")
    bench.worker._turn()
    assert bench.metric("grin_stage_wip_limited") == 0
    assert not bench.facts().get("limited")


def test_news_of_a_limit_at_most_once_a_second(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that comes and goes is not written down each time, nor is one that stays, nor none at all."""
    bench = Bench(root, wip_limit=1)
    waits(bench, monkeypatch)
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with recorded("replace") as calls:
        bench.worker._turn()
        assert calls == []
        (root / "02_out" / "B2.json").write_text("{}")
        bench.worker._turn()
        (root / "02_out" / "B2.json").unlink()
        for now[0] in (1000.0, 1001.0):
            bench.worker._turn()
            assert len(calls) == 1
        assert bench.facts()["limited"] != ""
        for now[0] in (1001.5, 1003.0):
            bench.worker._turn()
            assert len(calls) == 2
    assert bench.facts()["limited"] == ""


def test_a_token_of_the_future_is_left_for_a_while(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that an attempt has left alone is not looked at again at once, and counts as nothing."""
    bench = Bench(root)
    found = waits(bench, monkeypatch)
    board.path_of(root / "01_in", "A1", board.WAITING).write_text('{"barcode": "A1", "version": 9}')
    bench.worker._turn()
    bench.worker._turn()
    assert bench.places() == ["01_in/A1.json"]
    assert (len(found), len([text for text in bench.said() if "version" in text])) == (1, 1)
    assert bench.worker.feed._skipped["A1"] > time.monotonic() + 30
    assert bench.metric("grin_stage_tokens_total", outcome="left") is None


def test_a_claim_that_is_lost_in_the_last_moment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is taken back while its verdict is written is counted as lost, and the loop goes on."""
    bench = Bench(root)
    path = board.path_of(root / "01_in", "A1", board.WAITING)
    path.write_text("no token")
    os.utime(path, (1e9, 1e9))
    real = Ledger.append

    def meanwhile(itself: Ledger, barcode: str, event: str, **members: object) -> None:
        real(itself, barcode, event, **members)
        (claim,) = (root / "01_in" / "working").iterdir()
        claim.unlink()

    monkeypatch.setattr(Ledger, "append", meanwhile)
    bench.worker._turn_safely()
    assert bench.metric("grin_stage_tokens_total", outcome="lost") == 1
    assert bench.worker.ready() == (True, "ready")


def test_a_worker_tells_what_it_has_done(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Books and bytes since it began stand in its file after its turns; a book that fails is not among them."""
    monkeypatch.setattr(heartbeat, "_NOTE_FIRST", 0)

    def deed(book: Book, _work: Path) -> dict[str, int]:
        if book.barcode == "A2":
            raise ValueError("no")
        return {"bytes_in": 10, "bytes_out": 7}

    bench = Bench(root, deed)
    assert bench.facts()["passed"] == {"books": 0, "bytes_in": 0, "bytes_out": 0}
    bench.put("A1", "A2", "A3")
    for _ in range(4):
        bench.worker._turn()
    assert bench.facts()["passed"] == {"books": 2, "bytes_in": 20, "bytes_out": 14}
