"""Raw tar blocks for archives that nobody should make, with nothing between the test and the bytes."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from typing import Any, Literal

BARCODE = "39000000000018"
Change = Callable[[tarfile.TarInfo], object]


def entry(name: str, data: bytes = b"x", change: Change | None = None) -> bytes:
    """One member with its header, as raw tar blocks; `change` alters the header first."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    if change:
        change(header)
    return raw(header, data)


def raw(header: tarfile.TarInfo, data: bytes = b"", form: Literal[1, 2] = tarfile.GNU_FORMAT) -> bytes:
    """A header and its content, padded."""
    return header.tobuf(form, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


def of_type(kind: bytes, **members: Any) -> Change:
    """Make the member something else than a file."""

    def change(header: tarfile.TarInfo) -> None:
        header.type, header.size = kind, 0
        for name, value in members.items():
            setattr(header, name, value)

    return change


def pax(records: dict[str, str], name: str = "a") -> bytes:
    """A file with an extended header of these records."""
    header = tarfile.TarInfo(name)
    header.size, header.pax_headers = 1, records
    return raw(header, b"x", tarfile.PAX_FORMAT)


def extended(body: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with any body, without what it extends."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = kind, len(body)
    return raw(header, body)


def record(key: str, value: str) -> bytes:
    """One record of an extended header; its length counts itself."""
    rest = len(f" {key}={value}\n".encode())
    length = next(n for n in range(rest, rest + 9) if n == rest + len(str(n)))
    return f"{length} {key}={value}\n".encode()


def sized(size: int) -> Change:
    """Announce another size; a negative or a very large one is written in GNU's binary form."""
    return lambda header: setattr(header, "size", size)


def patched(block: bytes, place: int, new: bytes) -> bytes:
    """A header with other bytes at a place, and a checksum that agrees with them."""
    head = bytearray(block[:512])
    head[place : place + len(new)] = new
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + block[512:]


def archive(*blocks: bytes) -> bytes:
    """A .tar.gz of raw tar blocks."""
    return gzip.compress(b"".join(blocks) + bytes(1024), 1)


def flipped(data: bytes, place: int) -> bytes:
    """One bit is wrong."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
