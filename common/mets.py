"""Google's METS, read in one pass that keeps what the stages need and lets the rest go by.

A document type declaration is refused where it begins, so that no entity is ever defined, expanded or fetched; and what
is kept of a METS, its longest tag and the variety of its names have limits, so that none can fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from common.manifest import Members

# Google's METS have about 2.5 kB a page.
MAX_BYTES = 16 << 20
MARC_NAMESPACE = "http://www.loc.gov/MARC21/slim"
_MAX_DEPTH = 100
# A record has three levels; writing one out again takes a call for each.
_MAX_RECORD_DEPTH = 16
_CHUNK = 64 << 10
_MAX_TAG = 256 << 10
_MAX_NAMES = 10_000
# What may be kept, in bytes of memory where letters take one; and what Python adds to each text and object.
_MAX_KEPT = 12 << 20
_PER_TEXT, _PER_OBJECT = 50, 200
_MD5 = re.compile(r"[0-9a-f]{32}")
_ROOT = "mets"


class MetsError(Exception):
    """The METS cannot be read; the message says why."""


class DoctypeError(MetsError):
    """The METS has a document type declaration, which Google's never have and attacks on XML readers need."""


@dataclass(frozen=True)
class MetsFile:
    """One file of the METS; size in bytes and MD5 are None where it does not give them."""

    name: str
    use: str
    size: int | None
    md5: str | None


@dataclass
class MetsPage:
    """One page of the structural map: its ORDER (None where it says none), the printed label, Google's tags.

    `files` are the names of its image, text and hOCR as the METS lists them.
    """

    order: int | None
    label: str
    tags: tuple[str, ...]
    files: list[str] = field(default_factory=list)


@dataclass
class Mets:
    """What a METS says of its book. `record` is the MARC record, its tags without namespaces; None when empty."""

    object_id: str = ""
    created: str = ""
    """When Google made the archive, as the METS writes it; it names no time zone."""
    files: list[MetsFile] = field(default_factory=list)
    structure: list[MetsPage] = field(default_factory=list)
    """The pages of the structural map, in its order."""
    reading_order: str = ""
    """left-to-right or right-to-left; empty where nothing is said."""
    page_count: int | None = None
    """The page count among the PREMIS properties."""
    record: Element | None = None

    @property
    def pages(self) -> int:
        """Pages in the structural map."""
        return len(self.structure)


@dataclass(frozen=True)
class Comparison:
    """A METS held against the members that are there; each tuple has names in the METS's order."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unlisted: tuple[str, ...]
    without_hocr: tuple[str, ...]
    """hOCR that is listed but was never in the archive: some old books are so."""


def among(names: Sequence[str], head: Callable[[str, int], bytes]) -> str | None:
    """Which of these members is the METS: the first that begins like one, or the first, so that an error names it.

    `head` gives so many of the first bytes of a member; it is asked only where there are several.
    """
    if len(names) > 1:
        return next((name for name in names if _begins_like_one(head(name, _CHUNK))), names[0])
    return next(iter(names), None)


def _begins_like_one(head: bytes) -> bool:
    roots: list[str] = []
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = lambda tag, _attributes: roots.append(_local(tag))
    # The root may have come before the error.
    with suppress(expat.ExpatError, ValueError, LookupError):
        parser.Parse(head, False)
    return roots[:1] == [_ROOT]


def parse(data: bytes) -> Mets:
    """Read a METS; MetsError when it is not well-formed, is no METS, too large or has a document type declaration."""
    if len(data) > MAX_BYTES:
        raise MetsError(f"it is larger than {MAX_BYTES >> 20} MiB")
    target = _Target()
    names: dict[str, str] = {}
    parser = target.parser(names)
    try:
        for start in range(0, len(data), _CHUNK):
            parser.Parse(data[start : start + _CHUNK], False)
            # What has been given and not been used is an unfinished tag.
            if start + _CHUNK - parser.CurrentByteIndex > _MAX_TAG:
                raise MetsError(f"it has a tag of more than {_MAX_TAG >> 10} KiB")
            if len(names) > _MAX_NAMES:
                raise MetsError(f"it has more than {_MAX_NAMES} different names")
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise MetsError(f"it is not well-formed XML: {error}") from None
    return target.mets


def compare(mets: Mets, members: Members, folder: str = "") -> Comparison:
    """Hold the METS's file list against members; `folder` is where in the archive the METS lies, with a slash."""
    missing: list[str] = []
    changed: list[str] = []
    without_hocr: list[str] = []
    for file in mets.files:
        member = members.get(folder + file.name)
        if member is None:
            (without_hocr if file.use == "coordOCR" else missing).append(file.name)
        elif file.size not in {None, member.size} or file.md5 not in {None, member.md5}:
            changed.append(file.name)
    listed = {folder + file.name for file in mets.files}
    unlisted = tuple(sorted(set(members) - listed))
    return Comparison(tuple(missing), tuple(changed), unlisted, tuple(without_hocr))


class _Target:
    """Receives the parser's events."""

    def __init__(self) -> None:
        self.mets = Mets()
        self._use = ""
        self._names: dict[str, str] = {}
        self._file: Mapping[str, str] = {}
        self._text: list[str] | None = None
        self._property = ""
        self._record: TreeBuilder | None = None
        self._depth = 0
        self._level = 0
        self._kept = 0

    def parser(self, names: dict[str, str]) -> expat.XMLParserType:
        """A parser that tells this target; every name that it meets is in `names`."""
        parser = expat.ParserCreate(namespace_separator="}", intern=names)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self.doctype
        parser.StartNamespaceDeclHandler = self.namespace
        parser.StartElementHandler = self.start
        parser.CharacterDataHandler = self.data
        parser.EndElementHandler = self.end
        return parser

    def doctype(self, *_about: object) -> None:
        raise DoctypeError("it has a document type declaration")

    def namespace(self, *_about: object) -> None:
        """Nothing to do: with this the parser puts prefixes among the names."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        local = _local(tag)
        self._descend(local)
        if self._record is not None or self._opens_record(tag, local):
            self._start_record(local, attributes)
        elif local == _ROOT:
            self.mets.object_id = attributes.get("OBJID", "")
        elif local == "fileGrp":
            self._use = attributes.get("USE", "")
        elif local == "file":
            self._file = attributes
        elif local == "FLocat":
            self._add_file(attributes)
        elif local == "div" and attributes.get("TYPE") == "page":
            self._add_page(attributes)
        elif local == "fptr" and self.mets.structure and attributes.get("FILEID") in self._names:
            self.mets.structure[-1].files.append(self._names[attributes["FILEID"]])
        elif local == "metsHdr":
            self.mets.created = attributes.get("CREATEDATE", "")
        # The type comes first, its value in the next element.
        elif local.startswith("significantProperties") or local == "readingOrder":
            self._text = []

    def data(self, text: str) -> None:
        if self._record is not None:
            self._keep(0, text)
            self._record.data(text)
        elif self._text is not None:
            self._keep(0, text)
            self._text.append(text)

    def end(self, tag: str) -> None:
        self._level -= 1
        if self._record is not None:
            self._end_record(_local(tag))
        elif self._text is not None:
            self._end_property(_local(tag), "".join(self._text).strip())

    def _descend(self, local: str) -> None:
        self._level += 1
        if self._level == 1 and local != _ROOT:
            raise MetsError(f"it is no METS, its root is <{local[:50]}>")
        if self._level > _MAX_DEPTH:
            raise MetsError(f"it is nested deeper than {_MAX_DEPTH} elements")

    def _keep(self, objects: int, *texts: str) -> None:
        self._kept += _PER_OBJECT * objects + sum(map(len, texts)) + _PER_TEXT * len(texts)
        if self._kept > _MAX_KEPT:
            raise MetsError("it lists more than any book has")

    def _add_file(self, attributes: dict[str, str]) -> None:
        name = next((value for key, value in attributes.items() if _local(key) == "href"), "")
        size, md5 = self._file.get("SIZE", ""), self._file.get("CHECKSUM", "").lower()
        is_md5 = self._file.get("CHECKSUMTYPE", "MD5").upper() == "MD5" and _MD5.fullmatch(md5)
        # int() refuses digits by the thousand with an error of its own.
        known_size = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else None
        file_id = self._file.get("ID", "")
        self._keep(1, name, file_id, md5)
        self.mets.files.append(MetsFile(name.removeprefix("./"), self._use, known_size, md5 if is_md5 else None))
        self._names[file_id] = self.mets.files[-1].name

    def _add_page(self, attributes: dict[str, str]) -> None:
        order, tags = attributes.get("ORDER", ""), attributes.get("ADMID", "")
        number = int(order) if order.isascii() and order.isdigit() and len(order) < 10 else None
        page = MetsPage(number, attributes.get("ORDERLABEL", ""), tuple(tags.split()))
        self._keep(1, page.label, *page.tags)
        self.mets.structure.append(page)

    def _end_property(self, local: str, text: str) -> None:
        if local == "significantPropertiesType":
            self._property = text.lower()
        elif local == "readingOrder":
            self.mets.reading_order = text
        elif local == "significantPropertiesValue" and self._property == "page count" and text.isdecimal():
            self.mets.page_count = int(text[:9])
        self._text = None

    def _opens_record(self, tag: str, local: str) -> bool:
        return local == "record" and tag in {local, f"{MARC_NAMESPACE}}}{local}"} and self.mets.record is None

    def _start_record(self, local: str, attributes: dict[str, str]) -> None:
        self._record = self._record or TreeBuilder()
        self._depth += 1
        if self._depth > _MAX_RECORD_DEPTH:
            raise MetsError("its MARC record is nested too deep")
        plain = {key: value for key, value in attributes.items() if "}" not in key}
        self._keep(1, local, *plain, *plain.values())
        self._record.start(local, plain)

    def _end_record(self, local: str) -> None:
        assert self._record is not None
        self._record.end(local)
        self._depth -= 1
        if self._depth == 0:
            record = self._record.close()
            self.mets.record = record if len(record) else None
            self._record = None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
