"""The ledger: append, read, register once, count attempts."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common import __version__
from common import ledger as ledgers
from common.ledger import Ledger, NoLedger
from tests.unit.recording import recorded


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
    assert count(_events("attempt:x", "deferred:x", "attempt:x", "deferred:x"), "x") == 2
    assert count(_events("attempt:x", "attempt:x", "halted:y"), "x") == 2
    assert count(_events("attempt:x", "attempt:x", "attempt:x", "halted:x"), "x") == 2
    assert count(_events("attempt:x", "registered", "attempt:x"), "x") == 1
    assert count(_events("halted:x", "attempt:x"), "x") == 1


def test_redos_are_counted_until_a_person_retries() -> None:
    """A stage's own redos count, another's do not, and a retry starts anew."""
    events = _events("redo:x", "redo:y", "redo:x")
    assert ledgers.redos(events, "x") == 2
    assert ledgers.redos([*events, {"event": "retried"}], "x") == 0
    assert ledgers.redos([*events, {"event": "released"}], "x") == 0
    assert ledgers.redos([*events, {"event": "failed", "stage": "x"}], "x") == 0
    assert ledgers.redos([{"event": "retried"}, *events], "x") == 2


def test_missing_book(tmp_path: Path) -> None:
    """A book without a story has no events."""
    assert Ledger(tmp_path).read("A1") == []


def test_the_time_is_utc() -> None:
    """A line's time is UTC to the millisecond, and ends with a Z."""
    text = ledgers.now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert abs(datetime.fromisoformat(text) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.fixture
def _other_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that is not set to UTC."""
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_time_zone_of_the_machine_does_not_matter(_other_time_zone: None) -> None:
    """Wherever the machine thinks it is, the ledger's time is UTC."""
    test_the_time_is_utc()


def test_what_a_line_holds(ledger: Ledger) -> None:
    """A line says when, what, what else was given, and which release wrote it; one line, whatever is in it."""
    ledger.append("A1", "done", facts={"path": Path("/x"), "title": "Œuvres\nde \udcff"})
    (line,) = ledger.path("A1").read_bytes().splitlines()
    assert "Œuvres\\nde ?".encode() in line
    whole = json.loads(line)
    assert list(whole) == ["time", "event", "facts", "version"]
    assert whole["time"].endswith("Z")
    assert (whole["event"], whole["version"]) == ("done", __version__)
    assert whole["facts"]["path"] == "/x"


def test_each_line_is_durable(ledger: Ledger) -> None:
    """A line is synced after it is written; the folder is synced too, but only when the file is new."""
    with recorded("write", "fsync") as first:
        ledger.append("32101081977728", "attempt")
    path = ledger.path("32101081977728")
    assert first == [
        ("fsync", str(ledger.folder)),
        ("write", str(path)),
        ("fsync", str(path)),
        ("fsync", str(path.parent)),
    ]
    with recorded("write", "fsync") as second:
        ledger.append("32101081977728", "done")
    assert second == [("write", str(path)), ("fsync", str(path))]
    assert path.read_bytes().count(b"\n") == len(path.read_bytes().splitlines()) == 2


def test_only_a_torn_line_is_closed_off(ledger: Ledger) -> None:
    """Whole lines stand under one another without a gap; a torn one ends where the next begins."""
    for event in ("attempt", "halted", "attempt"):
        ledger.append("A1", event)
    assert all(ledger.path("A1").read_bytes().split(b"\n")[:-1])
    with ledger.path("A1").open("ab") as file:
        file.write(b"\nx")
    ledger.append("A1", "done")
    assert ledger.path("A1").read_bytes().split(b"\n")[3:5] == [b"", b"x"]


def test_who_may_read_a_story(ledger: Ledger) -> None:
    """A story that begins with a token put down by hand may be read by everybody and written by its owner."""
    before = os.umask(0)
    try:
        ledger.append("A1", "attempt")
    finally:
        os.umask(before)
    assert ledger.path("A1").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("kind", "number"), [("folder", errno.EISDIR), ("link", errno.ELOOP), ("fifo", errno.EINVAL)])
def test_what_is_no_ledger(ledger: Ledger, kind: str, number: int) -> None:
    """A folder, a link or a FIFO in a ledger's place is told by its name, never followed and never waited for."""
    path = ledger.path("A1")
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/hostname")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NoLedger) as caught:
        ledger.append("A1", "done")
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert caught.value.strerror == "it is no regular file"
    with pytest.raises(NoLedger) as caught:
        ledger.read("A1")
    assert (caught.value.strerror, caught.value.filename) == ("it is no regular file", str(path))
    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_error_of_the_disk_is_not_a_state_of_the_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot be opened for some other reason is that error, so that the stage waits for its end."""
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "gone")))
    with pytest.raises(OSError, match="gone") as caught:
        ledger.read("A1")
    assert not isinstance(caught.value, NoLedger)


def test_what_a_claim_wrote_after_its_return_is_late(ledger: Ledger) -> None:
    """An event of a claim is late from the line on in which that claim was returned; those of other claims are not."""
    ledger.append("A1", "attempt", claim="w.1", stage="x")
    ledger.append("A1", "returned", claim="w.1")
    ledger.append("A1", "returned")
    ledger.append("A1", "done", claim="w.1", stage="x")
    ledger.append("A1", "attempt", claim="v.1", stage="x")
    ledger.append("A1", "retried")
    assert [event.get("late") for event in ledger.read("A1")] == [None, None, None, True, None, None]


def test_what_is_late_counts_for_nothing() -> None:
    """A late end neither ends the counting of attempts nor counts as a redo."""
    late = {"event": "redo", "stage": "x", "late": True}
    assert ledgers.attempts([*_events("attempt:x"), late], "x") == 1
    assert ledgers.redos([*_events("redo:x"), late], "x") == 1


def test_the_newest_event() -> None:
    """The newest event of the kinds asked for, of one stage or of any; late ones only when they are asked for."""
    events = [
        {"event": "done", "stage": "x", "n": 1},
        {"event": "done", "stage": "y", "n": 2},
        {"event": "failed", "stage": "x", "n": 3},
        {"event": "done", "stage": "x", "n": 4, "late": True},
        {"event": "registered", "n": 5},
    ]

    def newest(*kinds: str, stage: str | None = None, late: bool | None = None) -> object:
        more = {} if late is None else {"late": late}
        return (ledgers.last(events, *kinds, stage=stage, **more) or {}).get("n")

    assert newest("done") == 2
    assert newest("done", stage="x") == 1
    assert newest("done", "failed", stage="x") == 3
    assert newest("done", stage="x", late=True) == 4
    assert newest("registered") == 5
    assert newest("registered", stage="x") is None
    assert newest("halted") is None


def test_registered_durably(ledger: Ledger) -> None:
    """The first lines are synced before the books have their names, the names' folders after that; no draft stays."""
    drafts, stories = ledger.folder.parent / "seeding", [ledger.path(barcode) for barcode in ("A1", "B2")]
    for path in stories:
        path.parent.mkdir()
    with recorded("fsync", "link", "unlink") as calls:
        assert ledger.register_all({"A1": {"token": "t"}, "B2": {"token": "u"}}) == ["A1", "B2"]
    assert [name for name, *_ in calls] == ["fsync", "fsync", "link", "unlink", "link", "unlink", "fsync", "fsync"]
    assert [Path(call[1]).parent for call in calls[:6]] == [drafts] * 6
    assert {call[1] for call in calls[6:]} == {str(path.parent) for path in stories}
    assert list(drafts.iterdir()) == []
    assert [ledger.read(barcode)[0]["token"] for barcode in ("A1", "B2")] == ["t", "u"]


def test_a_link_that_reports_failure(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was made although it reports failure is this one's registration."""
    real = os.link

    def lying(*names: Path, **more: object) -> None:
        real(*names, **more)  # type: ignore[arg-type]
        raise FileExistsError

    monkeypatch.setattr(os, "link", lying)
    assert ledger.register("A1", token="t")
    monkeypatch.setattr(os, "link", real)
    assert not ledger.register("A1", token="u")
    assert [event["token"] for event in ledger.read("A1")] == ["t"]


def test_a_draft_that_a_sweeper_took(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the book is registered it does not matter who removes the draft."""
    real = os.link

    def swept(draft: Path, path: Path) -> None:
        real(draft, path)
        draft.unlink()

    monkeypatch.setattr(os, "link", swept)
    assert ledger.register("A1", token="t")


def test_members_of_a_wrong_type_are_nobodys(root: Path) -> None:
    """A line whose claim, stage or facts are of another type than they should be stops nobody: those members go."""
    ledger = Ledger(root / "ledger")
    ledger.register("A1")
    odd = [{"event": "returned", "claim": ["x"]}, {"event": "attempt", "stage": {}, "claim": {}}]
    with ledger.path("A1").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in [*odd, {"event": "done", "facts": "many"}])
    assert [dict(event) for event in ledger.read("A1")][1:] == [
        {"event": "returned"},
        {"event": "attempt"},
        {"event": "done"},
    ]
