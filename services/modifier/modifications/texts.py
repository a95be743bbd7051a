"""The text of a page in pieces of moderate size, however large the page is."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from common.shelves import CHUNK
from services.modifier.modification import Members


def pieces(members: Members, name: str | None) -> Iterator[str]:
    """A member's text, bytes that are not UTF-8 as U+FFFD; nothing where there is no member."""
    if name is None:
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chunk in _chunks(members, name):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def is_utf8(members: Members, name: str) -> bool:
    """Whether a member is UTF-8 from its first byte to its last; all of it is read, and so proven."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    good = True
    for chunk in _chunks(members, name):
        good = good and _decodes(decoder, chunk)
    return good and _decodes(decoder, b"", final=True)


def _chunks(members: Members, name: str) -> Iterable[bytes]:
    # What is read whole is kept, for there may be others that ask for it.
    return (members.read(name),) if members.size(name) <= CHUNK else members.chunks(name)


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True
