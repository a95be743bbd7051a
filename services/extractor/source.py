"""The inflated bytes of a .tar.gz: read once, forward only, within the limits."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from gzip import BadGzipFile
from pathlib import Path
from typing import TYPE_CHECKING

from isal import igzip, isal_zlib

from common.errors import Redo, Reject
from services.extractor.limits import Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20
# One long name or pax header, and all headers between two members. tarfile reads a header whole and searches it with
# a regular expression that some Python versions need quadratic time for.
MAX_HEADER = 16 << 10
MAX_HEADERS = 1 << 20
_RATIO_COUNTS_FROM = 64 << 20


class Source(io.RawIOBase):
    """What tarfile reads headers from, and we the members' content; it never goes back.

    A damaged archive is a Redo, one that goes over a limit a Reject.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._compressed = _Tally(path, limits.max_seconds)
        self._gzip = igzip.IGzipFile(fileobj=self._compressed, mode="rb")  # type: ignore[no-untyped-call]
        self._position = 0
        self._headers = 0

    def close(self) -> None:
        """Close the archive."""
        self._gzip.close()
        self._compressed.close()
        super().close()

    @property
    def bytes_in(self) -> int:
        """Compressed bytes read so far."""
        return self._compressed.count

    @property
    def sha256(self) -> str:
        """SHA-256 of the compressed bytes read so far, in hex."""
        return self._compressed.digest.hexdigest()

    def tell(self) -> int:
        """How many bytes have been inflated."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go forward to `offset`; a way back means that a header lies about its size."""
        if offset < self._position or whence != io.SEEK_SET:
            raise Redo("The archive is damaged: a member has a negative size.")
        self.read(offset - self._position)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Bytes of headers and padding, of which there may be only so many between two members."""
        self._headers += size
        if not 0 <= size <= MAX_HEADER:
            raise Reject(f"The archive has a tar header of more than {MAX_HEADER >> 10} KiB.", _CURE)
        if self._headers > MAX_HEADERS:
            raise Reject(f"The archive has more than {MAX_HEADERS >> 20} MiB of tar headers without a file.", _CURE)
        return self._inflate(size)

    def content(self, size: int) -> Iterator[bytes]:
        """The `size` bytes of the member whose header was read last; what is too large is refused before the first."""
        self._headers = 0
        self._judge(size)
        return self._pieces(size)

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._inflate(min(size, CHUNK))
            if not chunk:
                raise Redo("The archive is cut short in the middle of a member.")
            size -= len(chunk)
            yield chunk

    def finish(self) -> None:
        """Read to the end, so that the gzip checksum is verified; after the last member there may only be zeros."""
        while chunk := self._inflate(CHUNK):
            if chunk.strip(b"\0"):
                raise Redo("The archive is damaged: something follows its end.")

    def _inflate(self, size: int) -> bytes:
        self._judge()
        try:
            chunk = self._gzip.read(size)
        # OverflowError: a gzip header, which holds no more than a file's name, of more than 512 KiB.
        except (EOFError, BadGzipFile, OverflowError, isal_zlib.IsalError) as error:  # type: ignore[misc]
            raise Redo(f"The archive is damaged: {error}.") from None
        self._position += len(chunk)
        return chunk

    def _judge(self, announced: int = 0) -> None:
        limits = self._limits
        if self._position + announced > limits.max_bytes:
            raise Reject(f"The archive holds more than {limits.max_bytes} bytes.", _raise("max_bytes"))
        if self._position > max(_RATIO_COUNTS_FROM, limits.max_ratio * self.bytes_in):
            raise Reject(f"The archive swells to more than {limits.max_ratio:g} times its size.", _raise("max_ratio"))
        self._compressed.judge()


_CURE = "Google's archives are not like this: look at the archive before you let it through."


def _raise(option: str) -> str:
    return f"Raise {option} in the extractor's options if the book is really that large, then put its token back."


class _Tally(io.RawIOBase):
    """A file that counts and hashes what is read of it, and knows when it must have been read.

    One call for inflated bytes may read all of a file that inflates to nothing, so every piece is timed.
    """

    def __init__(self, path: Path, max_seconds: float) -> None:
        self._file = path.open("rb", buffering=0)
        self._max_seconds = max_seconds
        self._deadline = time.monotonic() + max_seconds
        self.count = 0
        self.digest = hashlib.sha256(usedforsecurity=False)

    def judge(self) -> None:
        """Reject when the time is over."""
        if time.monotonic() > self._deadline:
            raise Reject(f"Reading the archive took longer than {self._max_seconds:g} s.", _raise("max_seconds"))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self.judge()
        view = memoryview(buffer)
        count = self._file.readinto(view) or 0
        self.digest.update(view[:count])
        self.count += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
