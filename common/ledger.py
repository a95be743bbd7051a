"""The story of each book: one append-only file of JSON lines, `ledger/<last three of the barcode>/<barcode>.jsonl`.

Every line has `time` (UTC, ISO 8601) and `event`; most have `stage`, `worker`, `attempt`, `reason`, `cure` or `facts`.
Creating the file is how a book is registered, exactly once: its first line is in it from the first moment (a link of a
finished file), and names the file whose rename makes the token (see board.seed).
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import __version__, durable
from common.token import check_barcode

Event = Mapping[str, Any]
# Never follow a link, never wait on a FIFO that somebody put in a ledger's place.
_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK

# What open() says of a link, a folder, a FIFO or a socket in a ledger's place.
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV)


_MOST = 64_000_000
_TYPES = {"stage": str, "worker": str, "claim": str, "token": str, "bucket": str, "facts": dict}


class NoLedger(OSError):  # noqa: N818 - a state of the disk, found by whoever reads or appends
    """Something that is no file lies where a book's story should be."""


# After one of these, a stage counts its attempts anew. Only a person brings a failed book back; with `renewed` and
# `reseeded` a book's whole way begins again.
RESETS = frozenset({"done", "redo", "failed", "retried", "released", "registered", "renewed", "reseeded"})
# An attempt that ended so was not the book's fault and is not counted.
FORGIVEN = frozenset({"halted", "handed_back"})


def now() -> str:
    """The time as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Ledger:
    """All books' stories below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeding = folder.parent / "seeding"

    def path(self, barcode: str) -> Path:
        """Where a book's story is kept."""
        return Path(f"{self.folder}/{check_barcode(barcode)[-3:]}/{barcode}.jsonl")

    def append(self, barcode: str, event: str, **members: object) -> None:
        """Add one line, durable when this returns. A line torn by a power cut before it is closed off first."""
        path = self.path(barcode)
        fd, created = _open_for_append(path)
        try:
            clean = _ends_clean(fd, _require_file(fd, path))
            durable.write_all(fd, _line(event, members) if clean else b"\n" + _line(event, members))
            os.fsync(fd)
        finally:
            os.close(fd)
        if created:
            durable.fsync_dir(path.parent)

    def read(self, barcode: str) -> list[Event]:
        """The events of a book, oldest first; lines that cannot be read are passed over.

        What a worker wrote after its claim was returned has a member `late`: it is told, and counts for nothing.
        """
        try:
            fd = _open(self.path(barcode), os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            size = _require_file(fd, self.path(barcode))
            return list(_marked(_events(os.read(fd, size))))
        finally:
            os.close(fd)

    def register(self, barcode: str, **members: object) -> bool:
        """Begin a book's story; False when it has one already. Durable when this returns."""
        return barcode in self.register_all({barcode: members})

    def register_all(self, first: Mapping[str, Mapping[str, object]]) -> list[str]:
        """Begin the stories of a handful of books; those that had none before. Durable when this returns."""
        drafts = {barcode: self.seeding / f"{barcode}~{secrets.token_hex(6)}.jsonl" for barcode in first}
        durable.make_dirs(self.seeding)
        durable.write_all_new({drafts[barcode]: _line("registered", members) for barcode, members in first.items()})
        begun = [barcode for barcode, draft in drafts.items() if self._begin(barcode, draft)]
        for folder in {self.path(barcode).parent for barcode in first}:
            durable.fsync_dir(folder)
        return begun

    def _begin(self, barcode: str, draft: Path) -> bool:
        path = self.path(barcode)
        durable.make_dirs(path.parent)
        try:
            os.link(draft, path)
        except FileExistsError:
            # A network file system may report failure of a link that it made.
            return draft.stat().st_nlink > 1
        finally:
            draft.unlink(missing_ok=True)
        return True


def attempts(events: Sequence[Event], stage: str) -> int:
    """How many attempts of `stage` count against this book now."""
    count = 0
    for event in _counting(events):
        kind, ours = event["event"], event.get("stage") == stage
        if kind in RESETS and (ours or event.get("stage") is None):
            count = 0
        elif ours and kind == "attempt":
            count += 1
        elif ours and kind in FORGIVEN:
            count = max(0, count - 1)
    return count


def redos(events: Sequence[Event], stage: str) -> int:
    """How often `stage` has sent this book back, since it last got another chance."""
    count = 0
    for event in _counting(events):
        if event["event"] in ("failed", "retried", "released", "renewed", "reseeded"):
            count = 0
        elif event["event"] == "redo" and event.get("stage") == stage:
            count += 1
    return count


def last(events: Sequence[Event], *kinds: str, stage: str | None = None, late: bool = False) -> Event | None:
    """The newest event of one of these kinds, of that stage if one is named; with `late` also one that was late."""
    for event in reversed(events):
        if event["event"] in kinds and stage in (None, event.get("stage")) and (late or "late" not in event):
            return event
    return None


def _counting(events: Sequence[Event]) -> Iterator[Event]:
    return (event for event in events if "late" not in event)


def _line(event: str, members: Mapping[str, object]) -> bytes:
    whole = {"time": now(), "event": event, **members, "version": __version__}
    return json.dumps(whole, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"


def _open_for_append(path: Path) -> tuple[int, bool]:
    flags = os.O_RDWR | os.O_APPEND
    try:
        fd, created = _open(path, flags), False
    except FileNotFoundError:
        # A token that somebody put down by hand has no story yet.
        durable.make_dirs(path.parent)
        fd, created = _open(path, flags | os.O_CREAT), True
    return fd, created


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | _CAREFUL, 0o644)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise NoLedger(error.errno, "it is no regular file", str(path)) from None
        raise


def _require_file(fd: int, path: Path) -> int:
    """The size of a regular file, in bytes."""
    figures = os.fstat(fd)
    if not stat.S_ISREG(figures.st_mode):
        raise NoLedger(errno.EINVAL, "it is no regular file", str(path))
    if figures.st_size > _MOST:
        raise NoLedger(errno.EFBIG, f"it is larger than {_MOST:,} bytes", str(path))
    return figures.st_size


def _ends_clean(fd: int, size: int) -> bool:
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _marked(events: Iterator[Event]) -> Iterator[Event]:
    """Claims are used once, so what one wrote after it was returned is known exactly."""
    ended = set()
    for event in events:
        if event["event"] == "returned":
            ended.add(event.get("claim"))
        elif event.get("claim") is not None and event["claim"] in ended:
            yield {**event, "late": True}
            continue
        yield event


def _events(data: bytes) -> Iterator[Event]:
    for line in data.split(b"\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            # What is of another type than it should be is somebody else's, and told to nobody.
            yield {key: value for key, value in event.items() if isinstance(value, _TYPES.get(key, object))}
