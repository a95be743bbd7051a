"""Boards to look at: an orchestrator of its own on each, and tokens wherever a test wants them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

from common import audit, board
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from tests.helpers import Line, stop, until

NAMES = ("00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded")
STAGES = ("downloader", "decryptor", "extractor", "modifier", "uploader")
TOKEN = "open-sesame-8642"
NO_KEY = "gpg cannot open the archive: it was encrypted with another passphrase."
NO_KEY_CURE = "Put the right passphrase into secrets/gpg/passphrase.asc, then `grin-pipeline retry`."
BAD_SUM = "00000003.tif has another checksum than checksum.md5 says."
BAD_SUM_CURE = "Ask Google for a new conversion, then `grin-pipeline retry`."
Here = TypeVar("Here", bound="Served")


class Served(Line):
    """A line with an orchestrator that serves its page."""

    process: subprocess.Popen[str] | None = None

    @property
    def base(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port()}"

    def audit(self) -> list[dict[str, Any]]:
        """The operators' log."""
        path = self.root / "logs" / "operators.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def start(self, *more: str) -> Self:
        """Start the orchestrator, and wait until its page can be asked for."""
        self.process = self.up(*more)
        until(lambda: self._port() or self._ended(), 120)
        return self

    def end(self) -> None:
        """Stop the orchestrator."""
        if self.process is not None and self.process.poll() is None:
            stop(self.process, 60)

    def _port(self) -> int:
        for path in (self.root / "workers").glob("orchestrator-*.json"):
            try:
                return int(json.loads(path.read_text()).get("port", 0))
            except (OSError, ValueError):
                continue
        return 0

    def _ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        return False


class Day(Served):
    """`grin-pipeline demo`, slow enough to be watched, which stays after its last book."""

    def __init__(self, folder: Path, books: int, poisoned: int) -> None:
        super().__init__(folder, "")
        self.root = folder / "demo" / "pipeline"
        self.token = folder / "demo" / "secrets" / "action_token"
        self._how = ("--books", str(books), "--poisoned", str(poisoned), "--seed", "5", "--slow", "--stay")

    def up(self, *more: str) -> subprocess.Popen[str]:
        """Start the demo, its output in up.log."""
        return self._start("up.log", "demo", "--folder", str(self.folder / "demo"), *self._how, *more)

    def books(self, *, bad: bool) -> set[str]:
        """The barcodes of the good or of the bad books, as their maker recorded them."""
        made = [json.loads(path.read_text()) for path in (self.folder / "demo" / "grin" / "books").glob("*.json")]
        return {book["barcode"] for book in made if bool(book["poison"]) == bad}


class Board(Served):
    """A board with the buckets of the real line, and an orchestrator that is started without stages."""

    def __init__(self, folder: Path, *, acts: bool = True) -> None:
        # Whoever is made up beats only once: it stays alive for the whole session.
        super().__init__(folder, "", library="TESTLIB", heartbeat=0.5, reap_after=3600)
        for number, name in enumerate(STAGES):
            pipes = {"input_pipe": f"pipeline/{NAMES[number]}", "output_pipe": f"pipeline/{NAMES[number + 1]}"}
            # None of them is ever started; whoever is called a Downloader would have GRIN's lists read.
            self.filters.append({"name": name, "class": "their_module:Stage", **pipes})
        self.filters[1]["wip_limit"], self.filters[2]["wip_limit"], self.filters[3]["wip_limit"] = 20, 8, 4
        page = {"listen": "127.0.0.1:0"} | ({"action_token_file": "token"} if acts else {})
        (folder / "token").write_text(TOKEN + "\n")
        self.config.write_text(yaml.safe_dump({"global": self.common, "filters": self.filters, "board": page}))
        board.prepare(self.root, [self.bucket(number) for number in range(len(NAMES))])
        self.ledger = Ledger(self.root / "ledger")
        self._seeder = board.Seeder(self.root, self.ledger, "s")

    def bucket(self, number: int) -> Path:
        """The path of a bucket."""
        return self.root / NAMES[number]

    def put(
        self, barcode: str, number: int = 0, state: str = "waiting", *, worker: str = "w-1", age: float = 0, **told: Any
    ) -> Path:
        """A seeded book, moved to a state of bucket `number` so many seconds ago, with an event that tells of it."""
        bucket = self.bucket(number)
        assert self._seeder.seed(barcode, bucket, "", "")
        path = board.path_of(bucket, barcode, board.WAITING)
        event = {"working": "attempt", "waiting": "done"}.get(state, state)
        if told:
            self.ledger.append(barcode, event, stage=STAGES[min(number, 4)], **told)
        os.utime(path, (time.time() - age,) * 2)
        name = f"{barcode}~{worker}.1.json" if state == "working" else f"{barcode}.json"
        return path if state == "waiting" else path.rename(bucket / state / name)

    def worker(self, stage: str, name: str, **facts: object) -> str:
        """A worker that seems to live."""
        Heartbeat(self.root / "workers", name, stage=stage).announce(**facts)
        return name


@contextmanager
def started(made: Here, *more: str) -> Iterator[Here]:
    """The board with its orchestrator, for as long as it is wanted."""
    try:
        yield made.start(*more)
    finally:
        made.end()


def barcodes(first: int, count: int) -> list[str]:
    """Barcodes as libraries have them."""
    return [f"3570{(first + number) * 7919 % 10**10:010}" for number in range(count)]


def furnish(made: Board) -> Board:
    """Books in every state, workers that hold some, a stage that has halted, one that is paused, one at its limit."""
    _spread(made)
    for number, barcode in enumerate(barcodes(500, 4)):
        made.put(barcode, 1, "failed", age=4000 - 700 * number, reason=NO_KEY, cure=NO_KEY_CURE, attempt=1)
    made.put("B00POISONED", 2, "failed", age=7300)
    for stage, size in zip(STAGES[:2], (451_616, 448_900), strict=True):
        made.ledger.append("B00POISONED", "attempt", stage=stage, attempt=1, worker=f"{stage}-reading-room-4711-ab12")
        made.ledger.append("B00POISONED", "done", stage=stage, attempt=1, seconds=1.4, size=size)
    made.ledger.append(
        "B00POISONED", "attempt", stage="extractor", attempt=1, worker="extractor-reading-room-4711-ab12"
    )
    told = {"reason": BAD_SUM, "cure": BAD_SUM_CURE, "attempt": 1, "seconds": 1.2}
    made.ledger.append("B00POISONED", "failed", stage="extractor", **told)
    made.put("B00HELD", 1, "held", age=90_000, by="anna@reading-room", why="it is being scanned anew")
    late = "GRIN says 503: come again later."
    made.put("B00LATER", 2, "deferred", age=-240, reason=late, cure="It is tried again by itself.", attempt=2)
    for stage, barcode in (("downloader", "35700000000017"), ("extractor", "35700000000033")):
        name = made.worker(stage, f"{stage}-reading-room-4711-ab12")
        made.put(barcode, STAGES.index(stage), "working", age=35, worker=name, attempt=1)
    halted = "The passphrase file is empty."
    made.worker("decryptor", "decryptor-reading-room-4712-cd34", halted=halted, cure="Put the passphrase there.")
    made.worker("modifier", "modifier-reading-room-4713-ef56", limited="04_modified holds 4 books, its limit")
    audit.pause(made.root, "uploader", "anna@reading-room", "the store is being moved")
    return made


def _spread(made: Board) -> None:
    for number, count in enumerate((40, 14, 6, 3, 4, 30)):
        for place, barcode in enumerate(barcodes(1000 * number, count)):
            made.put(barcode, number, age=40 + 25 * place, seconds=1.5, size=1_000_000, attempt=1)


def fill(made: Board, count: int, number: int = 0) -> None:
    """Very many waiting tokens; nothing is synced, so it is quick."""
    for barcode in barcodes(10_000, count):
        fd = os.open(board.path_of(made.bucket(number), barcode, board.WAITING), os.O_CREAT | os.O_WRONLY)
        os.write(fd, b'{"barcode": "x"}')
        os.close(fd)


def furnished(folder: Path, *more: str) -> Iterator[Board]:
    """That board, with an orchestrator that has no stages: nothing moves by itself."""
    with started(furnish(Board(folder)), "--no-stages", *more) as made:
        yield made
