"""Writes the ledger of a book that is in the store and that no ledger knows, from its provenance.

The ledger appears whole, by one link, and names a token that was written before; one rename then puts that into the
last bucket, so that the book counts as done. Whoever is killed in between leaves what the next run, or any seeding,
completes; of two at once one makes the ledger, and the other lets go.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from common import __version__, board, durable
from common.artifacts import describe_bytes
from common.deliveries import VERSION, Stored
from common.errors import Lost
from common.heartbeat import worker_name
from common.store_keys import PROVENANCE
from common.token import SUFFIX, encode
from services.orchestrator.audit_store import Store, uploaders
from services.orchestrator.sightings import SEEDING, Sightings

_MOST = 64_000_000
Line = dict[str, Any]


class Unfit(ValueError):  # noqa: N818 - what a provenance is, not what went wrong
    """This provenance cannot be relied on; the message is the end of a sentence."""


class Rebuilder:
    """Rebuilds books of one board, by name of one person."""

    def __init__(self, sightings: Sightings, store: Store, by: str, *, deep: bool) -> None:
        self.sightings = sightings
        self.store = store
        self.by = by
        self.deep = deep
        self._name = worker_name("rebuilder")
        self._number = 0
        self._uploader = uploaders(sightings.settings)[0]

    def story(self, barcode: str) -> list[Line]:
        """The events after `registered` that the book's provenances tell; Unfit when one of them is not true."""
        versions = list(self._provenances(barcode))
        if not versions:
            raise Unfit("has no provenance")
        lines: list[Line] = []
        for number, key in versions:
            steps = list(self._told(barcode, number, key))
            if number > 1:
                lines.append({"time": steps[0]["time"], "event": "renewed", "by": self.by, "rebuilt": True})
            lines += steps
        return lines

    def rebuild(self, barcode: str) -> bool:
        """Write the ledger and, where the book has no token, place one; False when it has a ledger by now.

        Unfit when its provenance cannot be relied on, OSError when the board cannot be written.
        """
        story, seen = self.story(barcode), self.sightings
        self._number += 1
        name = f"{barcode}~{self._name}.{self._number}{SUFFIX}"
        token, last = seen.root / SEEDING / name, self._uploader.output_pipe
        homeless = not any(seen.look(barcode) for _ in range(3))
        first = {"time": story[0]["time"], "event": "registered", "bucket": last.name}
        first |= {"by": self.by, "rebuilt": True} | ({"token": name} if homeless else {})
        if homeless:
            common = seen.settings.global_
            durable.write_new(token, encode(barcode, str(common.processing_bucket), self.store.name))
            durable.fsync_dir(token.parent)
        if not self._begin(barcode, [first, *story]):
            token.unlink(missing_ok=True)
            return False
        if homeless:
            self._place(barcode, token, last)
        return True

    def _place(self, barcode: str, token: Path, last: Path) -> None:
        with suppress(Lost, board.OccupiedError, FileNotFoundError):
            board.relocate(barcode, token, token.lstat().st_ino, board.path_of(last, barcode, board.WAITING))
        durable.fsync_dir(last)

    def _begin(self, barcode: str, lines: list[Line]) -> bool:
        """Give a whole story its name at once; False when the book has one."""
        path = self.sightings.ledger.path(barcode)
        draft = self.sightings.root / SEEDING / f"{barcode}~{secrets.token_hex(6)}.jsonl"
        data = b"".join(
            json.dumps({**line, "version": line.get("version") or __version__}).encode() + b"\n" for line in lines
        )
        durable.write_new(draft, data)
        durable.make_dirs(path.parent)
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            # A network file system may report failure of a link that it made.
            if draft.stat().st_nlink == 1:
                return False
        finally:
            draft.unlink(missing_ok=True)
        durable.fsync_dir(path.parent)
        return True

    # --- what the provenances tell ---

    def _provenances(self, barcode: str) -> Iterator[tuple[int, str]]:
        """Their keys, in order. A version that came out equal to a held one has none, so one may be missing."""
        number = misses = 0
        while misses < 3:
            number += 1
            key = self.store.keys.of(barcode, PROVENANCE, number)
            misses = 0 if self.store.bucket.size(key) is not None else misses + 1
            if not misses:
                yield number, key

    def _told(self, barcode: str, number: int, key: str) -> Iterator[Line]:
        data = self.store.bucket.read(key, _MOST) or b""
        whole, proof = _parsed(data), describe_bytes(data, PROVENANCE)
        if whole.get("barcode") != barcode:
            raise Unfit(f"has a provenance of another book, {str(whole.get('barcode'))[:80]!a}")
        if (told := whole.get(VERSION, 1)) != number:
            raise Unfit(f"has a provenance of version {str(told)[:20]} in the place of version {number}")
        files = [self._file(barcode, number, file) for file in _list(whole, "files")]
        if not files:
            raise Unfit("has a provenance that names no file")
        put = _when(self.store.bucket.put_at(key))
        for step in _list(whole, "steps"):
            yield from self._step(step, put)
        facts: Line = {"bytes_in": sum(file["size"] for file in files), "files": files}
        facts |= {"done_bucket": self.store.name, "provenance": key}
        facts |= {"provenance_size": proof.size, "provenance_sha256": proof.sha256}
        facts |= {VERSION: number} if number > 1 else {}
        yield {"time": put, "event": "done", "stage": self._uploader.name, "facts": facts, "rebuilt": True}

    def _step(self, step: Any, put: str) -> Iterator[Line]:
        """One stage's `done`; the upload's own step has no time, and is told from the store."""
        if not isinstance(step, dict) or not isinstance(step.get("stage"), str):
            raise Unfit("has a provenance with a step of no stage")
        if "facts" not in step:
            return
        kept = {
            key: step[key] for key in ("stage", "worker", "attempt", "seconds", "version", "facts") if step.get(key)
        }
        finished = step.get("finished")
        yield {"time": finished if isinstance(finished, str) else put, "event": "done", **kept, "rebuilt": True}

    def _file(self, barcode: str, number: int, file: Any) -> Line:
        wanted = ("name", str), ("size", int), ("sha256", str)
        if not isinstance(file, dict) or not all(isinstance(file.get(key), kind) for key, kind in wanted):
            raise Unfit("has a provenance that does not say name, size and SHA-256 of each file")
        if {"", ".", ".."} & set(file["name"].split("/")):
            raise Unfit(f"has a provenance that names a file {file['name'][:80]!a}")
        key = self.store.keys.of(barcode, file["name"], number)
        stored = Stored(key, file["name"], number, file["size"], file["sha256"])
        for wrong, fault in self.store.faults(stored, deep=self.deep):
            raise Unfit(f"is not as its provenance says: {wrong.key} {fault}")
        return {"name": file["name"], "size": file["size"], "sha256": file["sha256"], "key": key}


def _when(put: datetime | None) -> str:
    """As the ledger has it; it went away between two looks if nobody knows."""
    if put is None:
        raise Unfit("has no provenance any more")
    return put.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parsed(data: bytes) -> Line:
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"has a damaged provenance ({str(error)[:120]})") from None
    if not isinstance(whole, dict):
        raise Unfit("has a damaged provenance (it is no JSON object)")
    return whole


def _list(whole: Line, key: str) -> list[Any]:
    listed = whole.get(key)
    if not isinstance(listed, list):
        raise Unfit(f"has a provenance without {key}")
    return listed
