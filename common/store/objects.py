"""The done bucket in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Self

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import ObjectStore

from common.artifacts import Artifact, describe_bytes
from common.errors import Halt, Lost, Redo, Retry
from common.store.bucket import Bucket, Look, Puts, unasked
from common.store.connect import connect
from common.store.labels import SHA256, attributes
from common.store.refusals import Archived, panicking, putting, reading, require_fit

# What is special to the putting of one book: its labels, and who looks whether it is still this worker's.
_Book = tuple[Mapping[str, str], Look]
_CHUNK = 2**20
_PAGE = 1000
_OTHERS = "See who else writes there."
_EMPTY = "See that `done_bucket` and the endpoint are right, then audit again."


class ObjectBucket(Bucket):
    """Objects below a prefix. The store shows an object when all of it is there, so nobody sees a part."""

    def __init__(self, url: str, puts: Puts, store: ObjectStore | None = None, book: _Book | None = None) -> None:
        self.name = url
        self.concurrency, self.alone = puts.concurrency, puts.part_size
        self._puts = puts
        self._store = store or connect(url)
        self._labels, self._look = book or ({}, unasked)

    def for_book(self, barcode: str, labels: Mapping[str, str], look: Look = unasked) -> Self:  # noqa: ARG002
        """The same bucket by the same client, with labels for this book's objects. Nothing of it is hidden."""
        return type(self)(self.name, self._puts, self._store, (labels, look))

    def prepare(self, *, used: bool) -> None:  # noqa: ARG002 - a bucket is never made here
        """Halt when there is no such bucket, or it may not be listed."""
        with putting(self.name):
            try:
                next(iter(obstore.list(self._store, chunk_size=1)), None)
            except InvalidPathError:
                # Somebody else's object with an odd key is in nobody's way here.
                return

    def require(self) -> None:
        """Halt when there is no such bucket, it may not be read, or no book's object is in it.

        A console's mark for a folder has no bytes, and what a doctor has left is hidden.
        """
        with putting(self.name):
            try:
                pages = obstore.list(self._store, chunk_size=_PAGE)
                filled = any(one["size"] and not _is_hidden(one["path"]) for page in pages for one in page)
            except InvalidPathError:
                # Somebody else's object with an odd key is one, too, and in nobody's way here.
                filled = True
        if not filled:
            raise Halt(f"There is nothing in the done bucket {self.name}, though books were delivered.", _EMPTY)

    def size(self, key: str) -> int | None:
        """The bytes of an object; None when there is none."""
        with reading(self.name):
            return obstore.head(self._store, key)["size"]
        return None

    def describe(self, key: str) -> Artifact | None:
        """Read an object to its end, a piece at a time: its size and SHA-256."""
        digest, size = hashlib.sha256(), 0
        with reading(self.name):
            for piece in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                digest.update(piece)
                size += len(piece)
            return Artifact(key, size, digest.hexdigest())
        return None

    def read(self, key: str, limit: int) -> bytes | None:
        """The first `limit` bytes of an object; None when there is none."""
        with reading(self.name):
            data = bytearray()
            for piece in obstore.get(self._store, key).stream(min_chunk_size=min(limit, _CHUNK)):
                data += piece
                if len(data) >= limit:
                    break
            return bytes(data[:limit])
        return None

    def has(self, key: str, wanted: Artifact) -> bool:
        """Whether the object is there with the wanted size and SHA-256, read or by its label as the options say."""
        return bool(self._is(key, wanted))

    def walk(self) -> Iterator[str]:
        """All keys, some hundreds in memory at a time."""
        yield from (key for key, _ in self.sizes())

    def sizes(self) -> Iterator[tuple[str, int]]:
        """The same with their bytes: no object is asked for."""
        with putting(self.name):
            for page in obstore.list(self._store, chunk_size=_PAGE):
                found = ((one["path"], one["size"]) for one in page)
                yield from ((key, size) for key, size in found if not _is_hidden(key))

    def put_at(self, key: str) -> datetime | None:
        """When an object was put, by the store's clock; None when there is none."""
        with reading(self.name):
            return obstore.head(self._store, key)["last_modified"]
        return None

    def put_file(self, key: str, source: Path, wanted: Artifact) -> bool:
        """Put a file, in parts if it is large; False when it was there already, and equal."""
        require_fit(self.name, key)
        if wanted.size <= self._puts.part_size:
            with _opened(source) as file:
                data = file.read(wanted.size + 1)
            if describe_bytes(data, wanted.name) != wanted:
                raise _damaged(source)
            return self._put_whole(key, data, wanted)
        return self._put_in_parts(key, source, wanted)

    def put_bytes(self, key: str, data: bytes) -> bool:
        """Put an object with these bytes; False when it was there already, and equal."""
        require_fit(self.name, key)
        return self._put_whole(key, data, describe_bytes(data, key))

    def sweep(self, keys: Iterable[str]) -> None:
        """Nothing is ever there under another name; the parts of what was never finished expire in the store."""

    def _put_in_parts(self, key: str, source: Path, wanted: Artifact) -> bool:
        for is_last in (False, True):
            if self._is(key, wanted):
                return is_last
            try:
                with _opened(source) as file:
                    self._send(key, self._proven(file, source, wanted), wanted)
                break
            except (Halt, Retry):
                # Where it broke off is not known: if the store answers at all, it is looked at, and sent once more.
                if is_last:
                    raise
        self._look_back(key)
        return self._prove(key, wanted)

    def _look_back(self, key: str) -> None:
        """Parts that were on their way at the last look could not be called back: tell whoever reads the log."""
        try:
            self._look()
        except Retry:
            what = f"{key} in {self.name} may be older than the ledger says, by a worker that woke up late."
            raise Lost(f"{what} Audit this book with --deep --fix.") from None

    def _put_whole(self, key: str, data: bytes, wanted: Artifact) -> bool:
        there = self._is(key, wanted)
        if there is None:
            if self._create(key, data, wanted):
                return self._prove(key, wanted)
            there = self._is(key, wanted)
            if there is False:
                raise Retry(f"Another hand has put {key} into {self.name} meanwhile.", _OTHERS)
        if there:
            return False
        self._send(key, data, wanted)
        return self._prove(key, wanted)

    def _create(self, key: str, data: bytes, wanted: Artifact) -> bool:
        """Put what nobody has put yet; False when it is there now, or may be, or the store knows no such condition.

        The library repeats no such request that broke off, since it may have been carried out.
        """
        try:
            with panicking(self.name):
                self._put(key, data, wanted, mode="create", use_multipart=False)
        except (BaseError, FileNotFoundError, NotImplementedError):
            return False
        return True

    def _send(self, key: str, data: bytes | Iterator[bytes], wanted: Artifact) -> None:
        how: Any = {"chunk_size": self._puts.part_size, "max_concurrency": self._puts.concurrency}
        with putting(self.name):
            self._put(key, data, wanted, **({"use_multipart": False} if isinstance(data, bytes) else how))

    def _put(self, key: str, data: bytes | Iterator[bytes], wanted: Artifact, **how: Any) -> None:
        self._look()
        obstore.put(self._store, key, data, attributes=attributes(wanted, self._labels, self._puts), **how)

    def _is(self, key: str, wanted: Artifact) -> bool | None:
        """Whether the object is there with the wanted size and SHA-256; None when it is not there at all.

        By our own label and by its bytes: an ETag is the store's affair, and no checksum.
        """
        with reading(self.name):
            found = obstore.get(self._store, key, options={"head": True})
            label = found.attributes.get(SHA256)
            if found.meta["size"] != wanted.size or label not in {wanted.sha256, None}:
                return False
            if label and not self._puts.read_back:
                return True
            try:
                return self._reads_as(key, wanted)
            except Archived:
                if not label:
                    raise
                # It was proven before a rule of the store's took it away.
                return True
        return None

    def _reads_as(self, key: str, wanted: Artifact) -> bool:
        found = self.describe(key)
        return found is not None and (found.size, found.sha256) == (wanted.size, wanted.sha256)

    def _prove(self, key: str, wanted: Artifact) -> bool:
        """True when the store has kept what it was given; Retry when not."""
        right = self._reads_as(key, wanted) if self._puts.read_back else self._is(key, wanted)
        if not right:
            raise Retry(f"{key} did not arrive in {self.name} as it was sent.", _OTHERS)
        return True

    def _proven(self, file: IO[bytes], source: Path, wanted: Artifact) -> Iterator[bytes]:
        """A file's bytes; Redo before the last of them is passed on when it is not what it should be.

        The book's owner is looked at once more before the end, since a large upload takes its time: what raises here
        aborts it.
        """
        digest, left = hashlib.sha256(), wanted.size
        while data := file.read(self._puts.part_size):
            digest.update(data)
            left -= len(data)
            if left < 0 or (left == 0 and digest.hexdigest() != wanted.sha256):
                break
            yield data
        if left or digest.hexdigest() != wanted.sha256:
            raise _damaged(source)
        self._look()


def _is_hidden(key: str) -> bool:
    return key.rpartition("/")[2].startswith(".")


def _opened(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except FileNotFoundError:
        raise Redo(f"{source} is missing, so the book is made again.", local=True) from None


def _damaged(source: Path) -> Redo:
    return Redo(f"{source} was damaged on the disk, so the book is made again.", local=True)
