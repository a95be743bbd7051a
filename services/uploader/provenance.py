"""provenance.json: where a book in the store came from, by which steps, and how it was verified."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from common import __version__
from common.artifacts import Artifact
from common.deliveries import VERSION
from common.stage import Book, Facts
from common.store_keys import PROVENANCE as NAME
from services.uploader.version import Version

__all__ = ["NAME", "document"]


def document(book: Book, stage: str, library: str, files: Sequence[Artifact], version: Version) -> bytes:
    """The provenance of a book's version as JSON; the same bytes for the same ledger and the same files."""
    # A worker that was killed before its token had moved has told of this very upload already.
    before = (event for event in version.story(book.events) if event.get("stage") != stage)
    done = _newest(event for event in before if event.get("event") == "done")
    # The ledger has the upload's times and attempt: of two workers with one book, both write the same bytes here.
    upload = {"stage": stage, "version": __version__}
    whole = {
        "barcode": book.barcode,
        "library": library,
        "steps": [*(_step(event) for event in done), upload],
        "files": [asdict(file) for file in files],
        "members": _members(done),
        "warnings": _warnings(done),
        "version": __version__,
        **_place(version),
    }
    return f"{json.dumps(whole, ensure_ascii=False, indent=1)}\n".encode()


def _place(version: Version) -> dict[str, Any]:
    """Which version of the book it is, and which one it stands beside; nothing for the first."""
    before = version.supersedes
    if version.number == 1 or before is None:
        return {}
    files = [{"key": file.key, "size": file.size, "sha256": file.sha256} for file in before.files]
    old = {VERSION: before.version, "provenance": before.provenance, "files": files}
    return {VERSION: version.number, "supersedes": old}


def _newest(done: Iterable[Facts]) -> list[Facts]:
    """Of each stage the last time that it was done: what was made again is what lies in the store."""
    newest: dict[Any, Facts] = {}
    for event in done:
        newest.pop(event.get("stage"), None)
        newest[event.get("stage")] = event
    return list(newest.values())


def _step(event: Facts) -> dict[str, Any]:
    return {
        "stage": event.get("stage"),
        "attempt": event.get("attempt"),
        "started": _started(event),
        "finished": event.get("time"),
        "seconds": event.get("seconds"),
        "version": event.get("version"),
        "worker": event.get("worker"),
        "facts": event.get("facts", {}),
    }


def _started(event: Facts) -> str | None:
    try:
        began = datetime.fromisoformat(event["time"]) - timedelta(seconds=event["seconds"])
    except (KeyError, TypeError, ValueError):
        return None
    return began.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _members(done: Iterable[Facts]) -> int | None:
    counts = [event["facts"]["members"] for event in done if "members" in event.get("facts", {})]
    return counts[-1] if counts else None


def _warnings(done: Iterable[Facts]) -> list[str]:
    return list(dict.fromkeys(warning for event in done for warning in event.get("facts", {}).get("warnings", ())))
