"""The package: all members as one .tar.gz, the same bytes for the same members."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from isal import isal_zlib

from common.artifacts import Artifact
from common.errors import Redo
from services.modifier.members import Members

_CHUNK = 1 << 20
# 1980-01-01, the earliest time that every archive format can hold.
_MTIME = 315_532_800
# zlib's way to ask for a gzip header, which then has no time and no name.
_GZIP = 31


def pack(members: Members, target: Path, level: int) -> Artifact:
    """Write the package durably and describe it; Redo when a member is not as large as it was."""
    digest, size = hashlib.sha256(usedforsecurity=False), 0
    with target.open("xb") as file:
        for chunk in _deflated(_tarred(members), level):
            digest.update(chunk)
            size += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Artifact(target.name, size, digest.hexdigest())


def _deflated(chunks: Iterator[bytes], level: int) -> Iterator[bytes]:
    deflate = isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP)
    for chunk in chunks:
        yield deflate.compress(chunk)
    yield deflate.flush()


def _tarred(members: Members) -> Iterator[bytes]:
    for name in members.names():
        size = members.size(name)
        yield _header(name, size)
        with members.open(name) as file:
            yield from _content(file, name, size)
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _content(file: IO[bytes], name: str, size: int) -> Iterator[bytes]:
    count = 0
    while chunk := file.read(_CHUNK):
        count += len(chunk)
        yield chunk
    if count != size:
        raise Redo(f"{name} has {count} bytes and not the {size} it was extracted with, so the book is made again.")


def _header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = size, _MTIME, 0o644
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
