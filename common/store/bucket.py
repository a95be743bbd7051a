"""What every done bucket can do; the two kinds of it are in folder.py and objects.py."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from common.artifacts import Artifact

# The cure for a file that no store takes under its name.
RENAME = "Give it another name by `rename`, leave it out by `prune`, or choose another package; then put the book back."


@dataclass(frozen=True)
class Puts:
    """How objects are put into an object store; a folder needs none of it."""

    part_size: int = 8 * 2**20
    """Bytes: what is larger goes in parts of that size."""
    concurrency: int = 4
    """How many parts of one file, or small objects, are on their way at once."""
    storage_class: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What every object is labelled with, beside its barcode and SHA-256."""
    read_back: bool = True
    """Whether every object is read to its end after it was put, and before it counts as equal."""


Look = Callable[[], None]
"""Asked right before an object becomes visible; raises when the book is in other hands by now."""


def unasked() -> None:
    """The look of who has no rival."""


class Bucket(ABC):
    """One done bucket, by keys such as `39000000000018/39000000000018.tar.gz`. Objects are whole or not there.

    Halt when it cannot be reached, refuses us, or is not there. Safe for several threads and processes at once.
    """

    name: str
    """The path or URL, for messages."""
    concurrency: int = 1
    """How many small objects are best put at once."""
    alone: float = math.inf
    """A file of more bytes goes in several parts at once, and so is put while no other is."""

    @abstractmethod
    def for_book(self, barcode: str, labels: Mapping[str, str], look: Look = unasked) -> Self:
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
    def has(self, key: str, wanted: Artifact) -> bool:
        """Whether the object is there with the wanted size and SHA-256, as a put would see it."""

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

        Redo when `source` is not `wanted` any more, or gone; Retry when the store did not keep what it was given, or
        when another hand was there first; Reject when no object can have that key.
        """

    @abstractmethod
    def put_bytes(self, key: str, data: bytes) -> bool:
        """Put these bytes and prove them; False when they were there already."""

    @abstractmethod
    def sweep(self, keys: Iterable[str]) -> None:
        """Remove what an earlier attempt on this book, killed in the middle, has left beside its `keys`."""
