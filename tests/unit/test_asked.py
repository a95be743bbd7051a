"""The board's memory of conversions: what it keeps, and when a book may be asked for again."""

from __future__ import annotations

import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.grin.entries import Entry
from common.grin.process import Answered, Status
from common.settings import Settings
from services.orchestrator.asked import CAP, GRACE, OTHER_AGAIN, OTHER_TRIES, Asked

DAY = 86_400.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A board, and the usual two weeks after a failure."""
    return Settings.model_validate({"global": {"pipeline_dir": tmp_path}})


def remembered(settings: Settings) -> Asked:
    """The memory as another process reads it."""
    asked = Asked(settings)
    asked.refresh()
    return asked


def answer(settings: Settings, status: Status, *barcodes: str, text: str = "words") -> None:
    """Remember an answer of GRIN."""
    Asked(settings).record({barcode: Answered(status, text) for barcode in barcodes})


def age(settings: Settings, seconds: float) -> None:
    """Make all that is remembered so much older."""
    path = remembered(settings).path
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["time"] = (datetime.fromisoformat(line["time"]) - timedelta(seconds=seconds)).isoformat()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.quirk("process-not-allowed")
def test_refused_for_ever(settings: Settings) -> None:
    """What GRIN may not convert is never asked for again, and is told apart."""
    answer(settings, Status.REFUSED, "R1", "R2")
    age(settings, 4000 * DAY)
    asked = remembered(settings)
    assert asked.why_not("R1", time.time()) == "refused"
    assert list(asked.refused()) == ["R1", "R2"]
    assert asked.why_not("X1", time.time()) == ""


@pytest.mark.quirk("neither-in-process-nor-converted")
def test_lists_that_lag(settings: Settings) -> None:
    """A book that is on no list after it was asked for has some grace, is asked for three times, and is given up."""
    for _ in range(CAP):
        answer(settings, Status.ACCEPTED, "A1")
        assert remembered(settings).why_not("A1", time.time()) == "asked lately"
        age(settings, GRACE + 1)
        last = remembered(settings).why_not("A1", time.time())
    assert last == "given up"
    answer(settings, Status.ACCEPTED, "A2")
    age(settings, GRACE + 1)
    assert remembered(settings).why_not("A2", time.time()) == ""


@pytest.mark.quirk("pool-drops-its-oldest")
def test_seen_since(settings: Settings) -> None:
    """A book that was in the pool since is asked for at once when it is gone; from the queue its grace begins anew."""
    answer(settings, Status.ACCEPTED, "S1", "S2", "S3")
    age(settings, GRACE + 1)
    asked = remembered(settings)
    asked.note_seen(["S1", "X1"], ["S2", "X2"])
    assert [asked.why_not(b, time.time()) for b in ("S1", "S2", "S3", "X1")] == ["asked lately", "", "", ""]
    asked.record({"S2": Answered(Status.ACCEPTED, "Success")})
    assert asked.why_not("S2", time.time()) == "asked lately"


@pytest.mark.quirk("process-other-error")
def test_unknown_answers(settings: Settings) -> None:
    """An answer that nobody knows is tried again after a day, a few times, and then as a failed one."""
    for _ in range(OTHER_TRIES):
        answer(settings, Status.OTHER, "O1", text="Other error")
        assert remembered(settings).why_not("O1", time.time() + OTHER_AGAIN / 2) == "answered otherwise"
        late = remembered(settings).why_not("O1", time.time() + OTHER_AGAIN + 1)
        assert late == ("" if remembered(settings)._marks["O1"].count < OTHER_TRIES else "answered otherwise")
    assert remembered(settings).why_not("O1", time.time() + 14 * DAY + 1) == ""


@pytest.mark.quirk("failed-conversions")
def test_failed_conversions(settings: Settings) -> None:
    """A failure is remembered once by GRIN's date; after two weeks it may be asked for; a new failure begins anew."""
    today = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    fresh, old = Entry("F1", failed=today, reason="no order"), Entry("F2", failed=today - timedelta(days=20))
    asked = remembered(settings)
    assert asked.record_failed([fresh, old, Entry("F3", failed=today)], {"F3"}) == 2
    assert asked.record_failed([fresh, old], set()) == 0
    again = remembered(settings)
    assert [again.why_not(b, time.time()) for b in ("F1", "F2", "F3")] == ["failed", "", ""]
    assert again.why_not("F1", time.time() + 15 * DAY) == ""
    again.record({"F2": Answered(Status.ACCEPTED, "Success")})
    assert again.record_failed([old], set()) == 0
    assert again.record_failed([Entry("F2", failed=today)], set()) == 1
    assert again.why_not("F2", time.time()) == "failed"
    assert "no order" in again.path.read_text()


def test_failures_without_a_date(settings: Settings) -> None:
    """A failure without a date counts once, and again only when the lists have had time to change."""
    asked = remembered(settings)
    assert asked.record_failed([Entry("N1")], set()) == 1
    asked.record({"N1": Answered(Status.ACCEPTED, "Success")})
    assert asked.record_failed([Entry("N1")], set()) == 0
    age(settings, GRACE + 1)
    later = remembered(settings)
    assert later.record_failed([Entry("N1")], set()) == 1
    assert later.why_not("N1", time.time()) == "failed"


def test_strange_and_torn_lines(settings: Settings) -> None:
    """Lines that are torn, strange or half written are passed over, and those around them count."""
    answer(settings, Status.REFUSED, "R1")
    path = remembered(settings).path
    strange = ["[]", "{}", "nonsense", '{"time": 1, "status": "refused", "barcodes": ["X1"]}', "\x00\xff"]
    strange += ['{"time": "2026-01-01T00:00:00Z", "status": "loved", "barcodes": ["X2"]}', '"']
    strange += ['{"time": "2026-01-01T00:00:00Z", "status": "refused", "barcodes": [7, "R7"]}', "[" * 100_000]
    with path.open("a") as file:
        file.write("\n".join(strange) + '\n{"time": "2026-01-01T00:00:00Z", "status": "ref')
    asked = remembered(settings)
    answer(settings, Status.REFUSED, "R2")
    asked.refresh()
    assert list(asked.refused()) == ["R1", "R7", "R2"]
    assert list(remembered(settings).refused()) == ["R1", "R7", "R2"]


def test_a_dry_run_writes_nothing(settings: Settings) -> None:
    """What a dry run learns it remembers for itself alone."""
    asked = Asked(settings, dry_run=True)
    asked.record_failed([Entry("F1", failed=datetime.now(UTC).replace(tzinfo=None))], set())
    assert asked.why_not("F1", time.time()) == "failed"
    assert not asked.path.parent.exists()


def test_several_writers(settings: Settings) -> None:
    """Writers at the same time lose nothing, and each reads what the others wrote."""

    def write(number: int) -> None:
        for turn in range(20):
            answer(settings, Status.ACCEPTED, *(f"W{number}T{turn}N{n}" for n in range(50)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(remembered(settings)) == 4 * 20 * 50


def test_memory_of_many_books(settings: Settings, figure: Callable[[str], None]) -> None:
    """A million books (CONVERT_BOOKS says how many) take little more than their barcodes."""
    books = int(os.environ.get("CONVERT_BOOKS", "100000"))
    path = Asked(settings).path
    path.parent.mkdir()
    with path.open("w") as file:
        for start in range(0, books, 100):
            some = [f"32101{number:09}" for number in range(start, start + 100)]
            event = {"time": "2026-01-01T00:00:00Z", "status": "accepted", "text": "Success", "barcodes": some}
            file.write(json.dumps(event) + "\n")
    tracemalloc.start()
    began = time.monotonic()
    asked = remembered(settings)
    size, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    took = time.monotonic() - began
    figure(f"{books:,} books: {size / books:.0f} bytes a book, at most {most / 1e6:.0f} MB, {took:.1f} s")
    assert len(asked) == books
    assert most / books < 220
