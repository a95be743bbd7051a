"""Archives that are cut, flipped, or followed by something: never taken for whole, in either layout."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import struct
import tarfile
import time
import zlib

import pytest

from common.stage import Redo, Reject
from tests.hostile.archives import archive, entry, extended, flipped, of_type, patched, record, sized
from tests.hostile.conftest import Bench

MEMBERS = {f"{number:08d}.txt": b"page" for number in range(1, 4)}
LIST = "".join(f"{hashlib.md5(data).hexdigest()}  {name}\n" for name, data in MEMBERS.items()).encode()
WHOLE = {**MEMBERS, "checksum.md5": LIST}
GOOD = b"".join(entry(name, data) for name, data in WHOLE.items()) + bytes(1024)
PACKED = gzip.compress(GOOD)
EMPTY = gzip.compress(b"")
SPARSE = extended(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))


def with_header(flags: int, more: bytes) -> bytes:
    """The good archive with a gzip header that has more in it."""
    plain = zlib.compressobj(wbits=-15)
    body = plain.compress(GOOD) + plain.flush()
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + more + body + struct.pack("<LL", zlib.crc32(GOOD), len(GOOD))


DAMAGED: dict[str, bytes] = {
    "empty file": b"",
    "not gzip": b"<html>Sign in</html>" * 50,
    "gzip of nothing": EMPTY,
    "gzip of nothing, a thousand times": EMPTY * 1000,
    "tar without members": gzip.compress(bytes(10240)),
    "only folders": archive(entry("a", b"", of_type(tarfile.DIRTYPE))),
    "gzip in gzip": gzip.compress(PACKED),
    "tar without gzip": GOOD,
    "gzip cut in its header": PACKED[:9],
    "gzip cut after its header": PACKED[:10],
    "gzip cut in the middle": PACKED[: len(PACKED) // 2],
    "gzip cut before its checksum": PACKED[:-8],
    "gzip cut by one byte": PACKED[:-1],
    "gzip checksum wrong": flipped(PACKED, len(PACKED) - 6),
    "gzip size wrong": flipped(PACKED, len(PACKED) - 2),
    "gzip data flipped": flipped(PACKED, len(PACKED) // 2),
    "gzip of another method": flipped(PACKED, 2),
    "garbage after the gzip": PACKED + os.urandom(600),
    "a few bytes after the gzip": PACKED + b"\x1f",
    "half a gzip after the gzip": PACKED + PACKED[:40],
    "gzip header flipped": flipped(PACKED, 0),
    "gzip header with a name of 1 MB": with_header(8, b"n" * 1_000_000 + b"\0"),
    "gzip header with a comment of 1 MB": with_header(16, b"n" * 1_000_000 + b"\0"),
    "gzip header with a name that never ends": with_header(8, b"n" * 1000).replace(b"\0", b"n"),
    "second gzip with a name of 1 MB": PACKED + with_header(8, b"n" * 1_000_000 + b"\0"),
    "gzip header with a wrong checksum": with_header(2, b"\0\0"),
    "tar cut in a member": gzip.compress(GOOD[:514]),
    "tar cut in the padding": gzip.compress(GOOD[:700]),
    "tar cut in a header": gzip.compress(GOOD[: 1024 + 300]),
    "tar cut between members": gzip.compress(GOOD[:2048]),
    "tar cut before its end": gzip.compress(GOOD[:-1024]),
    "tar cut in a long name": gzip.compress(entry("n" * 200)[:600]),
    "tar cut in an extended header": gzip.compress(extended(record("path", "n" * 600))[:800]),
    "header checksum wrong": gzip.compress(flipped(GOOD, 1024 + 5)),
    "header checksum no number": gzip.compress(GOOD[:148] + b"zzzzzzzz" + GOOD[156:]),
    "size no number": gzip.compress(patched(GOOD, 124, b"zzzzzzzzzzz\0")),
    "mode no number": gzip.compress(patched(GOOD, 100, b"rw-r--r\0")),
    "first header is noise": gzip.compress(os.urandom(512) + GOOD),
    "something after the end": gzip.compress(GOOD + b"more" * 128),
    "one byte after the end": gzip.compress(GOOD + bytes(4000) + b"\1"),
    "second archive after the end": gzip.compress(GOOD + GOOD),
    "second gzip after the end": PACKED + PACKED,
    "one block of zeros, then more": gzip.compress(GOOD[:1024] + bytes(512) + GOOD[1024:]),
    "size a little too large": gzip.compress(patched(GOOD, 124, b"00000001004\0")),
    "size larger than the archive": archive(entry("a", b"", sized(1 << 33))),
    "negative size": archive(entry("a", b"", sized(-512)), entry("b")),
    "very negative size": archive(patched(entry("a"), 124, b"\xff" + b"\x00" * 11), entry("b")),
    "negative size by unknown kind": archive(entry("a", b"", of_type(b"Z", size=-1024))),
    "negative size of an extended header": archive(patched(extended(b"x"), 124, b"\xff" * 12), entry("a")),
    "negative size of a long name": archive(patched(entry("n" * 200), 124, b"\xff" * 12), entry("a")),
    "long name without what it names": archive(entry("n" * 200)[:1024]),
    "pax without what it extends": archive(extended(record("path", "abc"))),
    "pax size too small": archive(extended(record("size", "1")), entry("a", b"x" * 2000)),
    "pax sparse map without numbers": archive(SPARSE, entry("a", b"junk")),
    "pax sparse map that never ends": archive(SPARSE, entry("a", b"9999999999\n" + b"0\n" * 250)),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_archive_is_made_again(extract: Bench, data: bytes) -> None:
    """Whatever is cut, flipped or appended, the book is sent back; a forged size ends as quickly."""
    began = time.monotonic()
    with pytest.raises((Redo, Reject)) as verdict:
        extract(data)
    assert time.monotonic() - began < 5
    assert verdict.value.reason.isprintable()
    assert isinstance(verdict.value, Redo) or "size" in verdict.value.reason or "kind" in verdict.value.reason


SOUND: dict[str, bytes] = {
    "as it is": PACKED,
    "in two gzip members": gzip.compress(GOOD[:1300]) + gzip.compress(GOOD[1300:]),
    "a gzip member for each byte": b"".join(gzip.compress(GOOD[n : n + 1]) for n in range(len(GOOD))),
    "between a thousand empty gzip members": EMPTY * 1000 + PACKED + EMPTY * 1000,
    "padded inside": gzip.compress(GOOD + bytes(8192)),
    "padded outside": PACKED + bytes(5000),
    "with a gzip name and comment": with_header(24, b"a.tar\0by hand\0"),
    "with 64 KiB of extra field": with_header(4, b"\xff\xff" + bytes(65535)),
    "with a checksum of the gzip header": with_header(
        2, struct.pack("<H", zlib.crc32(b"\x1f\x8b\x08\x02" + bytes(6)) & 0xFFFF)
    ),
    "not compressed": gzip.compress(GOOD, 0),
    "in other order": archive(*(entry(name, data) for name, data in reversed(WHOLE.items()))),
    "with an end of one block": gzip.compress(GOOD[:-512]),
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_a_strangely_packed_archive_is_whole(extract: Bench, data: bytes) -> None:
    """Every way of packing that loses nothing gives the same members."""
    assert extract(data)["warnings"] == []
    assert extract.members() == WHOLE


def test_every_cut_is_found(extract: Bench) -> None:
    """The archive cut at every single byte is never taken for whole."""
    for length in range(len(PACKED)):
        with pytest.raises(Redo):
            extract(PACKED[:length])


def test_every_flipped_byte_is_found(extract: Bench) -> None:
    """One bit flipped at every single byte: refused, or the members are the true ones (the header's time, say)."""
    refused = 0
    for place in range(len(PACKED)):
        try:
            extract(flipped(PACKED, place))
        except (Redo, Reject):
            refused += 1
        else:
            assert extract.members() == WHOLE
    assert refused >= len(PACKED) - 10


def test_random_damage_never_passes(extract: Bench) -> None:
    """60 archives with a wrong byte somewhere in the tar: each is refused, or all its members are the true ones."""
    chance = random.Random(7)
    refused = 0
    for _ in range(60):
        damaged = bytearray(GOOD)
        damaged[chance.randrange(len(GOOD))] = chance.randrange(256)
        try:
            extract(gzip.compress(bytes(damaged), 1))
        except (Redo, Reject):
            refused += 1
        else:
            found = extract.members()
            assert {name: found[name] for name in MEMBERS} == MEMBERS
    assert refused > 10
