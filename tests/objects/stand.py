"""Books on their way to an object store, by the real uploader in processes of its own; and what has come of them."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import obstore

from common import board, config, durable
from common.artifacts import Artifact, describe, describe_bytes
from common.attempt import Attempt, Desk
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.run import make_stage
from common.stage import Book, Stage
from common.store_keys import PROVENANCE
from tests.helpers import Line, until
from tests.objects.server import Server

PART = 5 << 20
"""Bytes of a part: the smallest that S3 knows."""
LARGE_EVERY = 12
MANIFEST = "manifest-sha256.txt"


def package(barcode: str) -> bytes:
    """The bytes of a book's package, the same at each call; each twelfth book is three parts long, or nearly."""
    number = int(barcode[1:])
    dice = random.Random(number)
    size = dice.randrange(2 * PART + 1, 3 * PART) if number % LARGE_EVERY == 0 else dice.randrange(1, 60_000)
    return dice.randbytes(size)


def is_tree(barcode: str) -> bool:
    """Whether a book lies in the store as loose files; each seventh does."""
    return int(barcode[1:]) % 7 == 1


def contents(barcode: str) -> dict[str, bytes]:
    """All files of a book by name, the package or its manifest first, without its provenance."""
    sidecar = {f"{barcode}.txt": f"text of {barcode}".encode()}
    if not is_tree(barcode):
        return {f"{barcode}.tar.gz": package(barcode), **sidecar}
    pages = {f"pages/{number:08}.txt": f"page {number} of {barcode}".encode() * 50 for number in range(1, 9)}
    manifest = "".join(f"{describe_bytes(data, name).sha256}  {name}\n" for name, data in pages.items())
    return {MANIFEST: manifest.encode(), **sidecar, **pages}


@cache
def described(barcode: str) -> dict[str, Artifact]:
    """What its files are, by name."""
    return {name: describe_bytes(data, name) for name, data in contents(barcode).items()}


def told(barcode: str) -> dict[str, Artifact]:
    """Those that the ledger and the provenance name one by one: the pages of a tree are in its manifest."""
    return {name: file for name, file in described(barcode).items() if not name.startswith("pages/")}


def barcodes(count: int) -> list[str]:
    """So many books; the first one is large."""
    return [f"B{number}" for number in range(count)]


class Make(Stage):
    """Stands for all stages before the uploader: leaves what they would, and says what it is."""

    def process(self, book: Book, work: Path) -> dict[str, Any]:
        """A package and a sidecar, or a manifest, a sidecar and the pages that the manifest names."""
        for name, data in contents(book.barcode).items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(data)
        made, *more = map(asdict, told(book.barcode).values())
        return {"package": made, "sidecars": more, "tree": is_tree(book.barcode)}


class MakeAnew(Make):
    """The same; once a file `anew` lies beside the configuration, with another package of the same size."""

    def process(self, book: Book, work: Path) -> dict[str, Any]:
        """As another release of the tools would make it."""
        facts = super().process(book, work)
        if (self.settings.path.parent / "anew").exists():
            path = work / facts["package"]["name"]
            durable.write_file(path, path.read_bytes()[::-1])
            facts["package"] = asdict(describe(path, path.name))
        return facts


class Stand:
    """A board of two stages before a bucket of the server's, reached directly or through a proxy."""

    def __init__(
        self,
        folder: Path,
        server: Server,
        endpoint: str = "",
        uploader: str = "Uploader",
        make: str = "tests.objects.stand:Make",
        **options: object,
    ) -> None:
        self.server = server
        url = server.url()
        self.prefix = url.removeprefix(f"s3://{server.bucket}/")
        self.line = Line(folder, "", library="TESTLIB", done_bucket=url, processing_bucket="processing")
        row = {"attempts": 200, "backoff": 0.05, "backoff_max": 0.2}
        self.line.stage("make", "", 0, **row).stage("uploader", "", 1, **row, options={"part_size": PART, **options})
        for filters, cls in zip(self.line.filters, (make, uploader), strict=True):
            filters["class"] = cls
        self.reach(endpoint)
        self.rewrite()
        self.processing = folder / "processing"
        self.workers: list[subprocess.Popen[str]] = []
        self.store = server.store(self.prefix)

    def rewrite(self) -> None:
        """Write the configuration as it is now."""
        self.line.config.write_text(json.dumps({"global": self.line.common, "filters": self.line.filters}))

    def reach(self, endpoint: str = "", **variables: str) -> None:
        """Processes that are started from now on find the store here, with these variables."""
        self.line.environ |= {**self.server.environ(endpoint), **variables}

    def make(self, *books: str) -> None:
        """Seed books and bring them to the uploader, in this process."""
        settings = config.load(self.line.config, environ={})
        row, common = settings.row("make"), settings.global_
        board.prepare(self.line.root, settings.bucket_paths())
        ledger = Ledger(self.line.root / "ledger")
        seeder = board.Seeder(self.line.root, ledger, "seeder")
        log = logging.getLogger("tests.objects")
        desk = Desk(settings, row, make_stage(settings, row), ledger, StageMetrics(row.name), log, lambda: 0.0)
        for number, book in enumerate(books):
            assert seeder.seed(book, row.input_pipe, str(common.processing_bucket), common.done_bucket)
            held = board.claim(row.input_pipe, book, "maker", number)
            assert held is not None
            assert Attempt(desk, held).run() == "done"

    def man(self, count: int) -> None:
        """Start uploaders until so many are alive."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < count:
            self.workers.append(self.line.stage_process("uploader"))

    def busy(self) -> list[subprocess.Popen[str]]:
        """The uploaders that have a book in hand: a claim tells the worker's name, and that its process."""
        claims = os.listdir(self.line.bucket(1) / "working")
        return [worker for worker in self.workers if any(f"-{worker.pid}-" in claim for claim in claims)]

    def attempts(self, book: str) -> int:
        """How many attempts were made to upload it."""
        return sum(e["event"] == "attempt" and e.get("stage") == "uploader" for e in self.line.events(book))

    def kill(self, worker: subprocess.Popen[str]) -> None:
        """SIGKILL to it and all that it started."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def end(self) -> None:
        """Let the uploaders finish what they have in hand, and end."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(60)

    def close(self) -> None:
        """Nothing of it runs any more."""
        for worker in self.workers:
            if worker.poll() is None:
                self.kill(worker)

    def arrived(self, number: int) -> int:
        """How many tokens wait in a bucket of the board."""
        folder = self.line.bucket(number)
        return sum(name.endswith(".json") for name in os.listdir(folder)) if folder.is_dir() else 0

    def wait_for(self, number: int, count: int, seconds: float = 120) -> None:
        """Wait until so many tokens are there."""
        until(lambda: self.arrived(number) >= count, seconds)

    def wait_for_tidiness(self) -> None:
        """Wait until no working files are left."""
        until(lambda: not self.working_folders(), 30)

    def working_folders(self) -> list[str]:
        """Books that have working files."""
        return [name for name in os.listdir(self.processing) if not name.startswith(".")]

    # --- what is in the store, past everything ---

    def keys(self) -> list[str]:
        """All keys that anybody can see, relative to the bucket's prefix."""
        return [found["path"] for page in self.store.list() for found in page]

    def whole(self, key: str) -> bool:
        """Whether an object is what it should be, every byte of it."""
        barcode, _, name = key.partition("/")
        data = bytes(obstore.get(self.store, key).bytes())
        if name == PROVENANCE:
            return bool(json.loads(data)["barcode"] == barcode)
        return describe_bytes(data, name) == described(barcode)[name]

    def all_home(self, books: list[str]) -> None:
        """Assert that each book is in the store, whole, once, and nowhere else."""
        expected = [f"{book}/{name}" for book in books for name in (*described(book), PROVENANCE)]
        assert sorted(self.keys()) == sorted(expected)
        for book in books:
            assert all(self.whole(f"{book}/{name}") for name in described(book)), book
            done = [event["facts"] for event in self.line.events(book) if _delivered(event)][-1]
            files = [{**asdict(file), "key": f"{book}/{name}"} for name, file in told(book).items()]
            assert done["files"] == files
            provenance = bytes(obstore.get(self.store, f"{book}/{PROVENANCE}").bytes())
            assert describe_bytes(provenance, "").sha256 == done["provenance_sha256"], book
            assert json.loads(provenance)["files"] == [asdict(file) for file in told(book).values()]
        assert {book: self.line.places(book) for book in books} == {book: ["02_b"] for book in books}
        assert self.working_folders() == []


def _delivered(event: dict[str, Any]) -> bool:
    return event["event"] == "done" and event.get("stage") == "uploader" and "late" not in event
