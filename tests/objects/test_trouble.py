"""What happens once: two workers with one book, wrong keys, a server that is down, bytes that change on their way."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import obstore

from tests.helpers import until
from tests.objects import proxy as faults
from tests.objects.proxy import Proxy, Request, proxying
from tests.objects.server import Server
from tests.objects.stand import LARGE_EVERY, Stand, barcodes, is_tree, package


def words(stand: Stand, book: str, kind: str) -> list[str]:
    """The reasons of a book's events of one kind."""
    return [event["reason"] for event in stand.line.events(book) if event["event"] == kind]


def test_one_book_in_the_hands_of_two(stand_at: Callable[..., Stand], s3_server: Server) -> None:
    """A worker sleeps in the middle of a large upload, another one takes the book over, and the first wakes up."""
    with proxying(Proxy(s3_server.endpoint)) as proxy:
        stand = stand_at(proxy.endpoint)
        stand.make("B0")
        stand.man(1)
        until(lambda: any("partNumber" in target for _, target in proxy.seen))
        sleeper = stand.workers[0]
        os.killpg(sleeper.pid, signal.SIGSTOP)
        stand.man(2)
        stand.wait_for(2, 1)
        before = len(proxy.seen)
        os.killpg(sleeper.pid, signal.SIGCONT)
        # It finishes what it has in hand before it ends, and learns then that the book is not its own any more.
        stand.end()
        assert len(proxy.seen) > before
        stand.all_home(["B0"])


def test_a_late_worker_leaves_alone_what_another_has_made_anew(
    stand_at: Callable[..., Stand], s3_server: Server, tmp_path: Path
) -> None:
    """While it sleeps, the book is made again, with other bytes, and brought home: those stay."""
    others = s3_server.unfinished()
    with proxying(Proxy(s3_server.endpoint)) as proxy:
        stand = stand_at(proxy.endpoint, make="tests.objects.stand:MakeAnew", concurrency=1)
        stand.make("B0")
        stand.man(1)
        until(lambda: any("partNumber" in target for _, target in proxy.seen))
        sleeper = stand.workers[0]
        os.killpg(sleeper.pid, signal.SIGSTOP)
        [sidecar] = stand.processing.rglob("B0.txt")
        sidecar.unlink()
        (tmp_path / "anew").touch()
        stand.workers.append(stand.line.stage_process("make"))
        stand.man(3)
        stand.wait_for(2, 1)
        os.killpg(sleeper.pid, signal.SIGCONT)
        until(lambda: "taken back" in stand.line.log("stage.log"))
        stand.end()
    facts = stand.line.events("B0")[-1]["facts"]
    held = bytes(obstore.get(stand.store, "B0/B0.tar.gz").bytes())
    assert held == package("B0")[::-1]
    assert facts["files"][0]["sha256"] == hashlib.sha256(held).hexdigest()
    told = bytes(obstore.get(stand.store, "B0/provenance.json").bytes())
    assert facts["provenance_sha256"] == hashlib.sha256(told).hexdigest()
    assert s3_server.unfinished() == others


def test_wrong_keys_and_then_the_right_ones(stand_at: Callable[..., Stand], s3_server: Server, tmp_path: Path) -> None:
    """The stage halts and says why; with the right keys the book goes on, and no attempt was burnt."""
    stand = stand_at()
    stand.make("B1", "B2")
    stand.reach(AWS_SECRET_ACCESS_KEY="not the one")
    stand.man(1)
    until(lambda: "halted" in stand.line.kinds("B1") + stand.line.kinds("B2"))
    stand.end()
    [reason, *_] = words(stand, "B1", "halted") or words(stand, "B2", "halted")
    assert "refuses us" in reason and s3_server.secret_key not in reason
    assert stand.keys() == []
    stand.reach()
    stand.man(1)
    stand.wait_for(2, 2)
    stand.end()
    stand.all_home(["B1", "B2"])
    for book in ("B1", "B2"):
        [done] = [
            event for event in stand.line.events(book) if event["event"] == "done" and event["stage"] == "uploader"
        ]
        assert done["attempt"] == 1


def test_a_server_that_is_down_for_a_while(stand_at: Callable[..., Stand], s3_server: Server) -> None:
    """The stage halts, goes on by itself once the server is back, and no attempt was burnt."""
    books = barcodes(12)
    stand = stand_at(uploader="tests.objects.impatient:Uploader")
    stand.make(*books)
    stand.man(2)
    stand.wait_for(2, 2)
    s3_server.stop()
    try:
        until(lambda: any("halted" in stand.line.kinds(book) for book in books), 150)
    finally:
        s3_server.start()
    stand.wait_for(2, len(books), 240)
    stand.end()
    stand.all_home(books)
    reasons = {reason for book in books for reason in words(stand, book, "halted")}
    assert any("cannot be reached" in reason for reason in reasons)
    # A server that is just going, or coming, may answer with an error, or know no bucket yet.
    assert all("done bucket" in reason for reason in reasons)
    done = [e for book in books for e in stand.line.events(book) if e["event"] == "done" and e["stage"] == "uploader"]
    assert {event["attempt"] for event in done} == {1}


class Ends(Proxy):
    """Spoils the completion of each large upload once, each time in another way."""

    def choose(self, request: Request) -> str:
        """The next of the faults, at the first completion of an upload."""
        upload = request.target.partition("uploadId=")[2]
        if request.method != "POST" or not upload or upload in self.spoilt or not self.left:
            return ""
        self.spoilt.add(upload)
        return self.left.pop()


def test_the_end_of_a_large_upload(stand_at: Callable[..., Stand], s3_server: Server) -> None:
    """Refused, failed in a 200, or carried out and never answered: the object is there, whole, all the same."""
    ways = [faults.SLOW_DOWN, faults.ERROR_IN_200, faults.ANSWER_LOST, faults.RESET_AFTER, faults.CUT_ANSWER]
    books = [book for book in barcodes(99)[::LARGE_EVERY] if not is_tree(book)][: len(ways)]
    with proxying(Ends(s3_server.endpoint)) as proxy:
        proxy.spoilt, proxy.left = set(), list(ways)
        stand = stand_at(proxy.endpoint)
        stand.make(*books)
        stand.man(1)
        stand.wait_for(2, len(books))
        stand.end()
        assert proxy.counts == dict.fromkeys(ways, 1)
    stand.all_home(books)


class Flips(Proxy):
    """Changes one bit of every third body."""

    def choose(self, request: Request) -> str:
        """By their number."""
        self.bodies = getattr(self, "bodies", 0) + request.suits(faults.FLIPPED)
        return faults.FLIPPED if request.suits(faults.FLIPPED) and self.bodies % 3 == 0 else ""


def test_bytes_that_change_on_their_way(stand_at: Callable[..., Stand], s3_server: Server) -> None:
    """One bit of a body is another one: the store refuses it, or reading back finds it, and what is there is whole."""
    books = barcodes(6)[1:]
    with proxying(Flips(s3_server.endpoint)) as proxy:
        stand = stand_at(proxy.endpoint)
        stand.make(*books)
        stand.man(1)
        stand.wait_for(2, len(books))
        stand.end()
        assert proxy.counts[faults.FLIPPED] >= 5
    stand.all_home(books)
