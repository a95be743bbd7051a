"""A gzip file in which some parts are compressed and others are stored as they are.

Page images are compressed already: deflating them again costs most of a book's CPU time for about one byte in forty.
Stored blocks are plain deflate (RFC 1951), which every gunzip reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from isal import isal_zlib

_HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))
_RAW = -15
_LARGEST_BLOCK = 65_535
_LAST_BLOCK = b"\x03\x00"


class GzipStream:
    """Passes the bytes of one gzip file on to `write`; no time, no name, so the same bytes for the same input."""

    def __init__(self, write: Callable[[bytes | memoryview], object], level: int) -> None:
        self._write = write
        self._level = level
        self._deflate: Any = None
        self._crc32 = 0
        self._size = 0
        write(_HEADER)

    def compress(self, data: bytes) -> None:
        """Add bytes that deflate is worth its time for."""
        if self._deflate is None:
            self._deflate = isal_zlib.compressobj(self._level, isal_zlib.DEFLATED, _RAW)
        self._count(data)
        self._write(self._deflate.compress(data))

    def store(self, data: bytes) -> None:
        """Add bytes as they are, at a cost of 5 for each 65,535."""
        self._align()
        self._count(data)
        view = memoryview(data)
        for begin in range(0, len(data), _LARGEST_BLOCK):
            block = view[begin : begin + _LARGEST_BLOCK]
            self._write(struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF))
            self._write(block)

    def finish(self) -> None:
        """Write the end."""
        self._align()
        self._write(_LAST_BLOCK + struct.pack("<II", self._crc32, self._size & 0xFFFFFFFF))

    def _align(self) -> None:
        """End the compressed part at a whole byte; what follows it refers to nothing in it."""
        if self._deflate is not None:
            self._write(self._deflate.flush(isal_zlib.Z_SYNC_FLUSH))
            self._deflate = None

    def _count(self, data: bytes) -> None:
        self._crc32 = isal_zlib.crc32(data, self._crc32)
        self._size += len(data)
