"""An index of one large file of MARC records: made once a worker, on the disk, and anew when the file has changed."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element

from common.errors import Halt
from services.modifier.modifications import catalogue_marc, catalogue_xml
from services.modifier.modifications.catalogue_xml import CatalogueError, Spotter

_HEAD = 1 << 16
_KIB_OF_CACHE = 4_096
_MEND = "Put a whole one in its place, by a rename; the stage goes on by itself."
_BOMS = (b"\xff\xfe", b"\xfe\xff")

Identity = tuple[int, int, int, int]


@dataclass
class _State:
    """What is known of the file as it was: where the records begin, or why that cannot be known."""

    identity: Identity
    flaw: str = ""
    encoding: str | None = None
    is_xml: bool = True
    offsets: sqlite3.Connection | None = field(default=None, repr=False)


class CatalogueIndex:
    """Records of one file by the barcodes in a field: `tag` and subfield `code`, which is empty for a control field."""

    def __init__(self, path: Path, tag: str, code: str) -> None:
        self.path, self.tag, self.code = path, tag, code
        self._state: _State | None = None

    def find(self, barcode: str) -> tuple[Element | None, int]:
        """The first record with the barcode, and how many there are; Halt when the file cannot be read as a whole.

        CatalogueError when it is only this record that cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                state = self._known(file)
                if state.flaw:
                    raise _halt(self.path, state.flaw)
                record, count = _look_up(file, state, barcode)
                self._require_same(file, state.identity)
        except OSError as error:
            raise _halt(self.path, error.strerror or str(error)) from error
        except sqlite3.Error as error:
            cure = "Let TMPDIR name a folder with room for it; the stage goes on by itself."
            raise Halt(f"The index of the catalogue {self.path} cannot be written: {error}.", cure) from error
        if record is not None and barcode not in self._keys(record):
            raise CatalogueError("where it should be there is another's")
        return record, count

    def close(self) -> None:
        """Let go of the index; it is gone from the disk with it."""
        if self._state is not None and self._state.offsets is not None:
            self._state.offsets.close()
        self._state = None

    def _known(self, file: IO[bytes]) -> _State:
        identity = _identity(file)
        if self._state is None or self._state.identity != identity:
            self.close()
            self._state = self._made(file, identity)
        return self._state

    def _made(self, file: IO[bytes], identity: Identity) -> _State:
        state = _State(identity)
        # A nameless database: SQLite keeps it in a file that has no name either, so that nothing is ever left behind.
        state.offsets = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self._fill(file, state, state.offsets)
            self._require_same(file, identity)
        except CatalogueError as error:
            state.flaw = str(error)
        except BaseException:
            state.offsets.close()
            raise
        return state

    def _require_same(self, file: IO[bytes], identity: Identity) -> None:
        if _identity(file) != identity:
            raise Halt(f"The catalogue {self.path} was written to while it was read.", _MEND)

    def _keys(self, record: Element) -> set[str]:
        if not self.code:
            texts = (field.itertext() for field in record.findall(f"controlfield[@tag='{self.tag}']"))
        else:
            fields = (field for field in record.findall("datafield") if field.get("tag") == self.tag)
            subfields = (part for field in fields for part in field.findall("subfield"))
            texts = (part.itertext() for part in subfields if part.get("code") == self.code)
        return {"".join(text).strip() for text in texts}

    def _fill(self, file: IO[bytes], state: _State, offsets: sqlite3.Connection) -> None:
        state.is_xml = is_xml(file.read(_HEAD))
        file.seek(0)
        offsets.execute(f"PRAGMA cache_size = -{_KIB_OF_CACHE}")
        offsets.execute("PRAGMA journal_mode = OFF")
        offsets.execute("CREATE TABLE record (barcode TEXT, offset INTEGER)")
        offsets.execute("BEGIN")
        offsets.executemany("INSERT INTO record VALUES (?, ?)", self._spotted(file, state))
        offsets.execute("CREATE INDEX by_barcode ON record (barcode, offset)")
        offsets.execute("COMMIT")

    def _spotted(self, file: IO[bytes], state: _State) -> Iterator[tuple[str, int]]:
        if state.is_xml:
            spotter = Spotter(self.tag, self.code)
            yield from spotter.spot(file)
            state.encoding = spotter.encoding
        else:
            yield from catalogue_marc.spot(file, self.tag, self.code)


def is_xml(head: bytes) -> bool:
    """Whether the first bytes of a file are MARCXML, and not binary MARC; CatalogueError when they are neither."""
    if head.startswith(b"\x1f\x8b"):
        raise CatalogueError("it is compressed by gzip: unpack it first")
    if head.startswith(_BOMS):
        raise CatalogueError("it is in UTF-16: let it be in UTF-8")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        elements = set(catalogue_xml.heads(head))
        if not elements & {"collection", "record"}:
            raise CatalogueError("it is XML, but no MARCXML: there is no collection and no record where it begins")
        return True
    if len(text) >= 24 and text[:5].isdigit() and text[12:17].isdigit():
        return False
    raise CatalogueError("it is neither MARCXML nor binary MARC" if head else "it is empty")


def objection(path: Path) -> str:
    """What is wrong with a file by its first bytes; empty when nothing is."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "it is neither a folder nor a file"
        with path.open("rb") as file:
            is_xml(file.read(_HEAD))
    except CatalogueError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _look_up(file: IO[bytes], state: _State, barcode: str) -> tuple[Element | None, int]:
    assert state.offsets is not None
    query = "SELECT min(offset), count(*) FROM record WHERE barcode = ?"
    with closing(state.offsets.execute(query, (barcode,))) as cursor:
        offset, count = cursor.fetchone()
    if offset is None:
        return None, 0
    file.seek(offset)
    record = catalogue_xml.first_record(file, state.encoding) if state.is_xml else catalogue_marc.first_record(file)
    return record, count


def _identity(file: IO[bytes]) -> Identity:
    figures = os.fstat(file.fileno())
    return figures.st_dev, figures.st_ino, figures.st_size, figures.st_mtime_ns


def _halt(path: Path, reason: str) -> Halt:
    return Halt(f"The catalogue {path} cannot be read: {reason}.", _MEND)
