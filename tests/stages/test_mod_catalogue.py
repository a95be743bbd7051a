"""catalogue_record: the library's own record, found by a file's name in a folder or pairtree; what check() says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE
from cataloguing import FIELD, NS, Library, collection, record

from common.stage import Halt, Reject
from services.modifier.modifications.catalogue_record import CatalogueRecord


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """A library that has no catalogue yet."""
    yield Library(tmp_path)
    Library.close()


# --- folders ---


def test_a_folder_has_a_file_for_each_barcode(library: Library) -> None:
    """A bare record and one in a collection are both taken; a book without a file is a warning."""
    bare = record("Bare").replace("<record>", f'<record xmlns="{NS}">')
    library.files({f"{BARCODE}.xml": collection(record("One")), "A.1.xml": bare})
    assert library.ask() == ("One", [])
    assert library.ask("A.1") == ("Bare", [])
    assert library.ask("A2") == (None, ["The catalogue has no record of A2."])
    with pytest.raises(Reject, match="no record of A2"):
        library.ask("A2", strict=True)


@pytest.mark.parametrize(
    "place",
    [
        "pairtree_root/uc/1,/b1/2/uc1,b12/uc1.b12.xml",
        "uc/1,/b1/2/uc1,b12/uc1,b12.xml",
        "pairtree_root/uc/1,/b1/2/uc1.b12.xml",
    ],
)
def test_a_pairtree_is_walked_down(library: Library, place: str) -> None:
    """With the root's own name or without, the file in the object's folder or in that of the last pair."""
    library.files({place: collection(record("In the tree"))})
    assert library.ask("uc1.b12", pairtree=True) == ("In the tree", [])
    assert library.ask("uc1.b13", pairtree=True)[0] is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is not well-formed XML: no element found"),
        ("<record><leader>", "it is not well-formed XML"),
        ("<collection/>", "there is no record in"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><record><leader>&a;</leader></record>', "document type declaration"),
        ("<record><leader>&nbsp;</leader></record>", "undefined entity"),
        ("<record>" + "<a>" * 50, "nested too deep"),
        ("<record><a/></record>", "none of its fields is one of MARC 21"),
        (f"<record><leader>{'x' * (5 << 20)}</leader></record>", "larger than 4 MiB"),
    ],
)
def test_a_record_that_is_none_is_a_warning(library: Library, content: str, why: str) -> None:
    """One bad file among many is that book's matter; under strict it is rejected."""
    library.files({f"{BARCODE}.xml": content})
    title, [warning] = library.ask()
    assert title is None
    assert warning.startswith(f"The catalogue's record of {BARCODE} cannot be read: ")
    assert why in warning
    with pytest.raises(Reject, match="cannot be read"):
        library.ask(strict=True)


def test_no_file_is_read_on_behalf_of_a_record(library: Library, tmp_path: Path) -> None:
    """An external entity is refused before anything is opened."""
    os.mkfifo(tmp_path / "fifo")
    library.files({f"{BARCODE}.xml": f'<!DOCTYPE r [<!ENTITY x SYSTEM "{tmp_path}/fifo">]><record>&x;</record>'})
    assert "document type" in library.ask()[1][0]


def test_an_empty_or_vanished_folder_halts(library: Library) -> None:
    """Where the catalogue is not mounted no book is at fault, and none must go on without its record."""
    library.files({f"{BARCODE}.xml": collection(record("One"))})
    assert library.ask()[0] == "One"
    (library.path / f"{BARCODE}.xml").unlink()
    with pytest.raises(Halt, match="empty folder"):
        library.ask()
    library.path.rmdir()
    with pytest.raises(Halt, match="cannot be read"):
        library.ask()
    library.files({f"{BARCODE}.xml": collection(record("Back"))})
    assert library.ask()[0] == "Back"


# --- check ---


def test_good_options_have_no_problems(library: Library) -> None:
    """A folder alone, and a file with its field."""
    library.file(collection(record("A", "1")))
    assert library.problems(field=FIELD) == []
    library.path.unlink()
    library.files({})
    assert library.problems(pairtree=True, strict=True) == []


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        (None, {}, "is not there"),
        ({}, {"field": FIELD}, "The option field is for a file of many records"),
        (collection(), {"field": FIELD, "pairtree": True}, "The option pairtree is for a folder"),
        (collection(), {}, "should be a tag and a subfield, such as 876$p"),
        (collection(), {"field": "876p"}, "should be a tag and a subfield"),
        (b"", {"field": FIELD}, "it is empty"),
        (b"\x1f\x8b\x08", {"field": FIELD}, "it is compressed by gzip: unpack it first"),
        (collection().encode("utf-16"), {"field": FIELD}, "it is in UTF-16"),
        (b"barcode,title\n", {"field": FIELD}, "it is neither MARCXML nor binary MARC"),
        ("<html><body/></html>", {"field": FIELD}, "it is XML, but no MARCXML"),
        ("<collection><<", {"field": FIELD}, "it is not well-formed XML"),
        ('<!DOCTYPE c [<!ENTITY a "b">]><collection/>', {"field": FIELD}, "it has a document type declaration"),
        (collection(), {"feild": FIELD}, "The option feild is not known"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_book(
    library: Library, content: str | bytes | dict[str, str] | None, options: dict[str, Any], problem: str
) -> None:
    """One sentence that names the cure."""
    if isinstance(content, dict):
        library.files(content)
    elif content is not None:
        library.file(content)
    [found] = library.problems(**options)
    assert problem in found


def test_a_path_is_relative_to_the_configuration(library: Library, tmp_path: Path) -> None:
    """Wherever the stage was started."""
    library.file(collection())
    modification = CatalogueRecord({"path": library.path.name, "field": FIELD})
    [found] = modification.check()
    assert "is not there" in found
    modification.base = library.path.parent
    assert modification.check() == []


def test_a_path_must_be_a_folder_or_a_file(tmp_path: Path) -> None:
    """A FIFO would never be read to its end."""
    assert CatalogueRecord({}).check() == ["The option path is required."]
    os.mkfifo(tmp_path / "fifo")
    [found] = CatalogueRecord({"path": str(tmp_path / "fifo"), "field": FIELD}).check()
    assert "neither a folder nor a file" in found
