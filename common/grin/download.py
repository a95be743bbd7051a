"""One archive from GRIN into a file: streamed, resumed where the server can, and checked as it comes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.errors import Retry
from common.grin.errors import Passing
from common.grin.session import Answer, Session

OnBytes = Callable[[int, int | None], None]
_STRONG = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Download:
    """What has come: the server's ETag (empty when it sends none), bytes, and SHA-256 in hex."""

    etag: str
    size: int
    sha256: str


class Fetch:
    """The download of one file; `on_bytes` hears the bytes so far and the total, where the server tells it."""

    def __init__(self, session: Session, url: str, target: Path, on_bytes: OnBytes) -> None:
        self._session = session
        self._url = url
        self._target = target
        self._on_bytes = on_bytes
        self._restart()

    def run(self) -> Download:
        """Fetch the whole file and sync it; Retry when that does not succeed now."""
        with self._target.open("wb") as file:
            self._session.persist(lambda: self._continue(file))
            file.flush()
            os.fsync(file.fileno())
        return Download(self._etag, self._size, self._digest.hexdigest())

    def _restart(self) -> None:
        self._etag = ""
        self._size = 0
        self._total: int | None = None
        self._digest = hashlib.sha256()

    def _continue(self, file: BinaryIO) -> None:
        headers = {"Accept-Encoding": "identity"}
        if self._size and _STRONG.fullmatch(self._etag):
            headers |= {"Range": f"bytes={self._size}-", "If-Range": self._etag}
        with self._session.get("archive", self._url, headers) as answer:
            self._begin(answer, file)
            self._copy(answer, file)
        if self._total is not None and self._size != self._total:
            raise Passing(f"GRIN promised {self._total} bytes and sent {self._size}.")

    def _begin(self, answer: Answer, file: BinaryIO) -> None:
        if answer.status == 206 and self._goes_on(answer):
            return
        self._restart()
        file.seek(0)
        file.truncate()
        if answer.status == 404:
            cure = "It may have been pushed out of the converted pool: ask for its conversion again."
            raise Retry("GRIN has no converted archive of this book now (404).", cure)
        if answer.status != 200:
            raise Passing(f"GRIN cannot go on with a broken download ({answer.status}); it starts again.")
        self._etag = answer.header("ETag")
        length = answer.header("Content-Length")
        self._total = int(length) if length.isdecimal() else None

    def _goes_on(self, answer: Answer) -> bool:
        same = answer.header("ETag") in {"", self._etag}
        return same and answer.header("Content-Range").startswith(f"bytes {self._size}-")

    def _copy(self, answer: Answer, file: BinaryIO) -> None:
        self._on_bytes(self._size, self._total)
        for chunk in answer.chunks():
            if not self._size:
                _check_openpgp(chunk)
            file.write(chunk)
            self._digest.update(chunk)
            self._size += len(chunk)
            self._on_bytes(self._size, self._total)
        if not self._size:
            raise Passing("GRIN sent an empty file.")


def _check_openpgp(chunk: bytes) -> None:
    # Every OpenPGP packet begins with a byte whose high bit is set; text and pages do not.
    if not chunk[0] & 0x80:
        raise Retry(f"What GRIN sent is no encrypted archive; it begins with {chunk[:20]!a}.")
