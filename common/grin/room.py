"""Disk space that is taken before the bytes come, so that two downloads never count on the same free space."""

from __future__ import annotations

import ctypes
import errno
import os

# From linux/falloc.h: the file does not look longer than it is.
_KEEP_SIZE = 1


def reserve(fd: int, size: int) -> bool:
    """Have the file system keep `size` bytes for a file, whose length stays; whether it could."""
    # posix_fallocate makes the file look whole, and where the file system cannot do it, writes to each of its blocks.
    take = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if take is None or size <= 0:
        return False
    while take(fd, _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)) != 0:
        if ctypes.get_errno() != errno.EINTR:
            return False
    return True


def give_back(fd: int) -> None:
    """Let go of what was kept beyond a file's end."""
    os.ftruncate(fd, os.fstat(fd).st_size)
