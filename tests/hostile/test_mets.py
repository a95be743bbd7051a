"""METS files made to fill the memory or the time: each of the largest size that is looked at."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.mets import MAX_BYTES
from tests.helpers import measured

HEAD, TAIL = b'<mets xmlns:x="u">', b"</mets>"
ROOM = MAX_BYTES - 100
PARSE = """
import sys
from pathlib import Path
from common.mets import MetsError, parse
try:
    parse(Path(sys.argv[1]).read_bytes())
    print("it is read")
except MetsError as error:
    print(error)
"""


def full(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """The same piece until there is no more room."""
    return HEAD + before + piece * ((ROOM - len(before + after)) // len(piece)) + after + TAIL


def each(piece: Callable[[int], bytes]) -> bytes:
    """Pieces that are all different, until there is no more room."""
    return HEAD + b"".join(piece(number) for number in range(ROOM // len(piece(10**6)))) + TAIL


TOO_MUCH, NAMES = "it lists more than any book has", "it has more than 10000 different names"
DOCUMENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "files": (lambda: full(b"<FLocat/>"), TOO_MUCH),
    "pages": (lambda: full(b'<div TYPE="page"/>'), TOO_MUCH),
    "tags of a page": (lambda: full(b'<div TYPE="page" ADMID="' + b"aa " * 80_000 + b'"/>'), TOO_MUCH),
    "wide letters": (
        lambda: full(b'<div TYPE="page" ORDERLABEL="' + b"a" * 200_000 + "\U0001f600".encode() + b'"/>'),
        TOO_MUCH,
    ),
    "pages' files": (
        lambda: full(b'<fptr FILEID="i"/>', b'<file ID="i"><FLocat href="n"/></file><div TYPE="page"/>'),
        "it is read",
    ),
    "text": (lambda: full(b"a&lt;\n", b"<readingOrder>", b"</readingOrder>"), "it is read|" + TOO_MUCH),
    "lines": (lambda: full(b"\n", b"<readingOrder>", b"</readingOrder>"), TOO_MUCH),
    "elements of a record": (lambda: full(b"<a/>", b"<record>", b"</record>"), TOO_MUCH),
    "records": (lambda: full(b"<record><a>b</a></record>"), "it is read"),
    "attributes": (
        lambda: full(b"<a " + b" ".join(b'a%d=""' % n for n in range(25_000)) + b"/>"),
        NAMES,
    ),
    "names of elements": (lambda: each(lambda n: b"<a%d/>" % n), NAMES),
    "names of attributes": (lambda: each(lambda n: b'<a b%d=""/>' % n), NAMES),
    "namespaces": (lambda: each(lambda n: b'<a xmlns:p%d="u%d"/>' % (n, n)), NAMES),
    "one attribute": (lambda: full(b"x", b'<a b="', b'"/>'), "it has a tag of more than 256 KiB"),
    "one comment": (lambda: full(b"x", b"<!--", b"-->"), "it has a tag of more than 256 KiB"),
    "one name": (lambda: full(b"x", b"<", b"/>"), "it has a tag of more than 256 KiB"),
    "comments": (lambda: full(b"<!---->"), "it is read"),
    "depth": (lambda: full(b"<a>"), "it is nested deeper than 100 elements"),
    "UTF-16": (lambda: (HEAD + b"<FLocat/>" * 900_000 + TAIL).decode().encode("utf-16"), TOO_MUCH),
    "blanks": (lambda: b" " * ROOM, "it is not well-formed XML"),
}


@pytest.mark.parametrize(("make", "outcome"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_no_mets_fills_memory_or_time(tmp_path: Path, make: Callable[[], bytes], outcome: str) -> None:
    """Sixteen megabytes of anything: under 120 MB with the file itself, in seconds, with a reason or read."""
    path = tmp_path / "mets.xml"
    path.write_bytes(make())
    assert MAX_BYTES / 2 < path.stat().st_size <= MAX_BYTES
    began = time.monotonic()
    done, peak = measured([sys.executable, "-c", PARSE, str(path)])
    assert done.returncode == 0, done.stderr
    assert any(done.stdout.startswith(one) for one in outcome.split("|")), done.stdout
    assert peak < 120
    assert time.monotonic() - began < 20
