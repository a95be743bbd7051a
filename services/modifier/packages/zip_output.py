"""A zip file while it is written: the same bytes for the same members, wherever it is made."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from common.artifacts import Artifact, describe

_BUFFER = 1 << 20
# A member that may come near the old format's limit gets the new one's header.
_LARGE = 2_000_000_000
_UNIX = 3
_MODE = 0o100644 << 16


class ZipOutput:
    """A new zip file; times are 1980-01-01, nothing is said of this machine. OSError when the disk does not take it."""

    def __init__(self, path: Path, level: int) -> None:
        self._path = path
        self._file = path.open("xb", buffering=_BUFFER)
        self._zip = ZipFile(self._file, "w", ZIP_DEFLATED, compresslevel=level)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._zip.close()
        finally:
            self._file.close()

    def add(self, name: str, size: int, chunks: Iterable[bytes], *, stored: bool) -> None:
        """Append a member of `size` bytes, as it is or deflated."""
        with self._stored(name, size) if stored else self._deflated(name, size) as file:
            for chunk in chunks:
                file.write(chunk)
        info = self._zip.getinfo(name)
        info.create_system, info.external_attr = _UNIX, _MODE

    def artifact(self) -> Artifact:
        """End the file, sync it and describe it."""
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        return describe(self._path, self._path.name)

    def _stored(self, name: str, size: int) -> IO[bytes]:
        info = ZipInfo(name)
        info.file_size = size
        return self._zip.open(info, "w", force_zip64=size > _LARGE)

    def _deflated(self, name: str, size: int) -> IO[bytes]:
        return self._zip.open(name, "w", force_zip64=size > _LARGE)
