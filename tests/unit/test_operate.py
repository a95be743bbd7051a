"""retry, hold, release, drop: what is chosen, what is moved, what is said, what is left to be read."""

from __future__ import annotations

import json
import os
from unittest import mock

import pytest

from common import audit, board, listing
from tests.operators import COMMANDS, Bench, bench, from_stdin

__all__ = ["bench"]

STATES = ("waiting", "working", "deferred", "failed", "held")
MOVES = {
    "retry": {"failed": "01_b/waiting", "deferred": "01_b/waiting"},
    "hold": {"waiting": "01_b/held", "working": "01_b/held", "deferred": "01_b/held", "failed": "01_b/held"},
    "release": {"held": "01_b/waiting"},
    "drop": dict.fromkeys(STATES, "dropped"),
}
# What a filter does not choose.
ONLY_NAMED = {("hold", "failed")}
# What is named, stays where it is, and is no fault.
THERE = {
    ("retry", "waiting"),
    ("retry", "working"),
    ("hold", "held"),
    ("release", "waiting"),
    ("release", "working"),
    ("release", "deferred"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_named_book(bench: Bench, command: str, state: str) -> None:
    """From each state, each command moves the token itself or says why not; the line in the ledger says who and why."""
    path = bench.put("A1", state, 1)
    os.utime(path, (5, 5))
    code = bench.run(command, "A1", "--why", "so it shall be")
    target = MOVES[command].get(state)
    assert bench.places("A1") == [target or f"01_b/{state}"]
    assert code == (0 if target or (command, state) in THERE else 1)
    lines = [event for event in bench.events("A1") if event["event"] != "registered"]
    past = {"retry": "retried", "hold": "held", "release": "released", "drop": "dropped"}[command]
    line = {"event": past, "by": audit.who(), "why": "so it shall be", "bucket": "01_b", "from": state}
    assert lines == ([line] if target else [])
    if target:
        folder, _, kind = target.partition("/")
        arrived = board.path_of(bench.root / folder, "A1", kind or "waiting").stat()
        assert arrived.st_ino == bench.inodes["A1"]
        assert arrived.st_mtime > 1e9


@pytest.mark.parametrize("command", COMMANDS)
def test_all(bench: Bench, command: str) -> None:
    """--all moves exactly the states that the command is for, in every bucket, and no book that is done."""
    for state in STATES:
        bench.put(f"A-{state}", state, 0)
        bench.put(f"B-{state}", state, 1)
    bench.put("DONE", "done", 2)
    assert bench.run(command, "--all", *(["--yes"] if command == "drop" else [])) == 0
    for state in STATES:
        moved = state in MOVES[command] and (command, state) not in ONLY_NAMED
        for barcode, bucket in (("A", "00_b"), ("B", "01_b")):
            target = MOVES[command][state].replace("01_b", bucket) if moved else f"{bucket}/{state}"
            assert bench.places(f"{barcode}-{state}") == [target]
    assert bench.places("DONE") == ["02_b/waiting"]


def test_filters_combine(bench: Bench) -> None:
    """--bucket and --reason together choose what both choose; the reason is the newest one, in any case."""
    bench.put("A1", "failed", 0, reason="GRIN says: Not converted.")
    bench.put("A2", "failed", 0, reason="The page is torn.")
    bench.put("B1", "failed", 1, reason="Not converted.")
    old = bench.put("A3", "failed", 0, reason="Not converted.")
    bench.ledger.append("A3", "failed", stage="one", reason="Something else.")
    assert bench.run("retry", "--bucket", "00_b", "--reason", "not CONVERTED") == 0
    assert bench.places("A1") == ["00_b/waiting"]
    assert [bench.places(barcode) for barcode in ("A2", "B1")] == [["00_b/failed"], ["01_b/failed"]]
    assert old.exists()
    assert bench.run("retry", "--reason", "not converted") == 0
    assert bench.places("B1") == ["01_b/waiting"]


def test_held_books_by_the_reason_why_they_are_held(bench: Bench) -> None:
    """What was said when a book was held is its reason: `release --reason` finds it."""
    bench.put("A1")
    bench.put("A2")
    bench.run("hold", "A1", "--why", "Wrong edition")
    bench.run("hold", "A2")
    assert bench.run("release", "--reason", "wrong ed") == 0
    assert (bench.places("A1"), bench.places("A2")) == (["00_b/waiting"], ["00_b/held"])


def test_done_books_only_where_they_are_named(bench: Bench) -> None:
    """A book that is done is dropped when it or its bucket is named; it cannot be held."""
    for barcode in ("D1", "D2"):
        bench.put(barcode, "done", 2)
    assert bench.run("hold", "D1") == 1
    assert bench.run("hold", "--bucket", "02_b") == 0
    assert bench.run("drop", "D1") == 0
    assert (bench.places("D1"), bench.places("D2")) == (["dropped"], ["02_b/waiting"])
    assert bench.run("drop", "--bucket", "02_b", "--yes") == 0
    assert bench.places("D2") == ["dropped"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Which books? Give barcodes"),
        (("A1", "--all"), "These do not go together"),
        (("A1", "--bucket", "00_b"), "These do not go together"),
        (("--all", "--reason", "x"), "These do not go together"),
        (("--reason", " "), "--reason is empty"),
        (("--bucket", "09_b"), "There is no bucket '09_b'"),
        (("A1", "a b", "../x"), "'a b' is no barcode"),
    ],
)
def test_a_wrong_call(bench: Bench, capsys: pytest.CaptureFixture[str], arguments: tuple[str], sentence: str) -> None:
    """A call that is not clear ends with 2 and a sentence, before anything is done."""
    bench.put("A1")
    before = bench.snapshot()
    assert bench.run("hold", *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert bench.snapshot() == before


def test_unknown_books(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A barcode that was never seeded, and one whose token is gone, are told; the others are done all the same."""
    bench.put("A1")
    bench.put("LOST").unlink()
    assert bench.run("hold", "NOPE", "LOST", "A1") == 1
    said = capsys.readouterr()
    assert "NOPE: Nothing is known of it: it was never seeded on this board." in said.err
    assert "LOST: It is in no bucket now; `grin-pipeline show LOST` tells its story." in said.err
    assert "A1                    00_b              waiting → held\n1 book held; 2 not.\n" in said.out
    assert bench.places("A1") == ["00_b/held"]
    assert not bench.ledger.path("NOPE").exists()


def test_barcodes_from_standard_input(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """- reads a barcode a line, passes over blanks and comments, and a bad line stops all before it begins."""
    for barcode in ("A1", "A2", "A3"):
        bench.put(barcode)
    with from_stdin("A1\n# the second\n\n A2 \nA1\n"):
        assert bench.run("hold", "-") == 0
    assert [bench.places(b)[0] for b in ("A1", "A2", "A3")] == ["00_b/held", "00_b/held", "00_b/waiting"]
    with from_stdin("A3\n\nbad barcode\n"):
        assert bench.run("hold", "-", "A3") == 2
    assert "line 3: 'bad barcode' is no barcode" in capsys.readouterr().err
    assert bench.places("A3") == ["00_b/waiting"]


def test_json_lines(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """--json is an object a book and nothing else on standard output."""
    bench.put("A1", "failed")
    bench.put("A2", "held", 1)
    assert bench.run("retry", "A1", "A2", "--json") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        "barcode": "A1", "bucket": "00_b", "from": "failed", "to": "waiting", "done": True, "reason": ""
    }  # fmt: skip
    reason = "It is held in 01_b; `grin-pipeline release A2` lets it go on."
    assert lines[1] == {
        "barcode": "A2", "bucket": "01_b", "from": "held", "to": "held", "done": False, "reason": reason
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_dry_run(bench: Bench, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """--dry-run says what would be done and changes no file at all."""
    for state in STATES:
        bench.put(f"A-{state}", state)
    bench.files("A-waiting")
    before = bench.snapshot()
    assert bench.run(command, "--all", "--dry-run") == 0
    assert f"would be {operate_event(command)}." in capsys.readouterr().out
    assert bench.snapshot() == before


def operate_event(command: str) -> str:
    """What a command does to a book, as a participle."""
    return {"retry": "retried", "hold": "held", "release": "released", "drop": "dropped"}[command]


def test_many_books_are_summed_up(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty books get a line each, the rest a figure; all of them are moved."""
    for number in range(150):
        bench.put(f"A{number}")
    assert bench.run("hold", "--bucket", "00_b") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[20:] == ["… (--json names all)", "150 books held."]
    assert listing.count(bench.buckets[0], "held") == 150


# --- what is left to be read ----------------------------------------------------------------------------------------


def test_the_operators_log(bench: Bench) -> None:
    """Each command that changes something leaves one line: who, what, which, how many, why."""
    bench.put("A1")
    bench.run("hold", "--all", "--why", "Night")
    bench.run("release", "A1", "NOPE")
    bench.run("pause", "one")
    bench.run("resume")
    by = audit.who()
    lines = [{key: value for key, value in line.items() if key != "time"} for line in bench.audit()]
    assert lines == [
        {"command": "hold", "by": by, "why": "Night", "books": {"all": True}, "moved": 1, "unchanged": 0},
        {"command": "release", "by": by, "books": {"barcodes": ["A1", "NOPE"]}, "moved": 1, "unchanged": 1},
        {"command": "pause", "by": by, "stages": ["one"]},
        {"command": "resume", "by": by, "stages": ["one", "two"]},
    ]


def test_who_did_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a name is a number, and behind sudo stands a person."""
    host = os.uname().nodename
    monkeypatch.delenv("SUDO_USER", raising=False)
    with mock.patch("os.getuid", lambda: 54321):
        assert audit.who() == f"54321@{host}"
    monkeypatch.setenv("SUDO_USER", "ann")
    with mock.patch("os.getuid", lambda: 0):
        assert audit.who() == f"ann@{host}"


def test_a_held_book_says_who_and_why(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """`ls` and `show` of a held book name who held it and why; status counts dropped books."""
    bench.put("A1")
    bench.put("A2")
    bench.run("hold", "A1", "--why", "Wrong edition")
    bench.run("drop", "A2")
    capsys.readouterr()
    bench.run("ls")
    listed = capsys.readouterr().out
    assert f"Held by {audit.who()}: Wrong edition → `grin-pipeline release` lets it go on." in listed
    bench.run("show", "A1")
    assert f"held  by {audit.who()}  00_b  waiting  Wrong edition" in " ".join(capsys.readouterr().out.split(" "))
    bench.run("show", "A2")
    assert "A2 is dropped; `grin-pipeline release` brings it back." in capsys.readouterr().out
    bench.run("show", "A2", "--json")
    assert json.loads(capsys.readouterr().out)["places"] == [{"bucket": "dropped", "state": "dropped", "worker": None}]
    bench.run("status", "--json")
    assert json.loads(capsys.readouterr().out)["dropped"] == 1
    bench.run("status")
    assert "0 done, 0 on their way, 0 failed, 1 dropped." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "kinds", "reason"),
    [
        ("waiting", ["halted"], "halted!"),
        ("waiting", ["halted", "done"], ""),
        ("waiting", ["redo", "attempt"], "redo!"),
        ("waiting", ["failed", "retried"], ""),
        ("working", ["failed"], ""),
        ("failed", ["deferred", "failed", "held", "unchanged"], "failed!"),
        ("deferred", ["deferred", "attempt"], "deferred!"),
        ("held", ["held", "released", "failed"], "failed!"),
        ("held", [], ""),
    ],
)
def test_reasons(state: str, kinds: list[str], reason: str) -> None:
    """The reason of a token is the newest event that can have brought it where it is."""
    events = [{"event": kind, "reason": f"{kind}!"} for kind in kinds]
    assert audit.reason(events, state)[0] == reason


HELD = {"event": "held", "bucket": "00_b", "from": "waiting"}
LOST = {"event": "unchanged", "command": "hold"}


@pytest.mark.parametrize(
    "events",
    [
        [HELD | {"by": "P0"}, HELD | {"by": "P2"}, LOST | {"by": "P2"}],
        [HELD | {"by": "P2"}, HELD | {"by": "P0"}, LOST | {"by": "P2"}],
        [HELD | {"by": "P2"}, HELD | {"by": "P0"}, HELD | {"by": "P2", "from": "working"}, LOST | {"by": "P2"}],
        [HELD | {"by": "P0"}, HELD | {"by": "P0"}, LOST | {"by": "P0"}],
        [HELD | {"by": "P2"}, LOST | {"by": "P2"}, HELD | {"by": "P0"}],
        [HELD | {"by": "P0"}, {"event": "retried", "by": "P0"}, LOST | {"by": "P0", "command": "retry"}],
    ],
)
def test_two_people_hold_one_book(events: list[dict[str, str]]) -> None:
    """It is held by whoever moved it, whatever the others had announced before a line said that nothing came of it."""
    assert audit.reason(events, "held")[0] == "Held by P0."
