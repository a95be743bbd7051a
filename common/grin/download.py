"""One archive from GRIN into a file: streamed, checked as it comes, and gone on with after every fault.

The length is taken from the answer itself, before its first byte is written: a HEAD beforehand would be one more
request for each book, and GRIN suffers from them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from common import durable
from common.errors import Retry
from common.grin.errors import Passing
from common.grin.pace import Pace, Patience
from common.grin.partial import Build, Partial
from common.grin.session import Answer, Session

OnBytes = Callable[[int, int | None, int], None]
"""Hears the bytes so far, the total where the server tells it, and the bytes of the disk that this download holds."""

# An archive that is listed may answer 404 for seconds, as libraries have seen. Seconds before each further request.
MISSING_WAITS = (2.0, 5.0)
# Bytes between two looks at whether the file is still this worker's.
_LOOK_EVERY = 64 << 20
# What an encrypted file may begin with: session keys, the encrypted data itself, the marker.
_ENCRYPTED = frozenset({1, 3, 9, 10, 18, 20})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Download:
    """What has come: the server's ETag (empty when it sends none), bytes, and SHA-256 in hex.

    How it came makes it no other one: the address, how often it was gone on with, and bytes that came in vain.
    """

    etag: str
    size: int
    sha256: str
    url: str = field(default="", compare=False)
    resumed: int = field(default=0, compare=False)
    refetched: int = field(default=0, compare=False)


class _GoOnError(Exception):
    """A fault after progress: a first one again."""


class Fetch:
    """The download of one file, which has one or more addresses, the likeliest first."""

    def __init__(self, session: Session, library: str, urls: Sequence[str], part: Partial, on_bytes: OnBytes) -> None:
        self._session = session
        self._library = library
        self._urls = list(urls)
        self._part = part
        self._on_bytes = on_bytes
        self._fetched = self._resumed = 0
        self._patience = Patience(0)

    def run(self) -> Download:
        """Fetch the whole file, sync it and give it its name; Retry when that does not succeed now.

        What has come is kept for the next attempt, but not on a full disk, where it may be what others lack.
        """
        try:
            return self._run()
        except OSError as error:
            if error.errno in durable.FULL:
                self._part.discard()
            raise
        finally:
            self._part.keep()

    def _run(self) -> Download:
        self._part.adopt(self._library, self._urls)
        adopted = self._part.size
        if self._part.build is not None:
            self._urls = [self._part.build.url]
        self._patience = Patience(adopted)
        while not self._has_come():
            pass
        build, size = self._part.finish(), self._part.size
        vain = adopted + self._fetched - size
        return Download(build.etag, size, self._part.sha256, build.url, self._resumed, vain)

    def _has_come(self) -> bool:
        try:
            self._session.persist(self._try)
        except _GoOnError:
            return False
        return True

    def _try(self) -> None:
        try:
            if not self._part.is_whole:
                self._request()
        except Passing:
            if self._patience.earned(self._part.size):
                raise _GoOnError from None
            raise

    def _request(self) -> None:
        headers = {"Accept-Encoding": "identity"}
        build, size = self._part.build, self._part.size
        if build is not None and build.can_go_on and size:
            headers |= {"Range": f"bytes={size}-", "If-Range": build.etag}
        with self._open(headers) as answer:
            self._copy(answer, self._begin(answer))
        total = self._part.build.total if self._part.build else None
        if total is not None and self._part.size != total:
            raise Passing(f"GRIN promised {total} bytes and sent {self._part.size}.")

    def _open(self, headers: dict[str, str]) -> Answer:
        for wait in (0.0, *MISSING_WAITS):
            time.sleep(wait)
            for url in list(self._urls):
                answer = self._session.get("archive", url, headers)
                if answer.status != 404:
                    self._urls = [url]
                    return answer
                answer.response.close()
            # The other names are not asked for again.
            del self._urls[1:]
        cure = "It may have been pushed out of the converted pool: ask for its conversion again."
        raise Retry("GRIN has no converted archive of this book now (404).", cure)

    def _begin(self, answer: Answer) -> int | None:
        """Make ready for what this answer brings; the size of the file after it, where that is known."""
        if answer.status == 200:
            self._part.start(self._build(answer))
            return self._part.build.total if self._part.build else None
        end = _end(answer, self._part) if answer.status == 206 else None
        if end is None:
            self._part.discard()
            raise Passing(f"GRIN cannot go on with a broken download ({answer.status}); it starts again.")
        self._resumed += 1
        return end

    def _build(self, answer: Answer) -> Build:
        coded, length = _is_coded(answer), answer.header("Content-Length")
        # The length and the ETag of what is packed for the way are not those of the file.
        known = length.isdecimal() and not coded and not answer.header("Transfer-Encoding")
        etag = "" if coded else answer.header("ETag")
        return Build(self._urls[0], self._library, etag, int(length) if known else None)

    def _copy(self, answer: Answer, end: int | None) -> None:
        part, pace, look_at = self._part, Pace(self._part.size), 0
        self._tell()
        for chunk in answer.chunks():
            if not part.size:
                _check_encrypted(chunk)
            self._fetched += len(chunk)
            if end is not None and part.size + len(chunk) > end:
                part.discard()
                raise Passing("GRIN sent more than it promised, so the download starts again.")
            part.append(chunk)
            pace.check(part.size)
            if part.size >= look_at:
                look_at = part.size + _LOOK_EVERY
                part.check()
            self._tell()
        if not part.size:
            raise Passing("GRIN sent an empty file.")

    def _tell(self) -> None:
        try:
            self._on_bytes(self._part.size, self._part.build.total if self._part.build else None, self._part.held)
        except BaseException:
            # Whoever listens wants no more of it, for want of space.
            self._part.discard()
            raise


def _end(answer: Answer, part: Partial) -> int | None:
    """Where a 206 that goes on exactly where `part` ends will end itself; None when it is not that."""
    build, found = part.build, _RANGE.fullmatch(answer.header("Content-Range"))
    if build is None or found is None or _is_coded(answer) or answer.header("ETag") != build.etag:
        return None
    first, last, total = map(int, found.groups())
    fits = first == part.size and first <= last < total and build.total in {None, total}
    return last + 1 if fits else None


def _is_coded(answer: Answer) -> bool:
    return answer.header("Content-Encoding").lower() not in {"", "identity"}


def _check_encrypted(chunk: bytes) -> None:
    """Every OpenPGP packet begins with a byte that tells its kind, its high bit set; text and pages do not."""
    first = chunk[0]
    kind = first & 0x3F if first & 0x40 else first >> 2 & 0x0F
    if not first & 0x80 or kind not in _ENCRYPTED:
        raise Retry(f"What GRIN sent is no encrypted archive; it begins with {chunk[:20]!a}.")
