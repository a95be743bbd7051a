"""Archives and METS files with something wrong in them, the same ones for the same seed; run as a process of its own.

    python -m tests.hostile.fuzz archives|mets <how many> <seed> <folder with the members of a true book in book/>

Prints how often each outcome came, as JSON. Anything but a success, a StageError or a MetsError ends it with a
traceback; fifty cases that take longer than LONGEST seconds, a file outside and one that is not plain end it too.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import signal
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from encodings.aliases import aliases
from pathlib import Path
from types import FrameType

from common.errors import StageError
from common.mets import MetsError, parse
from tests.hostile.archives import BARCODE, entry, extended, patched, record
from tests.hostile.conftest import Bench

LONGEST = 60
"""Seconds that fifty cases may take on a busy machine; the extractor is given a tenth of it for one."""
ODD = (b"", b"\0", b"\xff", b"/", b"../", b"\x80" + b"\xff" * 7, b"-1", b"77777777777", b"99999999999", b" ", b"\n")
FIELDS = (
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 8),
    (329, 8),
    (345, 155),
)
KINDS = b"\0001234567xgLKSNVMDAZX\xff"
KEYS = (
    "path",
    "linkpath",
    "size",
    "uid",
    "mtime",
    "hdrcharset",
    "GNU.sparse.map",
    "GNU.sparse.major",
    "GNU.sparse.name",
    "",
)
VALUES = ("", "a", "../a", "/a", "-1", "9" * 30, "1,2,3", "BINARY", "00000001.txt", "nan", "a\0b", "é", "0" * 5000)
DOCTYPES = (
    b"<!DOCTYPE m [<!ENTITY a 'b'><!ENTITY c '&a;&a;&a;&a;'>]>",
    b"<!DOCTYPE m SYSTEM 'file:///etc/passwd'>",
    b"<!DOCTYPE m [<!ENTITY % a SYSTEM 'file:///etc/passwd'>%a;]>",
    b"<!DOCTYPE",
)
MARKS = (
    *b"&c; &lt; &#0; &#x10ffff; <![CDATA[ ]]> <!-- --> <?a?> <record> </record>".split(),
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b", b'"', b"<", b">"),
)
TOKENS = (
    *MARKS,
    b"<?xml version='1.0' encoding='utf-16'?>",
    b"<a>" * 500,
    b'<a b="' + b"c" * 5000,
    b'<div TYPE="page" ORDER="' + b"9" * 5000 + b'"/>',
    b'<a xmlns="b" xmlns:c="d" c:e="f"/>',
    b' x="1"' * 300,
)
CODECS = sorted({*aliases.values(), "klingon", "utf-8-sig", "idna", "undefined", ""})


def flip(chance: random.Random, data: bytes) -> bytes:
    """A few bytes are others."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def cut(chance: random.Random, data: bytes) -> bytes:
    """It ends too early."""
    return data[: chance.randrange(len(data) + 1)]


def splice(chance: random.Random, data: bytes) -> bytes:
    """A piece is missing, doubled, of zeros, or somewhere else."""
    unit = chance.choice((1, 1, 16, 512))
    a, b = sorted(chance.randrange(len(data) // unit + 1) * unit for _ in range(2))
    piece = data[a : min(b, a + 64 * unit)]
    rest = data[:a] + data[a + len(piece) :]
    where = chance.randrange(len(rest) // unit + 1) * unit
    return chance.choice((rest, data[:a] + piece * 2 + data[a:], data[:a] + bytes(len(piece)) + data[a + len(piece) :],
                          rest[:where] + piece + rest[where:]))  # fmt: skip


def append(chance: random.Random, data: bytes) -> bytes:
    """Something follows."""
    return data + chance.choice((data, bytes(chance.randrange(2000)), chance.randbytes(600), b"\x1f\x8b", data[:99]))


def header(chance: random.Random, data: bytes) -> bytes:
    """A tar header says something else, and its checksum agrees."""
    places = [place for place in range(0, len(data) - 511, 512) if data[place + 257 : place + 262] == b"ustar"]
    if not places:
        return data
    place = chance.choice(places)
    start, size = chance.choice(FIELDS)
    new = chance.choice((*ODD, chance.randbytes(size), bytes([chance.choice(KINDS)])))[:size]
    return data[:place] + patched(data[place : place + 512], start, new) + data[place + 512 :]


def inserted(chance: random.Random, data: bytes) -> bytes:
    """An extended header, a long name or another member comes in between."""
    place = chance.randrange(len(data) // 512 + 1) * 512
    records = b"".join(record(chance.choice(KEYS), chance.choice(VALUES)) for _ in range(chance.randint(1, 4)))
    block = chance.choice((
        extended(records), extended(flip(chance, records)), extended(records, tarfile.XGLTYPE),
        extended(chance.choice(VALUES).encode(), tarfile.GNUTYPE_LONGNAME),
        entry(chance.choice(VALUES).replace("\0", "")),
    ))  # fmt: skip
    return data[:place] + block + data[place:]


Change = Callable[[random.Random, bytes], bytes]
IN_TAR: Sequence[Change] = (flip, flip, cut, splice, append, header, header, header, inserted, inserted)
IN_GZIP: Sequence[Change] = (flip, cut, splice, append)


def archives(count: int, chance: random.Random, book: dict[str, bytes], folder: Path) -> Counter[str]:
    """Extract so many, in either layout."""
    folder.mkdir()
    benches = [Bench(folder / layout, folder / f"{layout}.yaml", layout) for layout in ("files", "tar")]
    tars = [b"".join(entry(*item) for item in book.items()) + bytes(1024)]
    tars.append(b"".join(entry(name, data) for name, data in book.items() if name != "checksum.md5") + bytes(1024))
    outcomes: Counter[str] = Counter()
    for number in range(count):
        data, bench = chance.choice(tars), benches[number % 2]
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            data = chance.choice(IN_TAR)(chance, data)
        level = chance.choice((0, 1, 6))
        halves = (data,) if chance.random() < 0.8 else (data[:5000], b"", data[5000:])
        packed = b"".join(gzip.compress(half, level, mtime=0) for half in halves)
        if chance.random() < 0.3:
            packed = chance.choice(IN_GZIP)(chance, packed)
        outcomes[extracted(bench, packed, book)] += 1
        bench.inspect()
    return outcomes


def extracted(bench: Bench, packed: bytes, book: dict[str, bytes]) -> str:
    """The outcome of one archive; what passes has the members of the true one, or fixity has nothing to say of them."""
    try:
        facts = bench(packed, max_seconds=LONGEST / 10)
    except StageError as verdict:
        assert verdict.reason.isprintable()
        return f"{type(verdict).__name__}: {kind_of(verdict.reason)}"
    found = bench.members()
    assert len(found) == facts["members"]
    wrong = [name for name in found if name in book and name[:8].isdecimal() and found[name] != book[name]]
    assert not wrong or facts["warnings"], wrong
    return "success with a warning" if facts["warnings"] else "success"


def kind_of(reason: str) -> str:
    """A reason without what is this archive's own: names and numbers."""
    shown = re.sub(r"member .*(?= (?:is|has|comes) )", "member …", reason)
    shown = re.sub(r"\(.*|beginning with .*|it has the line .*", "…", shown)
    return re.sub(r"\d+", "N", shown).strip()[:80]


def mets(count: int, chance: random.Random, book: dict[str, bytes], _folder: Path) -> Counter[str]:
    """Parse so many."""
    whole = next(data for name, data in book.items() if name.endswith(f"{BARCODE}.xml"))
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        data = whole
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            data = chance.choice((flip, cut, splice, token, valued, valued, multiplied, repeated, encoded))(
                chance, data
            )
        try:
            parse(data)
        except MetsError as error:
            outcomes[f"{type(error).__name__}: {str(error).split(':')[0][:40]}"] += 1
        else:
            outcomes["success"] += 1
    return outcomes


def token(chance: random.Random, data: bytes) -> bytes:
    """Something that XML readers have been attacked with, somewhere."""
    root = max(0, data.find(b"<METS:mets"))
    if chance.random() < 0.3:
        return data[:root] + chance.choice(DOCTYPES) + data[root:]
    place = chance.choice((0, root, chance.randrange(len(data) + 1)))
    return data[:place] + chance.choice(TOKENS) + data[place:]


def valued(chance: random.Random, data: bytes) -> bytes:
    """An attribute says something else, and the whole is as well-formed as before."""
    found = chance.choice([*re.finditer(rb'="([^"]*)"', data)] or [None])
    if found is None:
        return data
    new = chance.choice(
        (b"", b"9" * 5000, b"-1", b"page", b"record", b"&#10;&amp;", b"../../a", b"a " * 9000, b"n" * 90_000)
    )
    return data[: found.start(1)] + new + data[found.end(1) :]


def multiplied(chance: random.Random, data: bytes) -> bytes:
    """An element comes many times, up to two megabytes of it."""
    found = chance.choice([*re.finditer(rb"<([\w:]+)[^<>]*(?:/>|>[^<]*</\1>)", data)] or [None])
    if found is None:
        return data
    times = min(chance.choice((2, 100, 100_000)), 2_000_000 // len(found[0]))
    return data[: found.start()] + found[0] * times + data[found.end() :]


def repeated(chance: random.Random, data: bytes) -> bytes:
    """A piece comes again and again, up to a megabyte of it."""
    a = chance.randrange(len(data) + 1)
    piece = data[a : a + chance.choice((1, 10, 100, 3000))]
    return data[:a] + piece * min(2000, 1_000_000 // max(1, len(piece))) + data[a:]


def encoded(chance: random.Random, data: bytes) -> bytes:
    """Another encoding is declared, and for some it is true."""
    name = chance.choice(CODECS)
    declared = data.replace(b"UTF-8", name.encode(), 1)
    if chance.random() < 0.5:
        return declared
    try:
        return declared.decode("utf-8", "replace").encode(name, "replace")
    except Exception:  # noqa: BLE001 - many of Python's codecs are none of text
        return declared


class Hung(BaseException):
    """A case took too long; nothing in between may take this for an error of its own."""


def _hung(_number: int, _frame: FrameType | None) -> None:
    raise Hung


def main() -> None:
    """Run, and print the outcomes."""
    what, count, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    signal.signal(signal.SIGALRM, _hung)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    book = {path.name: path.read_bytes() for path in sorted((folder / "book").iterdir())}
    run = {"archives": archives, "mets": mets}[what]
    for part in range(0, count, 50):
        began = time.monotonic()
        signal.alarm(LONGEST)
        outcomes += run(min(50, count - part), random.Random(f"{seed} {part}"), book, folder / str(part))
        signal.alarm(0)
        slowest = max(slowest, time.monotonic() - began)
    print(json.dumps({"outcomes": dict(outcomes.most_common()), "slowest_fifty": round(slowest, 2)}))


if __name__ == "__main__":
    main()
