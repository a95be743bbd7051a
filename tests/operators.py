"""A board for the tests of the operators' commands, with tokens wherever a test wants them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from unittest import mock

import pytest

from common import board, listing
from common.ledger import Ledger
from services.orchestrator.cli import main
from tests.helpers import Line

COMMANDS = ("retry", "hold", "release", "drop")


class Bench:
    """A board of two stages with tokens wherever a test wants them, and commands that run in this process."""

    def __init__(self, folder: Path) -> None:
        self.line = Line(folder, "").stage("one", "One", 0).stage("two", "Two", 1)
        self.root = self.line.root
        self.buckets = [self.line.bucket(number) for number in range(3)]
        board.prepare(self.root, self.buckets)
        self.ledger = Ledger(self.root / "ledger")
        self.seeder = board.Seeder(self.root, self.ledger, "s")
        self.inodes: dict[str, int] = {}

    def put(self, barcode: str, state: str = "waiting", number: int = 0, *, reason: str = "", folder: str = "") -> Path:
        """A seeded book, its token moved to a state of bucket `number`; where it lies."""
        bucket = self.buckets[number]
        assert self.seeder.seed(barcode, bucket, folder, "")
        path = board.path_of(bucket, barcode, board.WAITING)
        if reason:
            self.ledger.append(barcode, state, stage="one", reason=reason)
        name = f"{barcode}~w-1.1.json" if state == "working" else f"{barcode}.json"
        if state not in ("waiting", "done"):
            path = path.rename(bucket / state / name)
        self.inodes[barcode] = path.stat().st_ino
        return path

    def files(self, barcode: str, processing: str = "processing") -> Path:
        """Working files of a book."""
        folder = self.line.folder / processing / barcode
        (folder / "one").mkdir(parents=True)
        (folder / "one" / "page").write_text("text")
        return folder

    def places(self, barcode: str) -> list[str]:
        """Every place of a book's token, those off the board too."""
        found = [f"{p.bucket.name}/{p.state}" for p in listing.places(self.buckets, barcode)]
        return found + (["dropped"] if (self.root / "dropped" / f"{barcode}.json").exists() else [])

    def inode(self, barcode: str) -> int:
        """The inode of the first of a book's tokens; 0 without one."""
        dropped = self.root / "dropped" / f"{barcode}.json"
        paths = [*(place.path for place in listing.places(self.buckets, barcode)), dropped]
        return next((path.stat().st_ino for path in paths if path.exists()), 0)

    def run(self, *command: str) -> int:
        """One command, in this process."""
        return main([command[0], "--config", str(self.line.config), *command[1:]])

    def events(self, barcode: str) -> list[dict[str, object]]:
        """A book's ledger without what every line has."""
        return [{k: v for k, v in e.items() if k not in ("time", "version")} for e in self.line.events(barcode)]

    def audit(self) -> list[dict[str, object]]:
        """The operators' log."""
        path = self.root / "logs" / "operators.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the folder: its inode and bytes."""
        files = [path for path in self.line.folder.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_ino, path.read_bytes()) for path in files}


def from_stdin(text: str) -> mock._patch[io.TextIOWrapper]:
    """What a command reads."""
    return mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty board."""
    return Bench(tmp_path)
