"""The libraries beside which the board is measured, each through the few calls that its own manual names.

A contender is opened anew in every process. `take` gets a message and acknowledges it, `hold` gets it and does not;
`recover` is what the library offers for the messages of a dead worker, with the threshold set as low as it goes.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from common import board
from common.feed import Feed
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from common.reaper import Reaper

# A worker is dead after so many seconds in the kill check; the default is 30.
REAP_AFTER = 3.0
HANDFUL = 64


class Contender:
    """One queue in a folder, as one process uses it."""

    name: ClassVar[str]
    package: ClassVar[str] = ""
    processes: ClassVar[bool] = True
    """Whether its manual allows several processes on one queue."""
    recovery: ClassVar[str] = ""
    """The call that gives back what a dead worker held; empty when there is none beside opening the queue again."""
    reap_after: ClassVar[float] = REAP_AFTER
    """After so many seconds the call takes a silent worker for dead."""
    note: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def put(self, text: str) -> None:
        """Add a message."""
        raise NotImplementedError

    def put_all(self, texts: Iterable[str]) -> Iterator[int]:
        """Add many messages, the way this queue does it best; how many each step has added."""
        for text in texts:
            self.put(text)
            yield 1

    def hold(self) -> str | None:
        """Get a message and keep it; None when there is none to be had."""
        raise NotImplementedError

    def ack(self) -> None:
        """Say that the message held last is done with."""
        raise NotImplementedError

    def take(self) -> str | None:
        """Get a message and acknowledge it; None when there is none to be had."""
        text = self.hold()
        if text is not None:
            self.ack()
        return text

    def recover(self) -> None:
        """Give back what dead workers held, if there is a call for it."""


class Board(Contender):
    """This project's board: claim, ledger line before and after, finish, all durable."""

    name = "grin-pipeline"
    recovery = f"the reaper of any worker or of `up`, with reap_after {REAP_AFTER:g} s (default 30 s)"
    note = "ledger lines and moves durable, heartbeat, fence"
    reap_after = REAP_AFTER

    def __init__(self, folder: Path) -> None:
        self.root, self.source, self.target = folder, folder / "01_waiting", folder / "02_done"
        board.prepare(folder, [self.source, self.target])
        self.ledger = Ledger(folder / "ledger")
        worker = f"hop-bench-{os.getpid()}"
        self.seeder, self.feed = board.Seeder(folder, self.ledger, worker), Feed(self.source, worker)
        self.heartbeat = Heartbeat(folder / "workers", worker)
        self.reaper = Reaper(folder, [self.source], self.reap_after)

    def put(self, text: str) -> None:
        """Seed a book of that name."""
        self.seeder.seed(text, self.source, "", "")

    def put_all(self, texts: Iterable[str]) -> Iterator[int]:
        """Seed in handfuls, as `seed` does."""
        stream = iter(texts)
        while handful := list(islice(stream, HANDFUL)):
            yield len(self.seeder.seed_all(handful, self.source, "", ""))

    def hold(self) -> str | None:
        """Claim a token; the heartbeat runs as long as this process lives."""
        if not self.heartbeat.path.exists():
            self.heartbeat.announce()
            threading.Thread(target=self._beat, daemon=True).start()
        self.held = self.feed.next(time.time())
        if self.held is None:
            return None
        self.ledger.append(self.held.barcode, "attempt", stage="hop", worker=self.held.worker, attempt=1)
        return self.held.barcode

    def ack(self) -> None:
        """Record and finish."""
        assert self.held is not None
        self.ledger.append(self.held.barcode, "done", stage="hop", worker=self.held.worker, attempt=1, facts={})
        board.finish(self.held, self.target)

    def recover(self) -> None:
        """One turn of the reaper."""
        self.reaper.turn()

    def _beat(self) -> None:
        while True:
            self.heartbeat.beat()
            time.sleep(self.reap_after / 8)


class Dirq(Contender):
    """dirq.QueueSimple: a file a message, a hard link as its lock."""

    name, package = "dirq QueueSimple", "dirq"
    recovery = "purge(maxlock=1) (default 600 s), called by oneself"
    note = "a lock is stale by its age alone"

    def __init__(self, folder: Path) -> None:
        importlib.import_module("dirq.QueueBase").WARN = False
        self.queue = importlib.import_module("dirq.QueueSimple").QueueSimple(str(folder / "dirq"))
        self.held = self.listed = ""

    def put(self, text: str) -> None:
        """Add an element."""
        self.queue.add(text)

    def hold(self) -> str | None:
        """Lock the next element and read it; the queue is listed anew at its end."""
        name = self.queue.next() or self.queue.first()
        while name and not self.queue.lock(name):
            name = self.queue.next()
        self.held = name
        return self.queue.get(name).decode() if name else None

    def ack(self) -> None:
        """Remove it."""
        self.queue.remove(self.held)

    def recover(self) -> None:
        """Unlock what was locked for more than a second."""
        self.queue.purge(maxlock=1)


class PersistFile(Contender):
    """persistqueue.Queue: chunk files and an info file."""

    name, package = "persist-queue Queue", "persist-queue"
    processes = False
    note = "autosave off"
    autosave = False

    def __init__(self, folder: Path) -> None:
        made = folder / "persist"
        made.mkdir(exist_ok=True)
        module = importlib.import_module("persistqueue")
        self.empty = module.Empty
        self.queue = module.Queue(str(made), autosave=self.autosave, tempdir=str(made))

    def put(self, text: str) -> None:
        """Put it."""
        self.queue.put(text)

    def hold(self) -> str | None:
        """Get the next."""
        try:
            return str(self.queue.get(block=False))
        except self.empty:
            return None

    def ack(self) -> None:
        """Save how far we are."""
        self.queue.task_done()


class PersistAutosave(PersistFile):
    """The same, saving at each get."""

    name = "persist-queue Queue, autosave"
    note = "autosave on"
    autosave = True


class PersistAck(Contender):
    """persistqueue.SQLiteAckQueue: a SQLite file with a state a row."""

    name, package = "persist-queue SQLiteAckQueue", "persist-queue"
    processes = False
    note = "acknowledged rows stay until cleared"

    def __init__(self, folder: Path) -> None:
        module = importlib.import_module("persistqueue")
        self.empty = module.Empty
        self.queue = module.SQLiteAckQueue(str(folder / "ack"), multithreading=False)
        self.held: Any = None

    def put(self, text: str) -> None:
        """Put it."""
        self.queue.put(text)

    def hold(self) -> str | None:
        """Get the next unacknowledged row."""
        try:
            self.held = self.queue.get(block=False)
        except self.empty:
            return None
        return str(self.held)

    def ack(self) -> None:
        """Acknowledge it."""
        self.queue.ack(self.held)


class Huey(Contender):
    """huey.storage.FileStorage, the queue under FileHuey: a file a task, one lock around everything."""

    name, package = "huey FileStorage", "huey"
    note = "no acknowledgement; lists and sorts at each get"

    def __init__(self, folder: Path) -> None:
        made = folder / "huey"
        made.mkdir(exist_ok=True)
        self.queue = importlib.import_module("huey.storage").FileStorage("bench", str(made))

    def put(self, text: str) -> None:
        """Enqueue it."""
        self.queue.enqueue(text.encode())

    def hold(self) -> str | None:
        """Dequeue the next: its file is gone."""
        data = self.queue.dequeue()
        return None if data is None else data.decode()

    def ack(self) -> None:
        """There is nothing to be said."""


class Lite(Contender):
    """litequeue.LiteQueue: a SQLite file in WAL mode."""

    name, package = "litequeue", "litequeue"
    recovery = "list_locked(0) and retry(), written by oneself; no default"
    note = "done rows stay until pruned"

    def __init__(self, folder: Path) -> None:
        self.queue = importlib.import_module("litequeue").LiteQueue(str(folder / "lite.db"))
        self.held: Any = None

    def put(self, text: str) -> None:
        """Put it."""
        self.queue.put(text)

    def hold(self) -> str | None:
        """Pop the next, which locks its row."""
        self.held = self.queue.pop()
        return None if self.held is None else str(self.held.data)

    def ack(self) -> None:
        """Mark it done."""
        self.queue.done(self.held.message_id)

    def recover(self) -> None:
        """Free every locked row."""
        for message in list(self.queue.list_locked(0)):
            self.queue.retry(message.message_id)


RIVALS: tuple[type[Contender], ...] = (Dirq, PersistFile, PersistAutosave, PersistAck, Huey, Lite)
EVERYONE: tuple[type[Contender], ...] = (Board, *RIVALS)


def versions() -> dict[str, str]:
    """The installed version of each library; PackageNotFoundError names one that is missing."""
    return {rival.package: metadata.version(rival.package) for rival in RIVALS}


def main() -> None:
    """`NAME FOLDER put|take COUNT`: for the count of its calls of fsync, under strace."""
    name, folder, what, count = sys.argv[1:]
    contender = next(one for one in EVERYONE if one.name == name)(Path(folder))
    if what == "put":
        for number in range(int(count)):
            contender.put(f"message{number:06}")
    elif [contender.take() for _ in range(int(count))].count(None):
        raise SystemExit("The queue was empty too soon.")


if __name__ == "__main__":
    main()
