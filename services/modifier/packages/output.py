"""A package's file while it is written: hashed as it goes, durable at the end."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Self

from common.artifacts import Artifact

_BUFFER = 1 << 20


class Output:
    """A new file whose SHA-256 is known when it is written. OSError when the disk does not take it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=_BUFFER)
        self._digest = hashlib.sha256(usedforsecurity=False)
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes | memoryview) -> int:
        """Append."""
        self._digest.update(data)
        self._size += len(data)
        return self._file.write(data)

    def artifact(self) -> Artifact:
        """Sync the file, to which nothing is added any more, and describe it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return Artifact(self._path.name, self._size, self._digest.hexdigest())
