"""A small line of four real stages that one forked child can work through, and what must be true of it afterwards."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from common import attempt, board, feed, logs, worker
from common.attempt import Desk
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.reaper import Reaper
from common.settings import FilterRow, GlobalSettings, Settings
from common.stage import Book, Stage
from common.worker import Worker
from tests.board import weak

BOOK = "A1"
NAMES = ("one", "two", "three", "four")
STATES = ("", "working", "deferred", "failed", "held")
LAST = f"{len(NAMES):02}_b"
# What a stage may be told to say of a book: raise one of the four errors, or end the process.
Saying = Callable[[Book], None]


class Says(Stage):
    """Reads all that earlier stages made, leaves one file more, and says what the scene wants said."""

    sayings: ClassVar[dict[str, Saying]] = {}
    spoken: ClassVar[bool] = False
    """Whether a stage has said something yet."""
    afterwards: ClassVar[Callable[[], None] | None] = None
    """What is done when a book has moved on and all is tidied."""

    def process(self, book: Book, work: Path) -> dict[str, object]:
        """Work that a test can count, by calls that the seam sees."""
        with Path(self.options["worked"]).open("a") as worked:
            worked.write(f"{self.row.name}\n")
        for earlier in book.upstream:
            assert book.input_file(f"{earlier}.txt").read_bytes() == made_by(earlier)
        fd = os.open(work / f"{self.row.name}.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            assert os.write(fd, made_by(self.row.name)) == len(made_by(self.row.name))
        finally:
            os.close(fd)
        if self.row.name in self.sayings:
            type(self).spoken = True
            self.sayings[self.row.name](book)
        return {"bytes_out": len(made_by(self.row.name)), "by": os.getpid()}

    def moved(self, book: Book) -> None:
        """The last that an attempt does."""
        if type(self).afterwards is not None:
            type(self).afterwards()


def made_by(stage: str) -> bytes:
    """What that stage makes of the book."""
    return f"{stage} was here\n".encode() * 8


class Small:
    """The line in a folder of its own. Everything is real but the waiting between two turns."""

    def __init__(self, folder: Path, grace: float = 60, **row: object) -> None:
        self.folder = folder
        self.root = folder / "pipeline"
        self.books = folder / "processing"
        self.buckets = [self.root / f"{number:02}_b" for number in range(len(NAMES) + 1)]
        self.ledger = Ledger(self.root / "ledger")
        self.settings = self._settings(grace, row)
        self.log = logs.quiet()
        self._workers: dict[str, Worker] = {}
        self._number = 0
        self._dead = ""
        self.reaper = Reaper(self.root, self.buckets, 30)

    def _settings(self, grace: float, row: dict[str, Any]) -> Settings:
        common = GlobalSettings(
            pipeline_dir=self.root, processing_bucket=self.books, done_bucket="done", poll=0.001, grace=grace
        )
        keys = {"class_": "theirs:Says", "backoff": 0, "options": {"worked": str(self.folder / "worked")}, **row}
        pairs = zip(NAMES, self.buckets, self.buckets[1:], strict=False)
        rows = [FilterRow(name=name, input_pipe=i, output_pipe=o, **keys) for name, i, o in pairs]
        return Settings(path=self.folder / "config.yaml", global_=common, filters=rows)

    def prepare(self) -> None:
        """What each process does before it begins."""
        self.folder.mkdir(exist_ok=True)
        board.prepare(self.root, self.buckets)
        self.log = logs.setup(self.root / "logs", "all", str(os.getpid()), stdout=False)

    def seed(self, barcode: str = BOOK) -> None:
        """One seeding of a book, which first completes what dead seeders began."""
        self._number += 1
        seeder = board.Seeder(self.root, self.ledger, f"seeder-{os.getpid()}-{self._number}")
        seeder.recover()
        seeder.seed(barcode, self.buckets[0], str(self.books), "done")

    def desk(self, name: str) -> Desk:
        """The desk of a new worker."""
        row = self.settings.row(name)
        stage = Says(self.settings, row)
        return Desk(self.settings, row, stage, self.ledger, StageMetrics(name), self.log, lambda: 0.0)

    def worker(self, name: str) -> Worker:
        """This process's worker of a stage; it has announced itself."""
        if name not in self._workers:
            self._number += 1
            worker_name = f"{name}-host-{os.getpid()}-{self._number}"
            made = Worker(self.desk(name), worker_name, lambda: self.desk(name))
            made.heartbeat.announce()
            made.desk.server_now = made.heartbeat.server_now
            self._workers[name] = made
        return self._workers[name]

    def turn(self, *names: str) -> None:
        """One turn of the loop of each of these workers; what the board's errors do to it is the loop's own matter."""
        for name in names:
            self.worker(name)._turn_safely()

    def reap(self, name: str) -> int:
        """Return what this process's worker of a stage holds, as if it had died; the next one has another name."""
        if name in self._workers:
            self._dead = self._workers.pop(name).name
        return self.reaper.reap_worker(self._dead, "it was killed")

    def reap_all(self) -> None:
        """Return what anybody who is not this process holds, as a supervisor does for its dead workers."""
        reaper = Reaper(self.root, self.buckets, 30)
        names = [path.stem for path in (self.root / "workers").glob("*.json")]
        claimants = [path.stem.partition("~")[2].rpartition(".")[0] for path in self.root.glob("*/working/*.json")]
        for name in {*names, *claimants}:
            if f"-{os.getpid()}-" not in name:
                reaper.reap_worker(name, "it was killed")

    def to_the_end(self, turns: int = 40) -> None:
        """Let the workers turn until the book has arrived somewhere."""
        for _ in range(turns):
            if self.arrived():
                return
            for name in NAMES:
                # Minutes may pass between two turns here: each looks for what should be returned.
                self.worker(name)._reaped = 0.0
            self.turn(*NAMES)

    def arrived(self) -> bool:
        """Whether the book is where no worker takes it from."""
        return any(place == LAST or place.endswith(("/failed", "/held")) for place, _ in self.tokens())

    # --- what a person would find ---

    def tokens(self) -> list[tuple[str, int]]:
        """Every token of the book on the board: the folder that it lies in, and its inode."""
        found = []
        for bucket in self.buckets:
            for state in STATES:
                paths = sorted((bucket / state).glob(f"{BOOK}*.json"))
                found += [(f"{bucket.name}/{state}".rstrip("/"), path.lstat().st_ino) for path in paths]
        return found

    def lines(self) -> list[dict[str, Any]]:
        """The book's ledger, each line of which must be whole."""
        path = self.ledger.path(BOOK)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def worked(self) -> list[str]:
        """The stages whose process() ran, in order."""
        path = self.folder / "worked"
        return path.read_text().split() if path.exists() else []

    def said(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in (self.root / "logs" / "all.jsonl").read_text().splitlines()]

    def published(self) -> dict[str, bytes]:
        """The book's published files."""
        folder = self.books / BOOK
        paths = [path for path in folder.rglob("*") if path.is_file()]
        names = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
        return {name: data for name, data in names.items() if not name.startswith(".scratch")}

    def remember_inode(self) -> None:
        """Write down which token is on the board, for who comes after this process."""
        (self.folder / "inode").write_text("".join(str(inode) for _, inode in self.tokens()))

    def remembered_inode(self) -> int | None:
        """The token's inode at the beginning, or where it had been placed since; None when it never was."""
        text = (self.folder / "inode").read_text()
        return int(text) if text else next((inode for _, inode in self.tokens()), None)

    # --- what must be true ---

    def wrongs(self, ends: tuple[str, ...], inode: int | None, works: int) -> list[str]:
        """What is wrong at the end, in sentences: `works` is how often stages may have worked."""
        tokens, found = self.tokens(), []
        places = [place for place, _ in tokens]
        if len(places) != 1 or places[0] not in ends:
            found.append(f"the book is in {places}, not in {ends} alone")
        if inode and [number for _, number in tokens] != [inode]:
            found.append(f"the token was inode {inode} and is {tokens}")
        if len(self.worked()) > works:
            found.append(f"{self.worked()} are more than {works} works")
        found += self._torn() + self._unfinished(places) + self._uncounted()
        return found

    def _torn(self) -> list[str]:
        tokens = [path for path in self.root.glob(f"[0-9]*/**/{BOOK}*.json") if path.parent.name != "failed"]
        bad = [path for path in tokens if json.loads(path.read_bytes()).get("done_bucket") != "done"]
        return [f"{path} is not what was seeded" for path in bad] + [f"{path} was left" for path in self.registered()]

    def registered(self) -> list[Path]:
        """Tokens in seeding/ that the ledger names."""
        names = {line.get("token") for line in self.lines()}
        return [path for path in (self.root / "seeding").glob("*.json") if path.name in names]

    def _unfinished(self, places: list[str]) -> list[str]:
        if places != [LAST]:
            return []
        published = self.published()
        bad = [name for name in NAMES if published.get(f"{NAMES[-1]}/{name}.txt") != made_by(name)]
        return [f"what {name} made has not arrived whole" for name in bad]

    def _uncounted(self) -> list[str]:
        """Every work began with a line in the ledger."""
        worked, begun = self.worked(), [line["stage"] for line in self.lines() if line["event"] == "attempt"]
        uncounted = [name for name in NAMES if worked.count(name) > begun.count(name)]
        return [f"{name} worked more often than the ledger says" for name in uncounted]


# --- children -------------------------------------------------------------------------------------------------------


@contextmanager
def hasty() -> Iterator[None]:
    """The same code, but with no wait between two looks at anything."""
    patches = [(feed, "_DEFERRED_EVERY", 0.0), (feed, "_DEFERRED_SHARE", 0), (feed, "_RELIST_AFTER", 0.0)]
    patches += [
        (attempt, "_YOUNG", 0.0),
        (worker, "_HALT_FIRST", 0.0),
        (worker, "_HALT_MOST", 0.0),
        (worker, "_LOOK_AGAIN", 0.0),
    ]
    with ExitStack() as stack:
        for module, name, value in patches:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def fork(act: Callable[[], None], complaints: Path) -> int:
    """Start `act` in a child that ends without any tidying; the child's process id."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        # Some other test's thread may still be there; it does not exist in the child, which uses nothing of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    # A collection would only copy the parent's memory.
    gc.disable()
    code = 70
    try:
        with hasty():
            act()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing of the child may go on as the test
        complaints.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def ended(pid: int, complaints: Path) -> int:
    """Wait for a child: 0 for a good end, minus the signal that killed it; anything else fails the test."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code <= 0, f"exit {code}: {complaints.read_text() if complaints.exists() else 'no traceback'}"
    return code


def run(act: Callable[[], None], complaints: Path) -> int:
    """Start a child and wait for it."""
    return ended(fork(act, complaints), complaints)


@contextmanager
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: for hundreds of boards, where nobody cuts the power."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="board-steps-", dir=place) as folder:
        yield Path(folder)


@contextmanager
def unsynced() -> Iterator[None]:
    """For what only prepares a scene: nobody cuts the power there."""
    with weak.no_fsync():
        yield
