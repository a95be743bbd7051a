"""A board before a real store for the tests of audits: books are delivered by the real uploader, in this process."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from common import board, config
from common.attempt import Attempt, Desk
from common.config import Settings
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.run import make_stage
from common.stage import Book, Stage
from services.orchestrator.cli import main
from tests.board.seam import WRITES, seam
from tests.helpers import Line

STAGES = ("fetch", "pack", "uploader")


class Fetch(Stage):
    """Fetches what the file `google/<barcode>` has, or a book of its own."""

    def process(self, book: Book, work: Path) -> dict[str, Any]:
        """One file."""
        google = self.settings.path.parent / "google" / book.barcode
        data = google.read_bytes() if google.exists() else f"all of {book.barcode}".encode()
        (work / f"{book.barcode}.tar.gz").write_bytes(data)
        return {"etag": str(len(data))}


class Pack(Stage):
    """Adds a sidecar."""

    def process(self, book: Book, work: Path) -> dict[str, Any]:
        """Another file."""
        (work / f"{book.barcode}.txt").write_text(f"text of {book.barcode}")
        return {"members": 2, "warnings": ["odd"]}


class Shelf:
    """Three stages, four buckets, a store; and the commands, in this process."""

    def __init__(self, folder: Path, done_bucket: str = "done", **uploader: object) -> None:
        self.line = Line(folder, "", library="TESTLIB", done_bucket=done_bucket, processing_bucket="processing")
        classes = ("tests.audits:Fetch", "tests.audits:Pack", "Uploader")
        for number, (name, cls) in enumerate(zip(STAGES, classes, strict=True)):
            self.line.stage(name, "", number)
            self.line.filters[-1]["class"] = cls
        self.line.filters[-1]["options"] = uploader
        self.write()
        self.folder, self.root, self.done = folder, self.line.root, folder / "done"
        self._desks: dict[str, Desk] = {}
        self.reload()
        self.buckets = self.settings.bucket_paths()
        board.prepare(self.root, self.buckets)
        self.ledger = Ledger(self.root / "ledger")
        self.seeder = board.Seeder(self.root, self.ledger, "s")
        self._claims = 0

    def reload(self) -> None:
        """Workers from now on are new ones, with the configuration as it is written."""
        self.settings: Settings = config.load(self.line.config, environ={})
        self._desks.clear()

    def write(self, **more: object) -> None:
        """The configuration as it is now."""
        whole = {"global": self.line.common, "filters": self.line.filters, **more}
        self.line.config.write_text(yaml.safe_dump(whole))

    def seed(self, *barcodes: str) -> None:
        """New books in the first bucket."""
        common = self.settings.global_
        for barcode in barcodes:
            assert self.seeder.seed(barcode, self.buckets[0], str(common.processing_bucket), common.done_bucket)

    def forget(self) -> None:
        """Workers from now on are new ones."""
        self._desks.clear()

    def work(self, barcode: str, *stages: str) -> None:
        """Let the stages work on a book, as their workers do."""
        for name in stages or STAGES:
            desk = self._desks.setdefault(name, self._desk(name))
            self._claims += 1
            held = board.claim(desk.row.input_pipe, barcode, f"{name}-w", self._claims)
            assert held is not None, (barcode, name, self.line.places(barcode))
            assert Attempt(desk, held).run() == "done", self.line.events(barcode)

    def deliver(self, *barcodes: str) -> None:
        """Seed books and bring them home."""
        self.seed(*barcodes)
        for barcode in barcodes:
            self.work(barcode)

    def _desk(self, name: str) -> Desk:
        row = self.settings.row(name)
        log = logging.getLogger("tests.audits")
        stage = make_stage(self.settings, row)
        return Desk(self.settings, row, stage, self.ledger, StageMetrics(name), log, lambda: 0.0)

    def token(self, barcode: str) -> Path:
        """Where the book's one token lies."""
        [place] = self.line.places(barcode)
        return self.root / place / f"{barcode}.json"

    def audit(self, *more: str) -> int:
        """`audit` without GRIN; its exit code."""
        return main(["audit", "--config", str(self.line.config), "--no-grin", *more])

    def store(self) -> dict[str, bytes]:
        """All objects by key."""
        return {str(p.relative_to(self.done)): p.read_bytes() for p in self.done.rglob("*") if p.is_file()}

    def lose_ledgers(self) -> None:
        """The whole ledger is gone."""
        shutil.rmtree(self.root / "ledger")
        (self.root / "ledger").mkdir()

    def replay(self) -> Callable[[], None]:
        """A function that puts the whole folder back as it is now, the same inodes where nothing was replaced."""
        backup = self.folder.with_name(f"{self.folder.name}.backup")
        shutil.copytree(self.folder, backup)

        def put_back() -> None:
            for path in self.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(backup, self.folder, dirs_exist_ok=True)

        return put_back


def findings(text: str) -> list[tuple[str, str, str]]:
    """Barcode, what and what was done, of each line of `audit --json` but the last, in order of the barcodes."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert "summary" in lines[-1]
    return sorted((line["barcode"], line["what"], line["done"]) for line in lines[:-1])


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Do something in a child that is killed before its step-th change of the file system; whether it came to that."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            with dying_at(step):
                act()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@contextmanager
def dying_at(step: int) -> Iterator[None]:
    """SIGKILL before the step-th call that makes, changes, moves or removes a file."""
    left = [step]

    def hook(name: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        left[0] -= name != "open" or bool(args[1] & os.O_CREAT)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        return call(*args, **kwargs)

    # What a kill leaves does not depend on what was synced.
    with seam(hook, tuple(name for name in WRITES if name != "fsync")):
        yield
