"""Real workers and a seeder, each a process, at work on a disk; what they were promised is told outside of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from common import board
from common.errors import Retry
from common.ledger import Ledger
from common.stage import Book
from common.worker import Worker
from tests.board.powercut.line import NAMES, Line, Says
from tests.board.powercut.survey import Weakness

# Books that wait before the first stage, at most: nothing but work in hand is to be recovered again and again.
_WAITING = 8
_SECONDS = {"seconds": 0.01}


@dataclass
class Told:
    """What had been reported as durable, by book."""

    wished: list[str] = field(default_factory=list)
    """The books that a seeder was given, in order."""
    seeded: set[str] = field(default_factory=set)
    bucket: dict[str, int] = field(default_factory=dict)
    """The bucket that it had been moved to."""
    inode: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    """Bytes of its ledger."""

    @classmethod
    def read(cls, path: Path) -> Told:
        """What is in the file by now."""
        told = cls()
        # The last line may be half written.
        for line in path.read_bytes().split(b"\n")[:-1]:
            told._take(json.loads(line))
        return told

    def _take(self, event: dict[str, Any]) -> None:
        match event:
            case {"wished": barcodes}:
                self.wished += barcodes
            case {"seeded": barcodes}:
                self.seeded |= set(barcodes)
            case {"barcode": barcode, "bucket": bucket, "inode": inode}:
                self.bucket[barcode], self.inode[barcode] = bucket, inode
            case {"barcode": barcode, "ledger": size}:
                self.ledger[barcode] = size


class Crew:
    """Two workers a stage, a seeder, and a neighbour who has nothing to do with them and syncs a file of its own."""

    def __init__(self, line_folder: Path, outside: Path, weakness: Weakness = nullcontext) -> None:
        self.folder = line_folder
        self.told = outside / "told"
        self.complaints = outside / "complaints"
        self.weakness = weakness
        self._pids: list[int] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this holds they work; afterwards none of them is left."""
        line = Line(self.folder, dict(_SECONDS))
        line.prepare()
        self.told.touch()
        try:
            self._fork(lambda: self._seed(line))
            self._fork(self._neighbour)
            for name in NAMES * 2:
                self._fork(lambda name=name: self._work(line, name))
            yield
        finally:
            self._end()
        assert not self.complaints.exists(), self.complaints.read_text()

    def _fork(self, act: Callable[[], None]) -> None:
        sys.stdout.flush()
        with warnings.catch_warnings():
            # Threads of other tests do not exist in the child, which uses nothing of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            self._pids.append(pid)
            return
        try:
            os.setpgid(0, 0)
            act()
        except BaseException:  # noqa: BLE001 - whatever it is, the test must hear of it
            self.complaints.write_text(traceback.format_exc())
            os._exit(70)
        os._exit(0)

    def _end(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._pids.clear()

    # --- in the children ---

    def _work(self, line: Line, name: str) -> None:
        Says.sayings = {"two": _wet}
        worker = Worker(line.desks[name], line.name(name), lambda: line.desks[name])
        with self.weakness(), _telling(self.told):
            worker.run("127.0.0.1", 0)

    def _seed(self, line: Line) -> None:
        seeder, number = line.seeder(), 0
        with self.weakness(), _telling(self.told):
            while True:
                if len(list(line.buckets[0].glob("*.json"))) < _WAITING:
                    barcodes = [f"B{number + more}" for more in range(4)]
                    number += len(barcodes)
                    _say(self.told, wished=barcodes)
                    seeder.seed_all(barcodes, line.buckets[0], str(line.books), "done")
                time.sleep(0.02)

    def _neighbour(self) -> None:
        """Makes ext4 commit the names at moments that suit nobody, while files' bytes stay in memory."""
        while True:
            with (self.folder / "neighbour").open("ab") as file:
                file.write(b"hello\n")
                file.flush()
                os.fsync(file.fileno())
            time.sleep(0.15)


def _wet(book: Book) -> None:
    """Every tenth book is tried twice."""
    if book.barcode.endswith("7") and book.attempt == 1:
        raise Retry("The page is wet.", delay=0)


@contextmanager
def _telling(told: Path) -> Iterator[None]:
    """Tell of each step once it has returned, and not before."""
    finish, append, seed_all = board.finish, Ledger.append, board.Seeder.seed_all

    def finished(held: board.Claim, output: Path) -> None:
        finish(held, output)
        _say(told, barcode=held.barcode, bucket=int(output.name[:2]), inode=held.inode)

    def appended(ledger: Ledger, barcode: str, event: str, **members: object) -> None:
        append(ledger, barcode, event, **members)
        _say(told, barcode=barcode, ledger=ledger.path(barcode).stat().st_size)

    def seeded(seeder: board.Seeder, *args: Any) -> list[str]:
        placed = seed_all(seeder, *args)
        _say(told, seeded=placed)
        return placed

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(board, "finish", finished))
        stack.enter_context(mock.patch.object(Ledger, "append", appended))
        stack.enter_context(mock.patch.object(board.Seeder, "seed_all", seeded))
        yield


def _say(told: Path, **members: object) -> None:
    with told.open("ab", buffering=0) as file:
        file.write(json.dumps(members).encode() + b"\n")
