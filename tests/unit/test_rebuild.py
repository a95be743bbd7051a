"""`audit --rebuild`: a lost ledger comes back from the store, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pytest

from common.deliveries import deliveries
from services.orchestrator.audit_store import Store
from services.orchestrator.rebuild import Rebuilder
from services.orchestrator.sightings import Sightings
from services.orchestrator.versions import bring
from tests.audits import Shelf, findings, killed_at


def dones(shelf: Shelf, barcode: str) -> list[dict[str, Any]]:
    """What the ledger tells of each step."""
    keys = ("stage", "worker", "attempt", "seconds", "facts", "time")
    events = [event for event in shelf.line.events(barcode) if event["event"] == "done"]
    return [{key: event.get(key) for key in keys} for event in events]


def test_a_lost_ledger_comes_back(shelf: Shelf) -> None:
    """Registered, and each step's done with its facts and its time; nothing is left to be found."""
    before, token = dones(shelf, "A1"), shelf.line.tokens()["A1"]
    shelf.lose_ledgers()
    assert shelf.audit("--rebuild") == 0
    found = dones(shelf, "A1")
    assert found[:2] == before[:2]
    files = [file | {"key": f"A1/{file['name']}"} for file in before[2]["facts"]["files"]]
    assert (found[2]["stage"], found[2]["facts"]["files"]) == ("uploader", files)
    assert all(event["rebuilt"] for event in shelf.line.events("A1"))
    assert shelf.line.tokens()["A1"] == token
    assert shelf.audit("--deep") == 0


def test_a_lost_board_comes_back(shelf: Shelf) -> None:
    """Nothing but the store is left: each book is done again, is never seeded again, and can be audited."""
    shelf.deliver("A2", "A3")
    store = shelf.store()
    shutil.rmtree(shelf.root)
    assert shelf.audit("--rebuild") == 0
    assert {barcode: shelf.line.places(barcode) for barcode in ("A1", "A2", "A3")} == {
        f"A{n}": ["03_b"] for n in (1, 2, 3)
    }
    shelf.line.seed(["A1", "A2", "A3"])
    assert all(shelf.line.places(barcode) == ["03_b"] for barcode in ("A1", "A2", "A3"))
    assert shelf.store() == store
    assert shelf.audit("--deep") == 0


def test_it_changes_nothing_where_nothing_is_lost(shelf: Shelf) -> None:
    """Once more, nothing happens."""
    events = shelf.line.events("A1")
    assert shelf.audit("--rebuild") == 0
    assert shelf.line.events("A1") == events
    shelf.lose_ledgers()
    assert shelf.audit("--rebuild") == 0
    events = shelf.line.events("A1")
    assert shelf.audit("--rebuild") == 0
    assert shelf.line.events("A1") == events


def test_all_versions_are_told(shelf: Shelf) -> None:
    """A book with a version beside the first gets the story of both, and its next version is the third."""
    (shelf.folder / "google").mkdir()
    for number in (2, 3):
        (shelf.folder / "google" / "A1").write_text(f"scan {number}")
        assert bring(shelf.settings, "A1", "anew", "ann")
        shelf.work("A1")
        shelf.lose_ledgers()
        assert shelf.audit("--rebuild") == 0
        told = deliveries(shelf.ledger.read("A1"))
        assert [delivery.version for delivery in told] == list(range(1, number + 1))
        assert shelf.line.kinds("A1").count("renewed") == number - 1
        assert shelf.audit("--deep") == 0
    assert (shelf.done / "A1" / "v3" / "A1.tar.gz").read_text() == "scan 3"


def damaged(shelf: Shelf, how: str) -> None:
    """Damage what the store has of A1."""
    path = shelf.done / "A1" / "provenance.json"
    whole = json.loads(path.read_bytes())
    match how:
        case "torn":
            path.write_bytes(path.read_bytes()[:50])
        case "no object":
            path.write_text("[]")
        case "another book's":
            path.write_text(json.dumps({**whole, "barcode": "A2"}))
        case "no files":
            path.write_text(json.dumps({**whole, "files": []}))
        case "no sizes":
            path.write_text(json.dumps({**whole, "files": [{"name": "A1.tar.gz"}]}))
        case "a path out of the store":
            path.write_text(json.dumps({**whole, "files": [{**whole["files"][0], "name": "../../x"}]}))
        case "no stage":
            path.write_text(json.dumps({**whole, "steps": [{"facts": {}}]}))
        case "an object is missing":
            (shelf.done / "A1" / "A1.txt").unlink()
        case "an object is larger":
            (shelf.done / "A1" / "A1.txt").write_text("much larger than it was")
        case _:
            path.unlink()


DAMAGES = ("torn", "no object", "another book's", "no files", "no sizes", "a path out of the store", "no stage")


@pytest.mark.parametrize("how", [*DAMAGES, "an object is missing", "an object is larger", "no provenance"])
@pytest.mark.parametrize("token", [True, False])
def test_what_cannot_be_relied_on_is_not_rebuilt(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], how: str, token: bool
) -> None:
    """A damaged provenance, or files that are not as it says: one finding, no ledger, and the others are rebuilt."""
    shelf.deliver("A2")
    damaged(shelf, how)
    if not token:
        shelf.token("A1").unlink()
    shelf.lose_ledgers()
    capsys.readouterr()
    assert shelf.audit("--rebuild", "--json") == 1
    out = capsys.readouterr().out
    expected = [("A1", "extra", ""), ("A2", "extra", "its ledger is written from its provenance")]
    assert findings(out) == expected, out
    assert not shelf.ledger.path("A1").exists()
    assert shelf.line.places("A1") == (["03_b"] if token else [])


def test_deep_reads_every_byte(shelf: Shelf) -> None:
    """The same size with other bytes is found out by --deep alone."""
    path = shelf.done / "A1" / "A1.txt"
    path.write_text(path.read_text().swapcase())
    shelf.lose_ledgers()
    assert shelf.audit("--rebuild", "--deep") == 1
    assert shelf.line.events("A1") == []
    assert shelf.audit("--rebuild") == 0


def test_dry_run_writes_nothing(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be rebuilt, and no file changes."""
    shelf.lose_ledgers()
    assert shelf.audit("--rebuild", "--dry-run") == 1
    assert "would: its ledger is written" in capsys.readouterr().out
    assert [path for path in (shelf.root / "ledger").rglob("*") if path.is_file()] == []
    assert not list((shelf.root / "seeding").iterdir())


def test_killed_at_each_step(shelf: Shelf) -> None:
    """SIGKILL before each change of the file system; the same command again completes it, with one token."""
    shelf.token("A1").unlink()
    shelf.lose_ledgers()
    put_back, step = shelf.replay(), 1
    while killed_at(step, lambda: shelf.audit("--rebuild")):
        assert len(shelf.line.places("A1")) <= 1
        assert not shelf.ledger.path("A1").exists() or len(shelf.line.events("A1")) == 4
        assert shelf.audit("--rebuild") == 0, step
        assert shelf.line.places("A1") == ["03_b"], step
        assert shelf.line.kinds("A1").count("registered") == 1
        put_back()
        step += 1
    assert step >= 6


def test_a_seeding_completes_a_rebuilding_that_was_killed(shelf: Shelf) -> None:
    """Registered and not placed: the seeder puts the token into the last bucket, not the first."""
    shelf.token("A1").unlink()
    shelf.lose_ledgers()
    put_back, step, completed = shelf.replay(), 1, 0
    while killed_at(step, lambda: shelf.audit("--rebuild")):
        if shelf.ledger.path("A1").exists() and not shelf.line.places("A1"):
            shelf.seeder.recover(shelf.buckets[0])
            assert shelf.line.places("A1") == ["03_b"]
            completed += 1
        put_back()
        step += 1
    assert completed


def test_a_store_that_is_not_mounted(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost board and no store: code 3, not a board that is called whole."""
    shutil.rmtree(shelf.root)
    shutil.rmtree(shelf.done)
    assert shelf.audit("--rebuild") == 3
    assert "mounted" in capsys.readouterr().err


def test_whoever_comes_second_lets_go(shelf: Shelf) -> None:
    """The ledger is there by now: it stays as it is, and the token that was written for it goes."""
    shelf.token("A1").unlink()
    events = shelf.line.events("A1")
    sightings = Sightings(shelf.settings)
    assert not Rebuilder(sightings, Store(shelf.settings), "ann", deep=False).rebuild("A1")
    assert (shelf.line.events("A1"), shelf.line.places("A1")) == (events, [])
    assert not list((shelf.root / "seeding").iterdir())


def test_many_at_once(shelf: Shelf) -> None:
    """Four processes rebuild the same twelve books: one ledger and one token each."""
    books = [f"B{number:02}" for number in range(12)]
    shelf.deliver(*books)
    shutil.rmtree(shelf.root)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            code = 9
            try:
                code = shelf.audit("--rebuild")
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert set(codes) <= {0, 1}, codes
    assert {barcode: shelf.line.places(barcode) for barcode in books} == {barcode: ["03_b"] for barcode in books}
    assert {tuple(shelf.line.kinds(b)) for b in books} == {("registered", "done", "done", "done")}
    assert shelf.audit("--deep") == 0
