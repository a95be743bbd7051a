"""catalogue_record: the library's own MARC record of the book, found by its barcode, as `<BARCODE>.catalogue.xml`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

from common.errors import Halt
from services.modifier.modification import Book, Facts, Members, Modification, Strictness, weigh
from services.modifier.modifications.catalogue_index import CatalogueIndex, objection
from services.modifier.modifications.catalogue_xml import CatalogueError, first_record
from services.modifier.modifications.marcxml import RecordError, cleaned, marcxml

_FIELD = re.compile(r"(?P<tag>[0-9A-Za-z]{3})(\$(?P<code>[!-~]))?")
_CURE = "Is the place mounted? The stage goes on by itself when the catalogue is there."


class Options(Strictness):
    """Where the catalogue lies, and where in its records the barcode stands: `876$p`, or `001` for a control field."""

    path: Path
    field: str = ""
    pairtree: bool = False


# All modifications of a worker are made anew for each book; what it knows of the files stays.
_INDEXES: dict[tuple[Path, str], CatalogueIndex] = {}
# Catalogues that were fine when the worker began: what becomes of them later is for `apply` to halt on.
_FINE: set[Options] = set()


class CatalogueRecord(Modification):
    """A record that is not there, or is none, is a warning; a catalogue that cannot be read halts the stage."""

    model: ClassVar[type[Options]] = Options

    def check(self) -> list[str]:
        """Say what is wrong with the options, and with the catalogue as far as a glance tells."""
        if problems := super().check():
            return problems
        options = self._chosen()
        if options not in _FINE and not (problems := list(_problems(options))):
            _FINE.add(options)
        return problems

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return ("catalogue.xml",)

    def apply(self, members: Members, book: Book) -> Facts:
        """Write the sidecar, if the catalogue knows the book."""
        document, warnings = _document(self._chosen(), book.barcode)
        weighed = weigh(warnings, self.options)
        if document:
            members.sidecar(f"{book.barcode}.catalogue.xml", document)
        return {"warnings": weighed}

    def _chosen(self) -> Options:
        options = Options.model_validate(self.options)
        return options.model_copy(update={"path": self.base / options.path})


def _document(options: Options, barcode: str) -> tuple[bytes, list[str]]:
    """The MARCXML, empty where there is none, and warnings."""
    try:
        record, warnings = _found(options, barcode)
        if record is None:
            return b"", warnings
        clean, oddities = cleaned(record)
    except (CatalogueError, RecordError) as error:
        return b"", [f"The catalogue's record of {barcode} cannot be read: {error}."]
    return marcxml(clean), [*warnings, *(f"In the catalogue: {oddity}" for oddity in oddities)]


def _problems(options: Options) -> Iterator[str]:
    path = options.path
    if not path.exists():
        yield f"The catalogue {path} is not there."
    elif path.is_dir():
        if options.field:
            yield f"The option field is for a file of many records; {path} is a folder, where file names tell."
    elif options.pairtree:
        yield f"The option pairtree is for a folder, and {path} is none."
    elif not _FIELD.fullmatch(options.field):
        yield "The option field should be a tag and a subfield, such as 876$p, or a control field, such as 001."
    elif against := objection(path):
        yield f"The catalogue {path} cannot be read: {against}."


def _found(options: Options, barcode: str) -> tuple[Element | None, list[str]]:
    missing = [f"The catalogue has no record of {barcode}."]
    if options.path.is_dir():
        record = _from_folder(options, barcode)
        return record, [] if record is not None else missing
    record, count = _index(options).find(barcode)
    if record is None:
        return None, missing
    return record, [f"The catalogue has {count} records of {barcode}; the first is taken."] if count > 1 else []


def _index(options: Options) -> CatalogueIndex:
    key = (options.path, options.field)
    if key not in _INDEXES:
        match = _FIELD.fullmatch(options.field)
        _INDEXES[key] = CatalogueIndex(
            options.path, match["tag"] if match else "", (match["code"] or "") if match else ""
        )
    return _INDEXES[key]


def _from_folder(options: Options, barcode: str) -> Element | None:
    places = _in_pairtree(options.path, barcode) if options.pairtree else [options.path / f"{barcode}.xml"]
    try:
        if path := next(filter(Path.is_file, places), None):
            with path.open("rb") as file:
                if (record := first_record(file)) is None:
                    raise CatalogueError(f"there is no record in {path}")
                return record
        with os.scandir(options.path) as entries:
            is_empty = next(entries, None) is None
    except OSError as error:
        raise Halt(f"The catalogue {options.path} cannot be read: {error.strerror}.", _CURE) from error
    if is_empty:
        raise Halt(f"The catalogue {options.path} is an empty folder.", _CURE)
    return None


def _in_pairtree(root: Path, barcode: str) -> list[Path]:
    """Pairs of characters lead to an object's folder; a dot cannot stand in their names."""
    name = barcode.replace(".", ",")
    inner = root / "pairtree_root"
    pairs = (inner if inner.is_dir() else root).joinpath(*(name[at : at + 2] for at in range(0, len(name), 2)))
    return [pairs / name / f"{barcode}.xml", pairs / name / f"{name}.xml", pairs / f"{barcode}.xml"]
