"""`clean`: finds and removes what killed processes have left. Never a book, nor what a live worker uses.

Safe while everything runs: a thing is looked at once more just before it goes, and goes by the functions that the
stages themselves tidy up with. What this board knows nothing of is somebody else's, and stays.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from common import board, durable, listing, workfiles
from common.config import Settings
from common.ledger import Event, Ledger, last
from common.token import is_barcode
from services.orchestrator import drafts, processes
from services.orchestrator.view import View

# What is renamed away, to be removed, may for a moment be on its way back: so many seconds it is left alone.
_SETTLED = 60.0
_DAY = 86_400.0
_SCRATCH, _GONE = ".scratch", ".gone-"
# What may stand in the folder of a book beside what its stages have made.
_OURS = frozenset({_SCRATCH, ".partial"})
_HIDDEN = re.compile(r"gone-[0-9a-f]{12}")
_CLAIM = re.compile(r"([A-Za-z0-9_-]+)\.([1-9][0-9]{0,17})")
_HALF = re.compile(r"\..+\.[0-9a-f]{12}")
# As the decryptor names gpg's empty homes: prefix, process, something random.
_HOME = re.compile(r"grin-gpg-([0-9]+)-.+")
_MEMORY = Path("/dev/shm")  # noqa: S108 - only looked into
_UPLOADERS = ("Uploader", "services.uploader.stage:Uploader")


@dataclass(frozen=True)
class Leftover:
    """One thing that nobody needs any more: what it is, where, how large, and how it goes."""

    kind: str
    path: Path
    why: str
    size: int
    remove: Callable[[], object] = field(repr=False, compare=False)


class Cleaner:
    """Looks through one board. `find` changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.global_.pipeline_dir
        self.ledger = Ledger(self.root / "ledger")
        self.buckets = settings.bucket_paths()
        self.processing = settings.global_.processing_bucket
        self.view = View(settings)
        self.now = self.view.now()
        # Where a line ends without an uploader, what is in the processing bucket is the book itself.
        ends = {row.output_pipe: row.name for row in settings.filters if row.class_ in _UPLOADERS}
        self.ends = {bucket: ends[bucket] for bucket in self.view.last if bucket in ends}

    def find(self) -> Iterator[Leftover]:
        """All of it."""
        yield from self._books()
        yield from self._heartbeats()
        yield from self._half_written()
        yield from self._seeding()
        yield from self._lists()
        yield from self._homes()

    # --- working files ---

    def _books(self) -> Iterator[Leftover]:
        for folder in _folders(self.processing):
            if folder.name.startswith(_GONE):
                # By the name it has got nobody ever takes it back.
                yield _tree("book's files", folder, "half removed", partial(_rmtree, folder))
            elif not is_barcode(folder.name):
                continue
            elif why := self._over(folder):
                yield _tree("book's files", folder, why, partial(self._remove_book, folder))
            else:
                yield from self._attempts(folder)

    def _over(self, folder: Path) -> str:
        """Why nobody needs a book's working files any more; nothing when somebody may."""
        stages = {row.name for row in self.settings.filters}
        with suppress(OSError):
            # Somebody else's files among them would go as well.
            if not set(os.listdir(folder)) <= stages | _OURS:
                return ""
        for bucket, uploader in self.ends.items():
            there = board.path_of(bucket, folder.name, board.WAITING).is_file()
            # A token that somebody has put there by hand proves nothing.
            if there and last(self._events(folder.name), "done", stage=uploader):
                return "the book is in the store"
        dropped = board.path_of(self.root / board.DROPPED, folder.name, board.WAITING)
        return "the book was dropped" if dropped.is_file() else ""

    def _remove_book(self, folder: Path) -> None:
        if self._over(folder) and not any(list(listing.claims(bucket, folder.name)) for bucket in self.buckets):
            workfiles.remove_book(folder)

    def _attempts(self, folder: Path) -> Iterator[Leftover]:
        for scratch in _folders(folder / _SCRATCH):
            if why := self._ended(folder.name, scratch):
                yield _tree("attempt", scratch, why, partial(self._remove_attempt, folder, scratch))

    def _ended(self, barcode: str, scratch: Path) -> str:
        """Why nobody works in a scratch folder any more; nothing when somebody may, or when it is not this board's."""
        if _HIDDEN.fullmatch(scratch.name):
            return "half removed" if self.now - _changed(scratch) > _SETTLED else ""
        claim = _CLAIM.fullmatch(scratch.name)
        if claim is None or self._is_held(barcode, claim[1], int(claim[2])):
            return ""
        known = any(event.get("claim") == scratch.name for event in self._events(barcode))
        return "its claim is over" if known else ""

    def _events(self, barcode: str) -> list[Event]:
        """A book's story; of what cannot be read nothing is known, so nothing goes."""
        try:
            return self.ledger.read(barcode)
        except OSError:
            return []

    def _is_held(self, barcode: str, worker: str, number: int) -> bool:
        return any(board.holds(board.Claim(bucket, barcode, worker, number)) for bucket in self.buckets)

    def _remove_attempt(self, folder: Path, scratch: Path) -> None:
        """As the book's next attempt would: first the name, at once, for nobody may publish half of it."""
        claim = f"clean-{os.getpid()}-{os.urandom(4).hex()}.1"
        # It would be made anew for this.
        if folder.is_dir():
            workfiles.open_scratch(
                folder, claim, lambda name: name != scratch.name or not self._ended(folder.name, scratch)
            )
            workfiles.drop_scratch(folder, claim)

    # --- the board's own folders ---

    def _heartbeats(self) -> Iterator[Leftover]:
        seen, holders = self.view.workers(), self._holders()
        here = {process.seen.worker for process in processes.of_this_machine(seen, self.root / "logs")}
        for worker in seen:
            path = self.root / "workers" / f"{worker.worker}.json"
            if worker.worker not in here | holders and self._is_silent(path):
                why = f"its worker has been silent for {worker.age:.0f} seconds, and holds no book"
                yield _file("heartbeat", path, why, partial(self._bury, path))

    def _bury(self, path: Path) -> None:
        if self._is_silent(path) and path.name.removesuffix(".json") not in self._holders():
            path.unlink()

    def _holders(self) -> set[str]:
        return {claim.worker for bucket in self.buckets for claim in listing.claims(bucket)}

    def _is_silent(self, path: Path) -> bool:
        silent = self.view.now() - _touched(path)
        return silent > 2 * self.settings.global_.reap_after

    def _half_written(self) -> Iterator[Leftover]:
        for name in ("workers", "paused"):
            for path in _files(self.root / name):
                if _HALF.fullmatch(path.name) and self.now - _touched(path) > _SETTLED:
                    yield _file("draft", path, "half written", path.unlink)

    def _seeding(self) -> Iterator[Leftover]:
        for path in _files(self.root / "seeding"):
            barcode = path.name.partition("~")[0]
            old = self.now - _touched(path) > durable.LEFTOVER_AGE
            if old and is_barcode(barcode) and not self._may_be_placed(barcode, path.name):
                remove = partial(durable.remove_if_old, path, self.now)
                yield _file("draft", path, "a seeding that died more than 36 hours ago", remove)

    def _may_be_placed(self, barcode: str, name: str) -> bool:
        try:
            return any(event.get("token") == name for event in self.ledger.read(barcode))
        except OSError:
            return True

    def _lists(self) -> Iterator[Leftover]:
        kept = self.settings.global_.all_books
        for path in _files(kept.parent) if kept else ():
            ours = path.name.startswith(f".{kept.name}.") and path.name.endswith(".part") if kept else False
            if kept and ours and not _is_locked(path):
                yield _file("draft", path, "an inventory that died", partial(drafts.sweep, kept))

    # --- gpg ---

    def _homes(self) -> Iterator[Leftover]:
        for parent in dict.fromkeys((_MEMORY, self.settings.global_.temp_dir)):
            # Other hosts may share a temp_dir, and only this one's processes are known here.
            old = time.time() - (0 if parent == _MEMORY else _DAY)
            for path in _folders(parent):
                found = _HOME.fullmatch(path.name)
                if found and _is_ours(path, old) and not Path(f"/proc/{found[1]}").exists():
                    yield _tree("gpg's home", path, "its process is gone", partial(_rmtree, path))


def _is_ours(path: Path, old: float) -> bool:
    """Whether this user made it, no later than `old`; what is gone by now is nobody's."""
    try:
        figures = path.lstat()
    except FileNotFoundError:
        return False
    return figures.st_uid == os.geteuid() and figures.st_mtime <= old


def removed(one: Leftover) -> bool:
    """Remove it, unless somebody needs it by now; whether it is gone."""
    with suppress(OSError):
        one.remove()
    return not os.path.lexists(one.path)


# --- what is on the disk --------------------------------------------------------------------------------------------


def _folders(parent: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(parent) if entry.is_dir(follow_symlinks=False)]


def _files(parent: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(parent) if entry.is_file(follow_symlinks=False)]


def _entries(parent: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _tree(kind: str, folder: Path, why: str, remove: Callable[[], object]) -> Leftover:
    return Leftover(kind, folder, why, _freed(folder), remove)


def _file(kind: str, path: Path, why: str, remove: Callable[[], object]) -> Leftover:
    return Leftover(kind, path, why, _size(path), remove)


def _freed(folder: Path) -> int:
    """The bytes that its removal frees: those of a file that has another name elsewhere stay."""
    names: dict[int, tuple[int, int, int]] = {}
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                figures = Path(root, name).lstat()
                count = names.get(figures.st_ino, (0, 0, 0))[0] + 1
                names[figures.st_ino] = (count, figures.st_nlink, figures.st_size)
    return sum(size for count, links, size in names.values() if count >= links)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _touched(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")


def _changed(path: Path) -> float:
    """When a folder got its name: a rename changes its ctime, and the content's mtime stays."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return float("inf")


def _is_locked(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def _rmtree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
