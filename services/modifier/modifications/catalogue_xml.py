"""MARCXML by the megabyte: where each barcode's record begins, and one record read from there.

Namespaces are not looked at, so that a record can be read without the declarations at the top of its file. A document
type declaration is refused where it begins, so that no entity is ever defined, expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

CHUNK = 1 << 20
# A record of 4 MiB would be a serial with 20,000 volumes.
MOST_RECORD = 4 << 20
_MOST_DEPTH = 16
_MOST_KEY = 1_000


class CatalogueError(Exception):
    """The catalogue, or a record of it, cannot be read; the message says why."""


class Spotter:
    """Finds the barcodes in a stream of MARCXML, and the byte at which the record of each begins."""

    def __init__(self, tag: str, code: str) -> None:
        self.encoding: str | None = None
        """As the file declares it."""
        self._tag, self._code = tag, code
        self._kind = "subfield" if code else "controlfield"
        self._in_field = False
        self._offset = 0
        self._text: list[str] | None = None
        self._found: list[tuple[str, int]] = []
        self._parser = _parser()
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartElementHandler = self._start

    def spot(self, file: IO[bytes]) -> Iterator[tuple[str, int]]:
        """Barcodes with their records' offsets, in the file's order; CatalogueError when it is no XML."""
        fed = 0
        while chunk := file.read(CHUNK):
            self._feed(chunk)
            fed += len(chunk)
            # What has been fed and not been used is an unfinished tag.
            if fed - self._parser.CurrentByteIndex > MOST_RECORD:
                raise CatalogueError(f"it has a tag of more than {MOST_RECORD >> 20} MiB")
            yield from self._found
            self._found.clear()
        self._feed(b"", last=True)
        self._close_key()
        yield from self._found

    def _feed(self, chunk: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(chunk, last)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise CatalogueError(f"it is not well-formed XML: {error}") from None

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self.encoding = encoding

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        # Without a handler of ends, which would take as long again: what is open ends where something else begins.
        if self._text is not None:
            self._close_key()
        local = _local(tag)
        if local == "datafield":
            self._in_field = attributes.get("tag") == self._tag
        elif local == "record":
            self._offset, self._in_field = self._parser.CurrentByteIndex, False
        elif local == self._kind and self._is_key(attributes):
            self._text = []
            self._parser.CharacterDataHandler = self._data

    def _is_key(self, attributes: Mapping[str, str]) -> bool:
        if self._code:
            return self._in_field and attributes.get("code") == self._code
        return attributes.get("tag") == self._tag

    def _data(self, text: str) -> None:
        if self._text is not None and sum(map(len, self._text)) < _MOST_KEY:
            self._text.append(text)

    def _close_key(self) -> None:
        key = "".join(self._text or ()).strip()
        self._text, self._parser.CharacterDataHandler = None, None
        if key:
            self._found.append((key, self._offset))


def first_record(file: IO[bytes], encoding: str | None = None) -> Element | None:
    """The first record from where the file stands, its tags without namespaces; None when there is none."""
    builder = _Builder(encoding)
    size = 0
    while not builder.is_done and (chunk := file.read(CHUNK >> 4)):
        size += len(chunk)
        if size > MOST_RECORD:
            raise CatalogueError(f"it is larger than {MOST_RECORD >> 20} MiB")
        builder.feed(chunk)
    if not builder.is_done:
        builder.feed(b"", last=True)
    return builder.record


class _Builder:
    """Builds the innermost record: OAI wraps one of MARC into one of its own."""

    def __init__(self, encoding: str | None) -> None:
        self.record: Element | None = None
        self._tree: TreeBuilder | None = None
        self._depth = 0
        self._parser = _parser(encoding)
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data

    @property
    def is_done(self) -> bool:
        return self.record is not None

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(chunk, last)
        except (expat.ExpatError, ValueError, LookupError) as error:
            # Behind the record comes the rest of the file, of which nothing is asked.
            if not self.is_done:
                raise CatalogueError(f"it is not well-formed XML: {error}") from None

    def _start(self, tag: str, attributes: dict[str, Any]) -> None:
        local = _local(tag)
        if self.is_done:
            return
        if local == "record":
            self._tree, self._depth = TreeBuilder(), 0
        if self._tree is not None:
            self._depth += 1
            if self._depth > _MOST_DEPTH:
                raise CatalogueError("it is nested too deep")
            self._tree.start(local, {key: value for key, value in attributes.items() if ":" not in key})

    def _data(self, text: str) -> None:
        if self._tree is not None and not self.is_done:
            self._tree.data(text)

    def _end(self, tag: str) -> None:
        if self._tree is None or self.is_done:
            return
        self._tree.end(_local(tag))
        self._depth -= 1
        if self._depth == 0:
            self.record = self._tree.close()


def heads(chunk: bytes) -> Iterable[str]:
    """The local names of the elements that begin in the first bytes of a file; CatalogueError when it is no XML."""
    found: list[str] = []
    parser = _parser()
    parser.StartElementHandler = lambda tag, _attributes: found.append(_local(tag))
    try:
        parser.Parse(chunk, False)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise CatalogueError(f"it is not well-formed XML: {error}") from None
    return found


def _parser(encoding: str | None = None) -> expat.XMLParserType:
    parser = expat.ParserCreate(encoding)
    parser.StartDoctypeDeclHandler = _refuse
    return parser


def _refuse(*_declaration: object) -> None:
    raise CatalogueError("it has a document type declaration, which attacks on XML readers need")


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]
