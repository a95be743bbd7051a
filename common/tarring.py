"""Tar headers as this project writes them: the same bytes for the same name and size."""

from __future__ import annotations

import tarfile

BLOCK = tarfile.BLOCKSIZE
# 1980-01-01, the earliest time that every archive format can hold.
MTIME = 315_532_800
END = bytes(2 * BLOCK)


def header(name: str, size: int) -> bytes:
    """The header of a plain file of `size` bytes; a name that does not fit in the old format gets a pax header."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, MTIME, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """The zeros that fill up a member's last block."""
    return bytes(-size % BLOCK)
