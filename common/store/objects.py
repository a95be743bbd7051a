"""The done bucket in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import ObjectStore

from common.artifacts import Artifact, describe_bytes
from common.errors import Halt, Redo, Retry
from common.store.bucket import Bucket, Puts
from common.store.connect import connect
from common.store.labels import SHA256, attributes
from common.store.refusals import putting, reading

_CHUNK = 2**20
_PAGE = 1000
_EMPTY = "See that `done_bucket` and the endpoint are right, then audit again."


class ObjectBucket(Bucket):
    """Objects below a prefix. The store shows an object when all of it is there, so nobody sees a part."""

    def __init__(
        self, url: str, puts: Puts, store: ObjectStore | None = None, labels: Mapping[str, str] | None = None
    ) -> None:
        self.name = url
        self.concurrency = puts.concurrency
        self._puts = puts
        self._store = store or connect(url)
        self._labels = labels or {}

    def for_book(self, barcode: str, labels: Mapping[str, str]) -> Self:  # noqa: ARG002 - nothing is hidden here
        """The same bucket by the same client, with labels for this book's objects."""
        return type(self)(self.name, self._puts, self._store, labels)

    def prepare(self, *, used: bool) -> None:  # noqa: ARG002 - a bucket is never made here
        """Halt when there is no such bucket, or it may not be listed."""
        self._has_any()

    def require(self) -> None:
        """Halt when there is no such bucket, it may not be read, or nothing is in it."""
        if not self._has_any():
            raise Halt(f"There is nothing in the done bucket {self.name}, though books were delivered.", _EMPTY)

    def _has_any(self) -> bool:
        with putting(self.name):
            try:
                return any(len(page) for page in obstore.list(self._store, chunk_size=1))
            except InvalidPathError:
                # Somebody else's object with an odd key is one, too, and in nobody's way.
                return True

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

    def walk(self) -> Iterator[str]:
        """All keys, some hundreds in memory at a time."""
        yield from (key for key, _ in self.sizes())

    def sizes(self) -> Iterator[tuple[str, int]]:
        """The same with their bytes: no object is asked for."""
        with putting(self.name):
            for page in obstore.list(self._store, chunk_size=_PAGE):
                found = ((one["path"], one["size"]) for one in page)
                yield from ((key, size) for key, size in found if not key.rpartition("/")[2].startswith("."))

    def put_at(self, key: str) -> datetime | None:
        """When an object was put, by the store's clock; None when there is none."""
        with reading(self.name):
            return obstore.head(self._store, key)["last_modified"]
        return None

    def put_file(self, key: str, source: Path, wanted: Artifact) -> bool:
        """Put a file, in parts if it is large; False when it was there already, and equal."""
        if wanted.size <= self._puts.part_size:
            with source.open("rb") as file:
                data = file.read(wanted.size + 1)
            if describe_bytes(data, wanted.name) != wanted:
                raise _damaged(source)
            return self._put_whole(key, data, wanted)
        return self._put_in_parts(key, source, wanted)

    def put_bytes(self, key: str, data: bytes) -> bool:
        """Put an object with these bytes; False when it was there already, and equal."""
        return self._put_whole(key, data, describe_bytes(data, key))

    def sweep(self, key: str) -> None:
        """Nothing is ever there under another name; the parts of what was never finished expire in the store."""

    def _put_in_parts(self, key: str, source: Path, wanted: Artifact) -> bool:
        for is_last in (False, True):
            if self._is(key, wanted):
                return is_last
            try:
                self._send(key, _proven(source, wanted, self._puts.part_size), wanted)
                break
            except (Halt, Retry):
                # Where it broke off is not known: if the store answers at all, it is looked at, and sent once more.
                if is_last:
                    raise
        return self._prove(key, wanted)

    def _put_whole(self, key: str, data: bytes, wanted: Artifact) -> bool:
        there = self._is(key, wanted)
        if there is None:
            if self._create(key, data, wanted):
                return self._prove(key, wanted)
            there = self._is(key, wanted)
        if there:
            return False
        self._send(key, data, wanted)
        return self._prove(key, wanted)

    def _create(self, key: str, data: bytes, wanted: Artifact) -> bool:
        """Put what nobody has put yet; False when it is there now, or may be, or the store knows no such condition.

        The library repeats no such request that broke off, since it may have been carried out.
        """
        try:
            self._put(key, data, wanted, mode="create", use_multipart=False)
        except (BaseError, FileNotFoundError, NotImplementedError):
            return False
        return True

    def _send(self, key: str, data: bytes | Iterator[bytes], wanted: Artifact) -> None:
        how: Any = {"chunk_size": self._puts.part_size, "max_concurrency": self._puts.concurrency}
        with putting(self.name):
            self._put(key, data, wanted, **({"use_multipart": False} if isinstance(data, bytes) else how))

    def _put(self, key: str, data: bytes | Iterator[bytes], wanted: Artifact, **how: Any) -> None:
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
            return self._reads_as(key, wanted)
        return None

    def _reads_as(self, key: str, wanted: Artifact) -> bool:
        found = self.describe(key)
        return found is not None and (found.size, found.sha256) == (wanted.size, wanted.sha256)

    def _prove(self, key: str, wanted: Artifact) -> bool:
        """True when the store has kept what it was given; Retry when not."""
        right = self._reads_as(key, wanted) if self._puts.read_back else self._is(key, wanted)
        if not right:
            raise Retry(f"{key} did not arrive in {self.name} as it was sent.", "See who else writes there.")
        return True


def _proven(source: Path, wanted: Artifact, piece: int) -> Iterator[bytes]:
    """A file's bytes; Redo before the last of them is passed on when it is not what it should be."""
    digest, left = hashlib.sha256(), wanted.size
    with source.open("rb") as file:
        while data := file.read(piece):
            digest.update(data)
            left -= len(data)
            if left < 0 or (left == 0 and digest.hexdigest() != wanted.sha256):
                break
            yield data
    if left or digest.hexdigest() != wanted.sha256:
        raise _damaged(source)


def _damaged(source: Path) -> Redo:
    return Redo(f"{source} was damaged on the disk, so the book is made again.")
