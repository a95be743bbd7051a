"""Uploads to a real S3 server through every kind of trouble: all books whole, none partial, none twice.

`OBJECT_BOOKS=200` in the environment makes the storms larger than a test run wants them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import obstore
import pytest

from tests.helpers import until
from tests.objects.proxy import Proxy, proxying
from tests.objects.server import Server
from tests.objects.stand import Stand, barcodes, package
from tests.objects.watch import Watch, watching

BOOKS = int(os.environ.get("OBJECT_BOOKS", "24"))
KILLS = max(5, BOOKS // 4)


def told(watch: Watch, proxy: Proxy, began: float) -> str:
    """What has happened, for the list of figures."""
    faults = ", ".join(f"{count} {fault}" for fault, count in sorted(proxy.counts.items()))
    seen = f"{watch.looks} looks at the listing, {watch.read} objects read meanwhile, none partial"
    took = time.monotonic() - began
    return (
        f"{len(proxy.seen)} requests, of them {proxy.counts.total()} went wrong ({faults}); {seen}"
        f"; at most {watch.unfinished} unfinished large uploads at once, {watch.left()} at the end; {took:.0f} s"
    )


def test_a_server_that_fails_cuts_and_dawdles(
    stand_at: Callable[..., Stand], s3_server: Server, figure: Callable[[str], None]
) -> None:
    """A twentieth of all requests goes wrong in any way there is: each book arrives whole, once, and is tidied up."""
    books = barcodes(BOOKS)
    with proxying(Proxy(s3_server.endpoint, rate=0.05, lateness=2, seed=5)) as proxy:
        stand = stand_at(proxy.endpoint)
        stand.make(*books)
        began = time.monotonic()
        with watching(stand) as watch:
            stand.man(2)
            stand.wait_for(2, len(books))
            stand.end()
        assert proxy.counts.total() >= BOOKS // 6
        stand.all_home(books)
        figure(f"{BOOKS} books, all whole: {told(watch, proxy, began)}")


def test_uploaders_that_are_killed(
    stand_at: Callable[..., Stand], s3_server: Server, figure: Callable[[str], None]
) -> None:
    """The same with SIGKILL at random moments, and new workers in their place."""
    books, dice = barcodes(BOOKS), random.Random(3)
    with proxying(Proxy(s3_server.endpoint, rate=0.05, lateness=1, seed=6)) as proxy:
        stand = stand_at(proxy.endpoint)
        stand.make(*books)
        began, kills = time.monotonic(), 0
        with watching(stand) as watch:
            while stand.arrived(2) < len(books):
                stand.man(3)
                busy = stand.busy() if kills < KILLS else []
                # Somewhere in the middle of a book.
                time.sleep(dice.uniform(0, 0.15))
                if busy:
                    stand.kill(dice.choice(busy))
                    kills += 1
            stand.end()
            # What the killed ones left of books at home goes when a worker starts.
            stand.man(1)
            stand.wait_for_tidiness()
            stand.end()
        stand.all_home(books)
        again = sum(stand.attempts(book) - 1 for book in books)
        assert kills == KILLS and again >= KILLS // 3
        figure(f"{BOOKS} books, all whole, {kills} kills, {again} further attempts: {told(watch, proxy, began)}")


def test_the_watch_and_the_count_would_notice(stand_at: Callable[..., Stand]) -> None:
    """The twin: half an object, or one too many, is seen."""
    stand = stand_at()
    stand.make("B2")
    stand.man(1)
    stand.wait_for(2, 1)
    stand.end()
    stand.all_home(["B2"])
    obstore.put(stand.store, "B2/v2/B2.txt", b"twice")
    with pytest.raises(AssertionError):
        stand.all_home(["B2"])
    obstore.delete(stand.store, "B2/v2/B2.txt")
    obstore.put(stand.store, "B2/B2.tar.gz", package("B2")[:-1])
    with pytest.raises(AssertionError):
        stand.all_home(["B2"])
    with pytest.raises(AssertionError, match="partial"), watching(stand) as watch:
        until(lambda: watch.looks > 5)
