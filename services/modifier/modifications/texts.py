"""The text of a page in pieces of moderate size, however large the page is."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from common.shelves import CHUNK
from services.modifier.modification import Members


def pieces(members: Members, name: str | None) -> Iterator[str]:
    """A member's text, bytes that are not UTF-8 as U+FFFD; nothing where there is no member."""
    if name is None:
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    # What is read whole is kept, for there may be others that ask for it.
    small = members.size(name) <= CHUNK
    for chunk in (members.read(name),) if small else members.chunks(name):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)
