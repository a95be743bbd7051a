"""Looks at the store while books are put there: whatever anybody can see is whole."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.objects.stand import Stand


class Watch:
    """Looks at the store at random moments, past the proxy: whatever anybody can see there is whole."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.looks = self.read = self.unfinished = 0
        self._before = stand.server.unfinished()
        self.partial: list[str] = []
        self.dice = random.Random(7)

    def look(self) -> None:
        """List everything, and read a few of the objects."""
        keys = self.stand.keys()
        self.looks += 1
        self.unfinished = max(self.unfinished, self.left())
        for key in self.dice.sample(keys, min(3, len(keys))):
            self.read += 1
            if not self.stand.whole(key):
                self.partial.append(key)

    def left(self) -> int:
        """How many uploads in parts are unfinished at this moment."""
        return self.stand.server.unfinished() - self._before


@contextmanager
def watching(stand: Stand) -> Iterator[Watch]:
    """A watch in a thread of its own, which must have found nothing partial."""
    watch, ended = Watch(stand), threading.Event()

    def work() -> None:
        while not ended.wait(watch.dice.uniform(0.01, 0.1)):
            watch.look()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
    assert not watch.partial, f"partial: {watch.partial}"
    assert watch.looks > 3 and watch.read > 3
