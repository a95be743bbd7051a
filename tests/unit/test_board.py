"""The board: claims, moves, fences, strangers, seeding."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from common import board, listing
from common.errors import Lost
from common.ledger import Ledger
from common.token import TokenError


def put(bucket: Path, barcode: str) -> int:
    """A waiting token; its inode."""
    path = board.path_of(bucket, barcode, board.WAITING)
    path.write_text(f'{{"barcode": "{barcode}"}}')
    return path.stat().st_ino


def state(root: Path, barcode: str) -> list[tuple[str, str]]:
    """Where the book's tokens are."""
    found = listing.places([root / "01_in", root / "02_out"], barcode)
    return [(place.bucket.name, place.state) for place in found]


def taken(root: Path, barcode: str = "A1") -> board.Claim:
    """A claim on a fresh token."""
    put(root / "01_in", barcode)
    held = board.claim(root / "01_in", barcode, "w-1", 1)
    assert held is not None
    return held


def test_one_inode_through_every_move(root: Path) -> None:
    """Claim, defer, claim, fail, and on: the token is the same file all the way."""
    bucket, inode = root / "01_in", put(root / "01_in", "A1")
    held = board.claim(bucket, "A1", "w-1", 1)
    assert held is not None
    board.defer(held, 5.0)
    assert state(root, "A1") == [("01_in", "deferred")]
    held = board.claim(bucket, "A1", "w-1", 2, board.DEFERRED)
    assert held is not None
    assert held.inode == inode
    board.finish(held, root / "02_out")
    assert state(root, "A1") == [("02_out", "waiting")]
    assert (root / "02_out" / "A1.json").stat().st_ino == inode


def test_deferred_until(root: Path) -> None:
    """A deferred token's mtime is the time when it is due."""
    board.defer(taken(root), 12345.0)
    assert (root / "01_in" / "deferred" / "A1.json").stat().st_mtime == 12345.0


def test_the_loser_of_a_race_gets_none(root: Path) -> None:
    """A second claim on one token is an ordinary no."""
    taken(root)
    assert board.claim(root / "01_in", "A1", "w-2", 1) is None


def test_a_claim_that_was_taken_back_cannot_finish(root: Path) -> None:
    """The fence: whoever wakes up late lets go, and the token stays where it is."""
    late = taken(root)
    assert board.take_back(late)
    for act in (lambda: board.finish(late, root / "02_out"), lambda: board.defer(late, 1.0), lambda: board.fail(late)):
        with pytest.raises(Lost):
            act()
    assert state(root, "A1") == [("01_in", "waiting")]


def test_a_twin_is_never_overwritten(root: Path) -> None:
    """A move onto another token of the same book is refused; both files stay."""
    held = taken(root)
    put(root / "02_out", "A1")
    with pytest.raises(board.OccupiedError, match="Another token of A1"):
        board.finish(held, root / "02_out")
    board.fail(held)
    assert state(root, "A1") == [("01_in", "failed"), ("02_out", "waiting")]


def test_failed_twice_is_held(root: Path) -> None:
    """Where a failed twin lies already, the second is held, and neither is lost."""
    board.fail(taken(root))
    board.fail(taken(root))
    assert sorted(state(root, "A1")) == [("01_in", "failed"), ("01_in", "held")]


def test_a_rename_that_lies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that happened but reports failure counts as done, for claims and for moves."""
    real = os.rename

    def lying(source: object, target: object) -> None:
        real(source, target)  # type: ignore[call-overload]
        raise FileNotFoundError

    put(root / "01_in", "A1")
    monkeypatch.setattr(os, "rename", lying)
    held = board.claim(root / "01_in", "A1", "w-1", 1)
    assert held is not None
    board.finish(held, root / "02_out")
    assert state(root, "A1") == [("02_out", "waiting")]


def test_strangers_are_passed_over(root: Path) -> None:
    """Names that are no token's are neither listed nor counted."""
    bucket = root / "01_in"
    for name in ("README", ".nfs0001", "a~b.json", ".x.json", "B 1.json"):
        (bucket / name).touch()
    put(bucket, "A1")
    (bucket / "working" / "no-claim.json").touch()
    assert list(listing.barcodes(bucket)) == ["A1"]
    assert listing.count(bucket, board.WAITING) == 1
    assert list(listing.claims(bucket)) == []


@pytest.mark.parametrize("kind", ["folder", "link", "fifo", "dangling"])
def test_what_only_looks_like_a_token(root: Path, kind: str) -> None:
    """A folder, a link or a FIFO named like a token can be claimed and is refused, without blocking or following."""
    path = root / "01_in" / "A1.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/passwd" if kind == "link" else "nowhere")
    held = board.claim(root / "01_in", "A1", "w-1", 1)
    assert held is not None
    with pytest.raises(TokenError, match="not a regular file"):
        board.read(held)
    board.fail(held)
    assert os.path.lexists(root / "01_in" / "failed" / "A1.json")


def test_barcodes_with_dots_and_claims(root: Path) -> None:
    """A claim's name is never ambiguous, whatever the barcode."""
    for barcode in ("a.b", "a-1.2.3", "$B1", "x.json"):
        held = taken(root, barcode)
        found = listing.parse_claim(root / "01_in", held.path.name)
        assert found is not None
        assert (found.barcode, found.worker, found.number) == (barcode, "w-1", 1)


def test_counting_stops_at_the_limit(root: Path) -> None:
    """A WIP check costs no more than the limit."""
    for number in range(10):
        put(root / "01_in", f"A{number}")
    assert listing.count(root / "01_in", board.WAITING, 3) == 3
    assert listing.in_line(root / "01_in", 4) == 4


def seeder(root: Path, name: str = "s") -> board.Seeder:
    """Somebody who seeds."""
    return board.Seeder(root, Ledger(root / "ledger"), name)


def test_seeded_once(root: Path) -> None:
    """A second seeding of the same book adds nothing, even when its token has moved on."""
    assert seeder(root).seed("A1", root / "01_in", "/p", "/d")
    assert not seeder(root).seed("A1", root / "01_in", "/p", "/d")
    (root / "01_in" / "A1.json").rename(root / "02_out" / "A1.json")
    assert not seeder(root, "t").seed("A1", root / "01_in", "/p", "/d")
    assert state(root, "A1") == [("02_out", "waiting")]
    assert list((root / "seeding").iterdir()) == []


def test_a_seeder_that_died_in_between(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered but not placed: the next seeding, whoever does it, completes it, once."""
    dying = seeder(root)
    monkeypatch.setattr(dying, "_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        dying.seed("A1", root / "01_in", "/p", "/d")
    assert state(root, "A1") == []
    assert not seeder(root, "t").seed("A1", root / "02_out", "/p", "/d")
    assert seeder(root, "t").recover() == 1
    assert state(root, "A1") == [("01_in", "waiting")]
    assert not seeder(root, "u").seed("A1", root / "01_in", "/p", "/d")


def test_a_leftover_that_cannot_be_placed_keeps_nobody(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered book whose bucket is no more goes to the fallback; a ledger that is no file stops no other."""
    for barcode in ("A1", "B1"):
        dying = seeder(root)
        monkeypatch.setattr(dying, "_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            dying.seed(barcode, root / "01_in", "/p", "/d")
    ledger = Ledger(root / "ledger")
    ledger.path("A1").unlink()
    ledger.path("A1").mkdir()
    shutil.rmtree(root / "01_in")
    assert seeder(root, "t").recover(root / "02_out") == 1
    assert state(root, "B1") == [("02_out", "waiting")]
