"""What must be true of a copy of a real disk: as the power cut left it, and when the recovery has been at work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.board.powercut.crew import Told
from tests.board.powercut.line import LAST, NAMES, Line, Says, made_by


class Remains:
    """The board on a copy, which is mounted where it was."""

    def __init__(self, folder: Path, told: Told) -> None:
        self.line = Line(folder)
        self.told = told
        self.places: dict[str, list[Path]] = {}
        self.inodes: dict[str, int] = {}

    def look(self) -> None:
        """Find the tokens: listing every bucket once."""
        self.places = {barcode: [] for barcode in self.told.wished}
        for path in sorted(self.line.root.glob("[0-9]*/**/*.json")):
            self.places.setdefault(path.name.removesuffix(".json").partition("~")[0], []).append(path)

    def raw_faults(self) -> list[str]:
        """What is wrong before anybody has touched it."""
        self.look()
        self.inodes = {barcode: paths[0].lstat().st_ino for barcode, paths in self.places.items() if paths}
        return [f"{barcode}: {fault}" for barcode in self.places for fault in self._raw(barcode)]

    def claimed(self) -> int:
        """How many books were in some worker's hand."""
        return sum(path.parent.name == "working" for paths in self.places.values() for path in paths)

    def faults_after(self) -> list[str]:
        """What is wrong after the real recovery, when all that waited has been worked on."""
        Says.sayings = {}
        self.line.recover(*self.told.wished)
        self.look()
        return [f"{barcode}: {fault}" for barcode in self.places for fault in self._after(barcode)]

    def _raw(self, barcode: str) -> Iterator[str]:
        places = self.places[barcode]
        if len(places) > 1 or (not places and barcode in self.told.seeded):
            yield f"it is in {len(places)} places"
        for path in places[:1]:
            yield from self._token(barcode, path)
            bucket, told = self._bucket(path), self.told.bucket.get(barcode, 0)
            if bucket < told:
                yield f"it is in {path}, and had been moved to bucket {told}"
            if bucket and not self._is_whole(barcode, NAMES[bucket - 1]):
                yield f"it is in {path} without its files"
        yield from self._ledger(barcode)
        for stage in NAMES:
            if (self.line.books / barcode / stage).is_dir() and not self._is_whole(barcode, stage):
                yield f"what {stage} published is not whole"

    def _token(self, barcode: str, path: Path) -> Iterator[str]:
        if path.read_bytes() != self.line.token(barcode):
            yield "its token is torn"
        if path.lstat().st_ino != self.told.inode.get(barcode, self.inodes.get(barcode, path.lstat().st_ino)):
            yield "its token is another inode"

    def _ledger(self, barcode: str) -> Iterator[str]:
        path, durable = self.line.ledger.path(barcode), self.told.ledger.get(barcode, 0)
        data = path.read_bytes() if path.exists() else b""
        if len(data) < durable or not _lines(data[:durable]):
            yield f"its ledger lacks what was durable: {len(data)} of {durable} bytes"

    def _after(self, barcode: str) -> Iterator[str]:
        places = self.places[barcode]
        if [path.parent.name for path in places] != [LAST]:
            yield f"it ended in {places or 'no place'}"
            return
        yield from self._token(barcode, places[0])
        if not self._is_whole(barcode, NAMES[-1]):
            yield "its result is not whole"
        kinds = [event["event"] for event in self.line.ledger.read(barcode)]
        if kinds.count("registered") != 1:
            yield f"it was registered {kinds.count('registered')} times"

    def _bucket(self, path: Path) -> int:
        return int(path.relative_to(self.line.root).parts[0][:2])

    def _is_whole(self, barcode: str, stage: str) -> bool:
        folder = self.line.books / barcode / stage
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return files == made_by(stage, barcode)


def _lines(data: bytes) -> bool:
    """Whether all of it are whole lines of JSON."""
    try:
        return all(isinstance(json.loads(line), dict) for line in data.splitlines())
    except ValueError:
        return False
