"""Puts single books into a library: made ones, and any tar.gz from elsewhere."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from simulator.archive import cut
from simulator.book import MadeBook, make_book
from simulator.cipher import Cipher
from simulator.knobs import Knobs
from simulator.records import BookRecord, Fixity, dates_record
from simulator.shelf import Library


@dataclass(frozen=True)
class Order:
    """A book to be made."""

    barcode: str
    pages: int
    knobs: Knobs = field(default_factory=Knobs)


def add_book(
    library: Library, barcode: str, passphrase: str, *, pages: int = 10, knobs: Knobs | None = None
) -> BookRecord:
    """Makes one more book in the library."""
    with Cipher() as cipher:
        return bind(library, Order(barcode, pages, knobs or Knobs()), passphrase, cipher)


def add_archive(library: Library, barcode: str, tar_gz: bytes | Path, passphrase: str) -> BookRecord:
    """Puts any tar.gz into the library, encrypted, with a record of its regular members."""
    data = tar_gz if isinstance(tar_gz, bytes) else tar_gz.read_bytes()
    with Cipher() as cipher:
        cipher.encrypt(data, library.archive(barcode), passphrase)
    members = _members(data)
    pages = sum(name.endswith((".tif", ".jp2")) for name in members)
    gpg = Fixity.of_file(library.archive(barcode))
    record = BookRecord(barcode, library.name, f"Archive {barcode}", pages, members, Fixity.of(data), gpg)
    record.write(library.records)
    return record


def bind(library: Library, order: Order, passphrase: str, cipher: Cipher) -> BookRecord:
    """Makes the book of an order, encrypts it and records it."""
    book = make_book(order.barcode, library=library.name, seed=library.seed, pages=order.pages, knobs=order.knobs)
    _encrypt(book, library.archive(order.barcode), passphrase, cipher)
    record = BookRecord(
        book.barcode,
        library.name,
        book.title,
        book.pages,
        {name: Fixity.of(data) for name, data in sorted(book.members.items())},
        Fixity.of(book.tar_gz),
        Fixity.of_file(library.archive(order.barcode)),
        book.knobs.given(),
        book.knobs.poison,
        dates_record(book.dates),
    )
    record.write(library.records)
    return record


def _encrypt(book: MadeBook, target: Path, passphrase: str, cipher: Cipher) -> None:
    key = f"not {passphrase}" if book.knobs.wrong_passphrase else passphrase
    cipher.encrypt(book.tar_gz, target, key, mdc=not book.knobs.no_mdc)
    if book.knobs.cut_gpg:
        target.write_bytes(cut(target.read_bytes()))


def _members(tar_gz: bytes) -> dict[str, Fixity]:
    with tarfile.open(fileobj=io.BytesIO(tar_gz), mode="r:gz") as archive:
        opened = ((entry.name, archive.extractfile(entry)) for entry in archive if entry.isfile())
        return {name: Fixity.of(file.read()) for name, file in opened if file}
