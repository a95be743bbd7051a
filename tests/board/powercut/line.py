"""A line of two real stages for one book, small enough to be worked through some thousand times; and its recovery."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from common import board, logs
from common.attempt import Attempt, Desk
from common.feed import Feed
from common.ledger import Ledger
from common.listing import claims
from common.metrics import StageMetrics
from common.reaper import Reaper
from common.settings import FilterRow, GlobalSettings, Settings
from common.stage import Book, Stage
from common.token import encode
from common.worker import Worker
from services.orchestrator.choosing import Choice, Chooser, Command
from services.orchestrator.operate import Operation, Order

BOOK = "A1"
NAMES = ("one", "two")
LAST = f"{len(NAMES):02}_b"
Saying = Callable[[Book], None]

# What each stage adds to the book's files.
ADDS = {"one": ("one.txt", "pages/1.txt"), "two": ("two.txt",)}


def made_by(stage: str, barcode: str = BOOK) -> dict[str, bytes]:
    """All the files of a book's folder that this stage publishes."""
    stages = NAMES[: NAMES.index(stage) + 1]
    return {name: f"{barcode}: {name}\n".encode() * 4 for added in stages for name in ADDS[added]}


class Says(Stage):
    """Needs all files of the earlier stage, whole; adds its own; then says what the scene wants said."""

    sayings: ClassVar[dict[str, Saying]] = {}
    worked: ClassVar[list[str]] = []

    def process(self, book: Book, work: Path) -> dict[str, object]:
        """Work of which every call goes through the seam."""
        self.worked.append(self.row.name)
        if self.options:
            time.sleep(self.options["seconds"])
        if book.upstream:
            book.input_file("one.txt")
        for name in ADDS[self.row.name]:
            _write(work / name, made_by(self.row.name, book.barcode)[name])
        self.sayings.get(self.row.name, lambda _book: None)(book)
        return {"bytes_out": 1}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        # In two parts: a power cut may come between them.
        for part in (data[:5], data[5:]):
            os.write(fd, part)
    finally:
        os.close(fd)


class Line:
    """The line in a folder of its own."""

    def __init__(self, folder: Path, options: dict[str, object] | None = None) -> None:
        self.folder = folder
        self.root = folder / "pipeline"
        self.books = folder / "processing"
        self.buckets = [self.root / f"{number:02}_b" for number in range(len(NAMES) + 1)]
        self.ledger = Ledger(self.root / "ledger")
        self.settings = self._settings(options or {})
        self.desks = {name: self._desk(name) for name in NAMES}
        self._number = 0

    def _settings(self, options: dict[str, object]) -> Settings:
        common = GlobalSettings(pipeline_dir=self.root, processing_bucket=self.books, done_bucket="done", poll=0.02)
        keys: dict[str, Any] = {"class_": "theirs:Says", "backoff": 0, "options": options}
        pairs = zip(NAMES, self.buckets, self.buckets[1:], strict=False)
        rows = [FilterRow(name=name, input_pipe=i, output_pipe=o, **keys) for name, i, o in pairs]
        return Settings(path=self.folder / "config.yaml", global_=common, filters=rows)

    def _desk(self, name: str) -> Desk:
        row = self.settings.row(name)
        metrics, stage = StageMetrics(name), Says(self.settings, row)
        return Desk(self.settings, row, stage, self.ledger, metrics, logs.quiet(), time.time)

    def token(self, barcode: str = BOOK) -> bytes:
        """The bytes of a book's token, from the first day to the last."""
        return encode(barcode, str(self.books), "done")

    def name(self, kind: str) -> str:
        """A worker's name that nobody had before."""
        self._number += 1
        return f"{kind}-host-{os.getpid()}-{self._number}"

    # --- what a scene does ---

    def prepare(self) -> None:
        """What each process does before it begins."""
        board.prepare(self.root, self.buckets)
        self.books.mkdir(exist_ok=True)

    def seeder(self) -> board.Seeder:
        """A new seeder."""
        return board.Seeder(self.root, self.ledger, self.name("seeder"))

    def seed(self, *barcodes: str) -> list[str]:
        """One seeding, as the command does it."""
        seeder = self.seeder()
        seeder.recover()
        return seeder.seed_all(barcodes or [BOOK], self.buckets[0], str(self.books), "done")

    def attempt(self, stage: str) -> Attempt:
        """A new worker of that stage has claimed the book."""
        # A second ahead, so that what was deferred for no time at all is due.
        held = Feed(self.desks[stage].row.input_pipe, self.name(stage)).next(time.time() + 1)
        assert held is not None
        return Attempt(self.desks[stage], held)

    def work(self, *stages: str) -> list[str]:
        """One attempt of a new worker of each of these stages; what each came to."""
        return [self.attempt(stage).run() for stage in stages]

    def reap(self) -> int:
        """Return what anybody holds: all are dead."""
        reaper = Reaper(self.root, self.buckets, 30)
        workers = {held.worker for bucket in self.buckets for held in claims(bucket)}
        return sum(reaper.reap_worker(worker, "it was killed") for worker in sorted(workers))

    def tell(self, command: Command) -> None:
        """A person's command for the book."""
        chooser = Chooser(self.settings, command, Choice(names=[BOOK]))
        list(Operation(self.settings, command, chooser, Order("somebody")).run())

    # --- after the power is back ---

    def recover(self, *barcodes: str, told: Sequence[Command] = ()) -> None:
        """What a start does: folders, the dead ones' claims, seeding; then real workers, and persons, to the end."""
        self.prepare()
        self.reap()
        self.seed(*barcodes)
        self._to_the_end(len(barcodes) or 1)
        for command in told:
            self.tell(command)
            self._to_the_end(len(barcodes) or 1)

    def _to_the_end(self, books: int) -> None:
        for _ in range(12):
            if self.arrived(books):
                return
            for stage in NAMES:
                self._turns(stage)

    def _turns(self, stage: str) -> None:
        """Let a new worker turn until it has looked at all that waits."""
        worker = Worker(self.desks[stage], self.name(stage), lambda: self.desks[stage])
        # Told to stop, so that it waits for nothing.
        worker.stopping_since = time.monotonic()
        for _ in range(1 + len(list(self.buckets[NAMES.index(stage)].rglob("*.json")))):
            worker._turn_safely()
        for fd in (worker._wake_read, worker._wake_write):
            os.close(fd)

    def arrived(self, books: int) -> bool:
        """Whether all books are where no worker takes them from."""
        ends = (
            self.buckets[-1],
            self.root / "dropped",
            *(bucket / name for bucket in self.buckets for name in ("failed", "held")),
        )
        return sum(len(list(end.glob("*.json"))) for end in ends) >= books

    def places(self, barcode: str = BOOK) -> list[Path]:
        """Every token of a book on the board."""
        found = [path for bucket in self.buckets for path in bucket.rglob(f"{barcode}*.json")]
        return [path for path in found if path.name.removesuffix(".json").partition("~")[0] == barcode]

    def published(self, barcode: str = BOOK) -> dict[str, dict[str, bytes]]:
        """The published folders of a book: the files in each."""
        folders = [path for path in (self.books / barcode).glob("*") if path.name in NAMES]
        return {path.name: {str(f.relative_to(path)): f.read_bytes() for f in _files(path)} for path in folders}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
