"""The downloader as a real process before the simulated GRIN: cut, reset and killed, it fetches a book about once.

`GRIN_BIG=300000000` sets the size of the book, in bytes.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from common import board
from common.ledger import Ledger
from simulator.grin.faults import Fault, Kind
from simulator.server import GrinServer
from tests.helpers import Line, stop, until

SIZE = int(os.environ.get("GRIN_BIG", "6000000"))
BARCODE = "39000000000018"
# Waits between tries are the client's own affair, and tested there.
QUICK = """
import tenacity
from common.grin import session
from services.downloader.stage import Downloader
session._jittered = tenacity.wait_random(0, 0.02)
class Quick(Downloader):
    pass
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of one book of random bytes that looks encrypted."""
    folder = tmp_path_factory.mktemp("library")
    for name in ("books", "archives"):
        (folder / name).mkdir()
    (folder / "books" / f"{BARCODE}.json").write_text(
        f'{{"barcode": "{BARCODE}", "library": "TESTLIB", "pages": 3, "title": "A book"}}'
    )
    with archive(folder).open("wb") as file:
        file.write(b"\x8c")
        for start in range(1, SIZE, 1 << 20):
            file.write(os.urandom(min(1 << 20, SIZE - start)))
    return folder


def archive(library: Path) -> Path:
    """The book's archive at GRIN."""
    return library / "archives" / f"{BARCODE}.tar.gz.gpg"


@dataclass
class Scene:
    """A simulated GRIN that has the book, and a board with a downloader and its token."""

    grin: GrinServer
    line: Line
    sha256: str
    figure: Callable[[str], None]

    def requests(self) -> list[dict[str, Any]]:
        """The requests for the archive so far."""
        return [one for one in self.grin.control.requests() if BARCODE in one["path"]]

    def sent(self) -> int:
        """Bytes of the archive that the server has sent so far."""
        return sum(int(one["sent"]) for one in self.requests())

    @property
    def folder(self) -> Path:
        """The book's files."""
        return self.line.folder / "processing" / BARCODE

    def bring_home(self) -> dict[str, Any]:
        """Run the stage until the book is whole; the facts of its ledger."""
        process = self.line.stage_process("downloader")
        try:
            until(lambda: self.line.places(BARCODE) == ["01_b"], 30 + SIZE / 1_000_000)
        finally:
            stop(process)
        facts = self.assert_whole()
        requests = f"{self.sent():,} sent in {len(self.requests())} requests, {facts['attempt']} attempts"
        self.figure(f"a book of {SIZE:,} bytes: {requests}")
        return facts

    def assert_whole(self) -> dict[str, Any]:
        """The archive is GRIN's, byte for byte, the ledger tells the truth, and nothing else is left."""
        assert [path.name for path in self.folder.iterdir()] == ["downloader"]
        with (self.folder / "downloader" / f"{BARCODE}.tar.gz.gpg").open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        done = next(event for event in self.line.events(BARCODE) if event["event"] == "done")
        facts = dict(done["facts"])
        assert (facts["sha256"], facts["size"]) == (self.sha256, SIZE)
        return {**facts, "attempt": done["attempt"]}


@pytest.fixture
def scene(tmp_path: Path, library: Path, figure: Callable[[str], None]) -> Iterator[Scene]:
    """Before the first request."""
    line = Line(tmp_path, QUICK, library="TESTLIB", grace=0.1, heartbeat=0.2, reap_after=1)
    line.stage("downloader", "Quick", 0, backoff=0.05, backoff_max=0.1)
    settings = yaml.safe_load(line.config.read_text())
    with archive(library).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with GrinServer(library, "TESTLIB") as grin:
        addresses = {"base_url": grin.url, "token_uri": grin.token_uri, "requests_per_second": 1000}
        settings["grin"] = {**addresses, "credentials_file": str(grin.credentials_file(tmp_path / "credentials.json"))}
        line.config.write_text(yaml.safe_dump(settings))
        board.prepare(line.root, [line.bucket(0), line.bucket(1)])
        board.Seeder(line.root, Ledger(line.root / "ledger"), "seeder").seed(BARCODE, line.bucket(0), "", "")
        yield Scene(grin, line, sha256, figure)


@pytest.mark.quirk("range-unknown")
def test_cut_ten_times(scene: Scene) -> None:
    """With four tries in the configuration: one attempt, and about as many bytes as the book has."""
    scene.grin.faults.set([Fault(Kind.CUT, BARCODE, times=10, at=SIZE // 11)])
    facts = scene.bring_home()
    assert (facts["attempt"], facts["resumed"], len(scene.requests())) == (1, 10, 11)
    assert facts["refetched"] == 0
    assert scene.sent() <= SIZE * 1.1


@pytest.mark.quirk("range-unknown")
def test_cut_ten_times_without_range(scene: Scene) -> None:
    """A server that ignores Range, and cuts always at the same place: whole all the same, by the board's patience."""
    scene.grin.faults.set(
        [Fault(Kind.NO_RANGE, BARCODE, times=None), Fault(Kind.CUT, BARCODE, times=10, at=SIZE // 11)]
    )
    facts = scene.bring_home()
    assert (facts["resumed"], len(scene.requests())) == (0, 11)
    assert 1 < facts["attempt"] <= 3


def test_reset_at_every_64_kib(scene: Scene) -> None:
    """The worst connection: whole in one attempt, each byte once."""
    scene.grin.faults.set([Fault(Kind.RESET, BARCODE, times=None, at=65_536)])
    assert scene.bring_home()["attempt"] == 1
    assert scene.sent() <= SIZE * 1.1


@pytest.mark.quirk("download-sets-the-date")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_ends_in_the_middle(scene: Scene, number: signal.Signals) -> None:
    """Killed, or told to stop: another worker goes on where it was, and fetches nothing twice."""
    scene.grin.faults.set([Fault(Kind.DRIP, BARCODE, rate=SIZE)])
    first = scene.line.stage_process("downloader")
    until(lambda: scene.sent() > SIZE // 2)
    first.send_signal(number)
    first.wait(20)
    assert scene.sent() < SIZE
    facts = scene.bring_home()
    assert facts["resumed"] == 1
    assert scene.sent() <= SIZE * 1.1


def test_a_worker_that_was_frozen(scene: Scene) -> None:
    """Frozen until another has its claim, then awake again: it lets go, and the other's file is whole."""
    scene.grin.faults.set([Fault(Kind.DRIP, BARCODE, rate=SIZE)])
    frozen = scene.line.stage_process("downloader")
    until(lambda: scene.sent() > SIZE // 2)
    frozen.send_signal(signal.SIGSTOP)
    facts = scene.bring_home()
    frozen.send_signal(signal.SIGCONT)
    until(lambda: "was taken back" in scene.line.log("stage.log"))
    assert stop(frozen) == 0
    assert facts["resumed"] == 1
    assert scene.line.places(BARCODE) == ["01_b"]
    scene.assert_whole()
