"""Seeding in detail: what is durable before what, two seeders on one book, and what the next one completes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from common import board, durable
from common.ledger import Ledger
from tests.unit.recording import recorded
from tests.unit.test_board import put, seeder, state


def registered_only(root: Path, barcode: str, bucket: str = "01_in") -> Path:
    """The token of a book whose seeder died between registering and placing."""
    path = root / "seeding" / f"{barcode}~gone~1.1.json"
    path.write_text(json.dumps({"barcode": barcode}))
    Ledger(root / "ledger").register(barcode, bucket=bucket, token=path.name)
    return path


def test_all_folders_of_a_board(tmp_path: Path) -> None:
    """A new board has its folders, each bucket those of the states; preparing it again changes nothing."""
    root = tmp_path / "pipeline"
    for _ in range(2):
        board.prepare(root, [root / "01_in"])
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    states = {"01_in/working", "01_in/deferred", "01_in/failed", "01_in/held"}
    assert found == {"ledger", "workers", "paused", "logs", "seeding", "dropped", "01_in"} | states


def test_what_is_seeded(root: Path, ledger: Ledger) -> None:
    """A token holds what was given; the book's first line names the bucket and the file that becomes the token."""
    one = seeder(root, "s-1")
    assert one.seed_all(["A1", "B2"], root / "01_in", "/p", "/d") == ["A1", "B2"]
    token = json.loads((root / "01_in" / "B2.json").read_bytes())
    assert token == {"barcode": "B2", "processing_bucket": "/p", "done_bucket": "/d"}
    lines = [ledger.read(barcode)[0] for barcode in ("A1", "B2")]
    assert [(line["event"], line["bucket"]) for line in lines] == [("registered", "01_in")] * 2
    assert [line["token"] for line in lines] == ["A1~s-1.1.json", "B2~s-1.2.json"]
    assert one.seed("C3", root / "01_in", "/p", "/d")
    assert ledger.read("C3")[0]["token"] == "C3~s-1.3.json"
    token = json.loads((root / "01_in" / "C3.json").read_bytes())
    assert token == {"barcode": "C3", "processing_bucket": "/p", "done_bucket": "/d"}


def test_durable_before_it_is_known(root: Path) -> None:
    """The token and its name are durable before the book is registered, and its place is after it is placed."""
    (root / "ledger" / "A1").mkdir()
    with recorded("fsync", "link", "rename") as calls:
        seeder(root).seed("A1", root / "01_in", "/p", "/d")
    seeding, token = str(root / "seeding"), str(root / "seeding" / "A1~s.1.json")
    assert calls[:2] == [("fsync", token), ("fsync", seeding)]
    assert [name for name, *_ in calls[2:]] == ["fsync", "link", "fsync", "rename", "fsync"]
    assert calls[-2:] == [("rename", token, str(root / "01_in" / "A1.json")), ("fsync", str(root / "01_in"))]


def test_only_what_is_new(root: Path) -> None:
    """Of a handful only the new books are seeded; nothing at all is written when there are none."""
    seeder(root).seed("A1", root / "01_in", "/p", "/d")
    assert seeder(root, "t").seed_all(["A1", "B2"], root / "01_in", "/p", "/d") == ["B2"]
    with recorded("fsync", "write") as calls:
        assert seeder(root, "u").seed_all(["A1", "B2"], root / "01_in", "/p", "/d") == []
    assert calls == []


def test_a_token_put_down_by_hand_is_known(root: Path) -> None:
    """A book whose token lies in the bucket already, even as a link that leads nowhere, is not seeded over it."""
    inode = put(root / "01_in", "A1")
    (root / "01_in" / "B2.json").symlink_to("nowhere")
    assert seeder(root).seed_all(["A1", "B2"], root / "01_in", "/p", "/d") == []
    assert (root / "01_in" / "A1.json").stat().st_ino == inode
    assert (root / "01_in" / "B2.json").is_symlink()


def test_a_seeder_that_comes_too_late(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looked before another one registered the book places nothing and leaves nothing behind."""
    first, late = seeder(root, "first"), seeder(root, "late")
    first.seed("A1", root / "01_in", "/p", "/d")
    monkeypatch.setattr(late, "_is_known", lambda *_: False)
    assert late.seed_all(["A1", "B2"], root / "02_out", "/p", "/d") == ["B2"]
    assert state(root, "A1") == [("01_in", "waiting")]
    assert list((root / "seeding").iterdir()) == []


def test_a_late_seeder_whose_token_is_swept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter who removes the token of a seeder that came too late."""
    late = seeder(root, "late")
    seeder(root).seed("A1", root / "01_in", "/p", "/d")
    real = late.ledger.register_all

    def sweeping(*given: dict[str, dict[str, object]]) -> list[str]:
        (root / "seeding" / "A1~late.1.json").unlink()
        return real(*given)

    monkeypatch.setattr(late, "_is_known", lambda *_: False)
    monkeypatch.setattr(late.ledger, "register_all", sweeping)
    assert late.seed_all(["A1"], root / "01_in", "/p", "/d") == []


def test_one_that_somebody_else_placed(root: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that another seeder placed between registering and placing is not counted twice."""
    one, real = seeder(root, "one"), Ledger.register_all

    def placing(itself: Ledger, first: dict[str, dict[str, object]]) -> list[str]:
        begun = real(itself, first)
        assert seeder(root, "two").recover() == 1
        return begun

    monkeypatch.setattr(Ledger, "register_all", placing)
    assert one.seed_all(["A1"], root / "01_in", "/p", "/d") == []
    assert state(root, "A1") == [("01_in", "waiting")]


def test_all_that_is_left_is_placed(root: Path) -> None:
    """Every registered token is placed in the bucket that its first line names, durably, and all are counted."""
    registered_only(root, "A1")
    registered_only(root, "B2", "02_out")
    with recorded("rename", "fsync") as calls:
        assert seeder(root).recover() == 2
    assert state(root, "A1") == [("01_in", "waiting")]
    assert state(root, "B2") == [("02_out", "waiting")]
    placed = {call[2] for call in calls if call[0] == "rename"}
    assert placed == {str(root / "01_in" / "A1.json"), str(root / "02_out" / "B2.json")}
    for at, call in enumerate(calls):
        assert call[0] == "fsync" or calls[at + 1] == ("fsync", str(Path(call[2]).parent))
    assert seeder(root).recover() == 0


def test_a_bucket_is_always_one_of_this_board(root: Path) -> None:
    """A first line that names a path outside the board places the token in the bucket of the same name."""
    registered_only(root, "A1", "/somewhere/else/../02_out")
    assert seeder(root).recover() == 1
    assert state(root, "A1") == [("02_out", "waiting")]


def test_the_fallback_is_for_buckets_that_are_no_more(root: Path) -> None:
    """What was registered for a bucket that is there goes there; the fallback takes what has no bucket any more."""
    registered_only(root, "A1")
    registered_only(root, "B2", "09_gone")
    assert seeder(root).recover(root / "02_out") == 2
    assert state(root, "A1") == [("01_in", "waiting")]
    assert state(root, "B2") == [("02_out", "waiting")]


def test_without_a_fallback_it_waits_for_its_bucket(root: Path) -> None:
    """A token whose bucket is no more, and for which there is no other, stays where it is and keeps nobody."""
    path = registered_only(root, "B2", "09_gone")
    registered_only(root, "A1")
    assert seeder(root).recover() == 1
    assert path.exists()
    assert state(root, "A1") == [("01_in", "waiting")]


def test_what_is_not_registered_is_left_to_its_seeder(root: Path, ledger: Ledger) -> None:
    """What a living seeder may be about to register stays; what is older than any of them goes; nothing is placed."""
    registered_only(root, "A1").rename(root / "seeding" / "A1~other.1.json")
    names = ["A1~other.1.json", "B2~young.1.json", "C3~old.1.json", "stranger", "~.json", "a b~x.json"]
    for name in names:
        (root / "seeding" / name).touch()
    old = time.time() - durable.LEFTOVER_AGE - 1000
    os.utime(root / "seeding" / "C3~old.1.json", (old, old))
    assert seeder(root).recover() == 0
    left = {path.name for path in (root / "seeding").iterdir()}
    assert left == set(names) - {"C3~old.1.json"}


def test_the_age_of_leftovers_is_the_file_servers_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How old a leftover is is judged by the clock of the file server that holds it."""
    (root / "seeding" / "C3~new.1.json").touch()
    later = {str(root / "seeding"): time.time() + durable.LEFTOVER_AGE + 1000}
    monkeypatch.setattr(durable, "server_time", lambda folder: later[str(folder)])
    assert seeder(root).recover() == 0
    assert list((root / "seeding").iterdir()) == []


def test_a_token_that_somebody_else_recovers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two seeders that recover at the same time one places the token; the other counts nothing and goes on."""
    registered_only(root, "A1")
    registered_only(root, "B2")
    real = os.listdir

    def meanwhile(folder: Path) -> list[str]:
        names = real(folder)
        monkeypatch.setattr(os, "listdir", real)
        (root / "seeding" / "A1~gone~1.1.json").rename(root / "01_in" / "A1.json")
        return names

    monkeypatch.setattr(os, "listdir", meanwhile)
    assert seeder(root).recover() == 1
    assert state(root, "A1") == state(root, "B2") == [("01_in", "waiting")]
