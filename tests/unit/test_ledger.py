"""The ledger: append, read, register once, count attempts."""

from __future__ import annotations

import threading
from pathlib import Path

from common import ledger as ledgers
from common.ledger import Ledger


def test_append_and_read(ledger: Ledger) -> None:
    """Lines come back in order, with their members."""
    ledger.append("32101081977728", "attempt", stage="x", attempt=1)
    ledger.append("32101081977728", "done", stage="x", facts={"n": 1})
    events = ledger.read("32101081977728")
    assert [event["event"] for event in events] == ["attempt", "done"]
    assert ledger.path("32101081977728").parent.name == "728"


def test_short_barcodes(ledger: Ledger) -> None:
    """A barcode shorter than the folder's three letters has a place too."""
    ledger.append("a.", "done")
    assert ledger.read("a.")[0]["event"] == "done"


def test_torn_line(ledger: Ledger) -> None:
    """A line torn by a power cut is passed over, and the next one is not swallowed by it."""
    ledger.append("A1", "attempt")
    with ledger.path("A1").open("ab") as file:
        file.write(b'{"event": "do')
    ledger.append("A1", "done")
    assert [event["event"] for event in ledger.read("A1")] == ["attempt", "done"]


def test_strange_lines(ledger: Ledger) -> None:
    """Bytes that are no event do not stop the reading."""
    ledger.append("A1", "attempt")
    with ledger.path("A1").open("ab") as file:
        file.write(b'\xff\n[]\n"x"\n{"event": 5}\n\n')
    assert len(ledger.read("A1")) == 1


def test_registered_once(ledger: Ledger) -> None:
    """Of many who register one book at the same time, one succeeds."""
    won: list[bool] = []
    threads = [threading.Thread(target=lambda: won.append(ledger.register("A1", token="t"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]
    assert [event["event"] for event in ledger.read("A1")] == ["registered"]
    assert [path.name for path in ledger.path("A1").parent.iterdir()] == ["A1.jsonl"]


def _events(*kinds: str) -> list[dict[str, str]]:
    return [dict(zip(("event", "stage"), kind.split(":"), strict=False)) for kind in kinds]


def test_attempts_count_what_is_the_books_fault() -> None:
    """Attempts count since the last end; halts and hand-backs are forgiven; other stages do not matter."""
    count = ledgers.attempts
    assert count(_events("attempt:x", "attempt:x"), "x") == 2
    assert count(_events("attempt:x", "halted:x", "attempt:x"), "x") == 1
    assert count(_events("attempt:x", "handed_back:x"), "x") == 0
    assert count(_events("attempt:x", "done:x", "attempt:y"), "x") == 0
    assert count(_events("attempt:x", "attempt:x", "retried", "attempt:x"), "x") == 1
    assert count(_events("attempt:x", "redo:x", "attempt:x"), "x") == 1
    assert count(_events("attempt:x", "done:y"), "x") == 1
    assert count(_events("attempt:x", "attempt:x", "failed:x", "attempt:x"), "x") == 1


def test_redos_are_counted_until_a_person_retries() -> None:
    """A stage's own redos count, another's do not, and a retry starts anew."""
    events = _events("redo:x", "redo:y", "redo:x")
    assert ledgers.redos(events, "x") == 2
    assert ledgers.redos([*events, {"event": "retried"}], "x") == 0
    assert ledgers.redos([*events, {"event": "failed", "stage": "x"}], "x") == 0


def test_missing_book(tmp_path: Path) -> None:
    """A book without a story has no events."""
    assert Ledger(tmp_path).read("A1") == []
