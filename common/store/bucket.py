"""What every done bucket can do; the two kinds of it are in folder.py and objects.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from common.artifacts import Artifact


@dataclass(frozen=True)
class Puts:
    """How objects are put into an object store; a folder needs none of it."""

    part_size: int = 8 * 2**20
    """Bytes: what is larger goes in parts of that size."""
    concurrency: int = 4
    """How many parts, or small objects, are on their way at once."""
    storage_class: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What every object is labelled with, beside its barcode and SHA-256."""
    read_back: bool = True
    """Whether every object is read to its end after it was put, and before it counts as equal."""


class Bucket(ABC):
    """One done bucket, by keys such as `39000000000018/39000000000018.tar.gz`. Objects are whole or not there.

    Halt when it cannot be reached, refuses us, or is not there. Safe for several threads and processes at once.
    """

    name: str
    """The path or URL, for messages."""
    concurrency: int = 1
    """How many small objects are best put at once."""

    @abstractmethod
    def for_book(self, barcode: str, labels: Mapping[str, str]) -> Self:
        """The same bucket for the putting of one book; `labels` go with its objects where the store has labels."""

    @abstractmethod
    def prepare(self, *, used: bool) -> None:
        """Before the first book is put: Halt when a bucket that was `used` before is gone."""

    @abstractmethod
    def require(self) -> None:
        """Before books are looked for: Halt when it is not there, is empty, or is another one than before."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """The bytes of an object; None when there is none."""

    @abstractmethod
    def describe(self, key: str) -> Artifact | None:
        """Read an object to its end, in little memory: its size and SHA-256, with the key as its name."""

    @abstractmethod
    def read(self, key: str, limit: int) -> bytes | None:
        """The first `limit` bytes of an object; None when there is none."""

    @abstractmethod
    def walk(self) -> Iterator[str]:
        """All keys, streamed, in no order; hidden ones (a part that begins with a dot) are left out."""

    @abstractmethod
    def sizes(self) -> Iterator[tuple[str, int]]:
        """The same with their bytes, as the listing tells them."""

    @abstractmethod
    def put_at(self, key: str) -> datetime | None:
        """When an object was put, in UTC; None when there is none."""

    @abstractmethod
    def put_file(self, key: str, source: Path, wanted: Artifact) -> bool:
        """Put a file and prove it; False when it was there already, and equal.

        Redo when `source` is not `wanted` any more, Retry when the store did not keep what it was given.
        """

    @abstractmethod
    def put_bytes(self, key: str, data: bytes) -> bool:
        """Put these bytes and prove them; False when they were there already."""

    @abstractmethod
    def sweep(self, key: str) -> None:
        """Remove what an earlier attempt on this book, killed in the middle, has left beside `key`."""
