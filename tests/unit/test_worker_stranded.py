"""Claims of which no verdict could be written, claims that a worker does not know of, and when it reaps."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common import board, worker
from common.attempt import Attempt
from common.ledger import Ledger
from tests.unit.test_worker import broken, waits
from tests.unit.workbench import Bench


def failing(number: int) -> Callable[..., None]:
    """A ledger that cannot be written."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fails


def stranded(bench: Bench, barcode: str = "A1") -> Attempt:
    """A claim of which no verdict could be written."""
    attempt = Attempt(bench.worker.desk, bench.claim(barcode))
    bench.worker._stranded.append(attempt)
    return attempt


def test_a_verdict_that_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token stays claimed and nothing is claimed meanwhile; once it can be it is returned, and the others flow."""
    bench = Bench(root)
    found = waits(bench, monkeypatch)
    bench.put("A1", "A2")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", failing(errno.EIO))
        bench.worker._turn_safely()
        (first,) = [barcode for barcode in ("A1", "A2") if "working" in bench.places(barcode)[0]]
        patch.setattr(board, "give_back", broken)
        bench.worker._turn_safely()
        assert "working" in bench.places(first)[0]
        assert found == [1.0, 0.5]
    assert f"{first} could not be given a verdict" in bench.facts()["halted"]
    assert bench.facts()["cure"].startswith("Make space")
    assert bench.worker.current is None
    bench.worker._turn_safely()
    assert bench.places(first) == [f"01_in/{first}.json"]
    other = "A2" if first == "A1" else "A1"
    assert bench.places(other) == [f"02_out/{other}.json"]


@pytest.mark.parametrize(("number", "skipped"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_which_book_waits_for_its_next_look(
    root: Path, number: int, skipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk makes no book wait longer than itself; a book with another error is left alone for a minute."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    bench.put("A1")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", failing(number))
        bench.worker._turn_safely()
    until = bench.worker.feed._skipped.get("A1")
    assert (until is not None) == skipped
    assert until is None or until == pytest.approx(time.monotonic() + worker._LOOK_AGAIN, abs=30)


def test_what_is_returned_says_why(root: Path) -> None:
    """A claim without a verdict that had begun an attempt is returned as halted, so that it does not count."""
    bench = Bench(root)
    attempt = stranded(bench)
    attempt._record("attempt")
    assert bench.worker._return_stranded()
    assert bench.kinds() == ["attempt", "halted"]
    assert bench.ledger.read("A1")[-1]["reason"] == "the verdict could not be written"
    assert bench.places() == ["01_in/A1.json"]
    assert bench.worker._stranded == []


def test_a_stranded_claim_that_somebody_took(root: Path) -> None:
    """A claim without a verdict that a reaper has taken back needs nothing more."""
    bench = Bench(root)
    board.take_back(stranded(bench).held)
    assert bench.worker._return_stranded()
    assert bench.worker._stranded == []


def test_a_stranded_claim_whose_places_are_taken(root: Path) -> None:
    """A claim that finds its place taken by a copy is left for a person, with a word, and the others are returned."""
    bench = Bench(root)
    first = stranded(bench)
    stranded(bench, "B2")
    bench.put("A1")
    assert bench.worker._return_stranded()
    assert first.held.path.exists()
    assert bench.places("B2") == ["01_in/B2.json"]
    assert bench.said()[-1].endswith("The claim stays where it is.")
    assert vars(bench.records[-1])["barcode"] == "A1"


def test_a_stranded_claim_that_must_wait_longer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One claim that cannot be returned yet keeps none of the others from it, and is tried again."""
    bench = Bench(root)
    first, second = stranded(bench), stranded(bench, "B2")
    real = board.give_back

    def some(held: board.Claim) -> None:
        if held.barcode == "A1":
            raise OSError(errno.EIO, "not yet")
        real(held)

    monkeypatch.setattr(board, "give_back", some)
    assert not bench.worker._return_stranded()
    assert bench.worker._stranded == [first]
    assert not second.held.path.exists()
    monkeypatch.setattr(board, "give_back", real)
    assert bench.worker._return_stranded()


def test_an_attempt_that_breaks_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody has thought of ends no worker: its book fails and says what it was."""
    bench = Bench(root)
    bench.put("A1")

    def odd(*_: object) -> None:
        raise ValueError("odd")

    with pytest.MonkeyPatch.context() as without:
        without.setattr(Ledger, "read", odd)
        bench.worker._turn_safely()
    assert bench.places() == ["01_in/failed/A1.json"]
    failed = Ledger(root / "ledger").read("A1")[-1]
    assert (failed["event"], "ValueError: odd" in failed["reason"]) == ("failed", True)
    assert any(record.exc_info for record in bench.records)


# --- reaping --------------------------------------------------------------------------------------------------------


def test_reaping_several_times_within_reap_after(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker looks for the dead eight times within reap_after, not at every turn."""
    bench = Bench(root, reap_after=80)
    turns: list[float] = []
    monkeypatch.setattr(bench.worker.reaper, "turn", lambda: turns.append(0) or 0)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    for ago, reaped in ((10.0, 0), (10.1, 1), (9.0, 1)):
        bench.worker._reaped = 1000.0 - ago
        bench.worker._reap()
        assert len(turns) == reaped
        assert bench.worker._reaped == (1000.0 if ago > 10 else 1000.0 - ago)


def test_claims_that_a_worker_does_not_know_of(root: Path) -> None:
    """A claim under its own name that a worker knows nothing of comes back; one without a verdict is its own matter."""
    bench = Bench(root, reap_after=80)
    stranded(bench)
    bench.claim("B2")
    for _ in range(4):
        bench.worker._reaped = time.monotonic() - 11
        bench.worker._reap()
    assert "working" in bench.places("A1")[0]
    assert bench.places("B2") == ["01_in/B2.json"]


def test_only_its_own_bucket_is_reaped(root: Path) -> None:
    """A worker brings back the claims in its input bucket, after the silence that the configuration says."""
    bench = Bench(root, reap_after=80)
    assert bench.worker.reaper.buckets == [root / "01_in"]
    assert bench.worker.reaper.reap_after == 80
