"""What lies where: listings that pass over what is no token, stop where they are told, and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import board, listing
from tests.unit.recording import recorded
from tests.unit.test_board import put

HERE = "01_in"


def claimed(bucket: Path, barcode: str, worker: str = "w-1", number: int = 1) -> board.Claim:
    """A claim on a token that was waiting."""
    put(bucket, barcode)
    held = board.claim(bucket, barcode, worker, number)
    assert held is not None
    return held


def filled(root: Path) -> Path:
    """A bucket with three tokens waiting, two claimed, two deferred, one failed and one held, and strangers."""
    bucket = root / HERE
    for barcode in ("A1", "A2", "A3"):
        put(bucket, barcode)
    for barcode in ("B1", "B2"):
        claimed(bucket, barcode)
    for state, barcodes in ((board.DEFERRED, ("C1", "C2")), (board.FAILED, ("D1",)), (board.HELD, ("E1",))):
        for barcode in barcodes:
            board.path_of(bucket, barcode, state).write_text("{}")
    for folder in (bucket, bucket / "working", bucket / "held"):
        for name in ("stranger", "a b.json", ".hidden"):
            (folder / name).touch()
    return bucket


@pytest.mark.parametrize(
    ("state", "barcodes", "others"),
    [
        (board.WAITING, ["A1", "A2", "A3"], 2),
        (board.WORKING, ["B1", "B2"], 2),
        (board.DEFERRED, ["C1", "C2"], 0),
        (board.FAILED, ["D1"], 0),
        (board.HELD, ["E1"], 2),
    ],
)
def test_each_state_of_a_bucket(root: Path, state: str, barcodes: list[str], others: int) -> None:
    """In each state a bucket lists, counts and tallies its tokens, and shows apart what is none."""
    bucket = filled(root)
    assert sorted(listing.barcodes(bucket, state)) == barcodes
    assert listing.count(bucket, state) == len(barcodes)
    assert listing.tally(bucket, state) == (len(barcodes), others)
    strange = sorted(listing.strangers(bucket, state))
    assert strange == [listing.folder_of(bucket, state) / name for name in ("a b.json", "stranger")[:others]]


def test_a_bucket_that_is_not_there(root: Path) -> None:
    """A folder that is not there is an empty one, for every look at it."""
    bucket = root / "nowhere"
    assert (
        list(listing.barcodes(bucket)) == list(listing.claims(bucket)) == list(listing.strangers(bucket, "held")) == []
    )
    assert listing.count(bucket, board.WORKING) == 0
    assert listing.tally(bucket, board.WAITING) == (0, 0)


def test_the_claims_on_one_book(root: Path) -> None:
    """Asked for one book, only its own claims are given, whoever holds them, and not those of longer barcodes."""
    bucket = root / HERE
    mine, other = claimed(bucket, "A1", "w-1", 1), claimed(bucket, "A1", "w-2", 7)
    claimed(bucket, "A10")
    assert sorted(listing.claims(bucket, "A1"), key=lambda held: held.worker) == [mine, other]
    assert len(list(listing.claims(bucket))) == 3


def test_a_claim_is_read_from_its_name(root: Path) -> None:
    """A name in working/ tells the book, the worker and the number; the file tells the inode."""
    held = claimed(root / HERE, "a.b-c$", "stage-host.name-12-ab", 305)
    found = listing.parse_claim(root / HERE, held.path.name)
    assert found == held
    assert (found.bucket, found.barcode, found.worker, found.number) == (
        root / HERE,
        "a.b-c$",
        "stage-host.name-12-ab",
        305,
    )
    assert found.inode == held.path.stat().st_ino


def test_the_first_tilde_ends_the_barcode(root: Path) -> None:
    """Whatever a worker is called, the book is what stands before the first tilde."""
    (root / HERE / "working" / "A1~w~2.7.json").touch()
    found = listing.parse_claim(root / HERE, "A1~w~2.7.json")
    assert found is not None
    assert (found.barcode, found.worker, found.number) == ("A1", "w~2", 7)


@pytest.mark.parametrize(
    "name", ["A1~w-1.0.json", "A1~w-1.01.json", "A1~w-1.x.json", "A1~.1.json", "A1~w-1.1", "~w-1.1.json", "A1.json"]
)
def test_what_is_no_claim(root: Path, name: str) -> None:
    """A name that no worker gives a claim is none, though the file is there."""
    (root / HERE / "working" / name).touch()
    assert listing.parse_claim(root / HERE, name) is None
    assert listing.count(root / HERE, board.WORKING) == 0


def test_a_claim_that_is_gone(root: Path) -> None:
    """A claim that was in an old listing and is gone is none."""
    assert listing.parse_claim(root / HERE, "A1~w-1.1.json") is None


def test_only_what_is_in_line_counts_for_the_limit(root: Path) -> None:
    """Waiting, claimed and deferred tokens are in line; failed and held ones are not."""
    assert listing.in_line(filled(root), 100) == 7


@pytest.mark.parametrize(("limit", "folders"), [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3)])
def test_no_further_than_the_limit(root: Path, limit: int, folders: int) -> None:
    """What is in line is counted no further than the limit, and no folder is listed once it is reached."""
    bucket = filled(root)
    with recorded("scandir") as calls:
        assert listing.in_line(bucket, limit) == limit
    assert len(calls) == folders


def test_all_places_of_a_book(root: Path) -> None:
    """Every copy of a book's token is found, in every state of every bucket, a claim with its worker."""
    buckets = [root / HERE, root / "02_out"]
    held = claimed(buckets[0], "A1")
    claimed(buckets[0], "A2", number=2)
    for state in (board.WAITING, board.DEFERRED, board.FAILED, board.HELD):
        board.path_of(buckets[1], "A1", state).write_text("{}")
    board.path_of(buckets[1], "A2", board.WAITING).write_text("{}")
    found = listing.places(buckets, "A1")
    assert [(place.bucket, place.state, place.worker) for place in found] == [
        (buckets[0], "working", "w-1"),
        *((buckets[1], state, None) for state in ("waiting", "deferred", "failed", "held")),
    ]
    assert found[0].path == held.path
    assert all(place.path.exists() for place in found)


def test_a_dangling_link_has_its_place(root: Path) -> None:
    """A link under a token's name is found, wherever it leads."""
    (root / HERE / "A1.json").symlink_to("nowhere")
    assert [place.state for place in listing.places([root / HERE], "A1")] == ["waiting"]
