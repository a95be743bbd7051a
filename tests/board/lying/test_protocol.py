"""The board's calls, one by one, against a file server that does what it is asked and says that it did not."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from common import board
from common.feed import Feed
from common.ledger import Ledger
from common.reaper import Reaper
from tests.board.lying.crew import fork
from tests.board.lying.lies import Lies
from tests.board.lying.mount import Mount

Two = tuple[Mount, Mount]
Claiming = Callable[..., object]
TOKENS, RACERS = 300, 4
# A racer ends after so many turns in vain, over longer than a listing may be old, twice, in seconds.
TURNS, IDLE = 8, 1.2
LYING = Lies(rate=0.05, listing_age=0.5, negative_age=0.5, silly=0.02)


def make(point: Path) -> Path:
    """A board with two buckets, seen through this mount."""
    root = point / "pipeline"
    board.prepare(root, [root / "01_in", root / "02_out"])
    return root


def put(root: Path, barcode: str) -> None:
    """A token that waits in the first bucket."""
    (root / "01_in" / f"{barcode}.json").write_text(json.dumps({"barcode": barcode}))


def names(mount: Mount) -> list[str]:
    """Every token below, by its place, as the file server itself knows them."""
    root = mount.below / "pipeline"
    return sorted(str(path.relative_to(root).parent) for path in root.rglob("*.json"))


@pytest.mark.parametrize("error", ["ENOENT", "EIO"])
def test_a_claim_that_happened_is_known(mount: Mount, error: str) -> None:
    """After a rename that lied the worker has its claim, and can finish it."""
    root = make(mount.point)
    put(root, "B1")
    mount.set(Lies(rate=1.0, errors=(error,)))
    held = board.claim(root / "01_in", "B1", "worker", 1)
    assert held is not None
    assert mount.told("rename")
    mount.tell(rate=0.0)
    board.finish(held, root / "02_out")
    assert names(mount) == ["02_out"]


def test_a_claim_that_cannot_be_seen_is_given_back(mount: Mount) -> None:
    """Where the claim's name is remembered as missing, the worker does not know it, and gives it back when idle."""
    root = make(mount.point)
    put(root, "B1")
    mount.set(Lies(rate=1.0, errors=("ENOENT",), negative_age=3600.0))
    assert board.claim(root / "01_in", "B1", "worker", 1) is None
    assert names(mount) == ["01_in/working"]
    mount.tell(rate=0.0)
    reaper = Reaper(root, [root / "01_in"], 30.0)
    returned = [reaper.reap_unknown("worker", set()) for _ in range(3)]
    assert sum(returned) == 1
    assert names(mount) == ["01_in"]


@pytest.mark.parametrize("error", ["ENOENT", "EIO"])
@pytest.mark.parametrize("blind", [False, True])
def test_a_finish_that_happened_is_believed(mount: Mount, error: str, *, blind: bool) -> None:
    """A finish whose rename lied returns as if nothing had been, even where the new name is remembered as missing."""
    root = make(mount.point)
    put(root, "B1")
    held = board.claim(root / "01_in", "B1", "worker", 1)
    assert held is not None
    mount.set(Lies(rate=1.0, errors=(error,), negative_age=3600.0 if blind else 0.0))
    board.finish(held, root / "02_out")
    assert names(mount) == ["02_out"]


def test_a_registration_that_happened_is_believed(mount: Mount) -> None:
    """A link that was made and answered EEXIST registers the book, once."""
    root = make(mount.point)
    ledger = Ledger(root / "ledger")
    (root / "ledger" / "B1").mkdir()
    mount.tell(rate=1.0, negative_age=3600.0)
    assert ledger.register("B1") is True
    mount.tell(rate=0.0)
    assert ledger.register("B1") is False
    assert [event["event"] for event in ledger.read("B1")] == ["registered"]
    assert mount.told("link")


def test_a_remembered_name_is_no_second_name(two: Two) -> None:
    """A token goes back to a bucket where this client still sees it, long after another one has moved it away."""
    a, b = two
    here, there = make(a.point), make(b.point)
    put(here, "B1")
    a.tell(attribute_age=3600.0)
    os.lstat(here / "01_in" / "B1.json")
    first = board.claim(there / "01_in", "B1", "theirs", 1)
    assert first is not None
    board.finish(first, there / "02_out")
    second = board.claim(here / "02_out", "B1", "ours", 1)
    assert second is not None
    board.finish(second, here / "01_in")
    assert names(a) == ["01_in"]


def race(root: Path, out: Path, claim: Claiming, gives_back: bool) -> None:
    """Be a worker that only claims: until nothing was to be had for as long as a listing may be old."""
    board.claim = claim  # type: ignore[assignment]
    feed, reaper = Feed(root / "01_in", out.stem), Reaper(root, [root / "01_in"], 30.0)
    taken: dict[Path, str] = {}
    idle, since = 0, time.monotonic()
    while idle < TURNS or time.monotonic() < since + IDLE:
        held, returned = None, 0
        with suppress(OSError):
            held = feed.next(0.0)
        if held is not None:
            assert held.path not in taken
            taken[held.path] = held.barcode
        elif gives_back:
            returned = reaper.reap_unknown(out.stem, set(taken))
        if held is not None or returned:
            idle, since = 0, time.monotonic()
        else:
            idle += 1
            time.sleep(0.1)
    out.write_text(json.dumps(list(taken.values())))


def raced(two: Two, folder: Path, claim: Claiming = board.claim, *, gives_back: bool = True) -> Counter[str]:
    """How often each token was taken by four racers on two clients; a racer may have died of what it found."""
    root = make(two[0].below)
    for number in range(TOKENS):
        put(root, f"B{number}")
    for mount in two:
        mount.set(LYING)
    roots = {folder / f"racer{number}": two[number % 2].point / "pipeline" for number in range(RACERS)}
    log = folder / "race.log"
    children = [fork(lambda o=out, r=root: race(r, o, claim, gives_back), log) for out, root in roots.items()]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0, log.read_text()[-2000:]
    assert sum(len(mount.told("rename")) for mount in two) >= TOKENS * 0.02
    return Counter(barcode for out in roots for barcode in json.loads(out.read_text()))


def test_a_race_for_claims_under_lies(two: Two, place: Path) -> None:
    """Four processes on two clients claim 300 tokens, 5 % of the renames lying: each is taken once, none is left."""
    assert raced(two, place) == {f"B{number}": 1 for number in range(TOKENS)}
    assert set(names(two[0])) == {"01_in/working"}


def test_a_claim_that_believes_the_error_leaves_books_behind(two: Two, place: Path) -> None:
    """The twin: without the look after an error, books lie in working/ under the name of one who does not know it."""

    def believing(bucket: Path, barcode: str, worker: str, number: int, state: str = board.WAITING) -> object:
        wanted = board.Claim(bucket, barcode, worker, number)
        try:
            os.rename(board.path_of(bucket, barcode, state), wanted.path)  # noqa: PTH104
        except OSError:
            return None
        return wanted

    taken = raced(two, place, believing, gives_back=False)
    assert set(names(two[0])) == {"01_in/working"}
    assert TOKENS - len(taken) >= TOKENS * 0.01


def test_a_finish_that_believes_the_error_doubles_a_book(mount: Mount) -> None:
    """The twin: who takes a reported failure for one, and puts the token back for another try, makes a second one."""
    root = make(mount.point)
    put(root, "B1")
    held = board.claim(root / "01_in", "B1", "worker", 1)
    assert held is not None
    token = board.read(held)
    mount.set(Lies(rate=1.0))
    with pytest.raises(OSError, match=r"No such file|Input/output"):
        os.rename(held.path, board.path_of(root / "02_out", "B1", board.WAITING))  # noqa: PTH104
    mount.tell(rate=0.0)
    board.path_of(root / "01_in", "B1", board.WAITING).write_bytes(token)
    assert names(mount) == ["01_in", "02_out"]
