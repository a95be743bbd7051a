"""common.mets: what is read from Google's METS, and what is refused."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from common.manifest import Member
from common.mets import DoctypeError, MetsError, compare, parse

MARC = "http://www.loc.gov/MARC21/slim"
HEAD = (
    '<METS:mets xmlns:METS="http://www.loc.gov/METS/" xmlns:xlink="http://www.w3.org/1999/xlink"'
    f' xmlns:marc="{MARC}" OBJID="TESTLIB_1">'
)


def wrapped(inner: str) -> bytes:
    """A METS around a piece of it."""
    return f"{HEAD}{inner}</METS:mets>".encode()


def file_group(use: str, name: str, size: str = "3", md5: str = "0" * 32, kind: str = "MD5") -> str:
    """A file group with one file."""
    return (
        f'<METS:fileGrp USE="{use}"><METS:file SIZE="{size}" CHECKSUM="{md5}" CHECKSUMTYPE="{kind}">'
        f'<METS:FLocat xlink:href="{name}"/></METS:file></METS:fileGrp>'
    )


def test_files_have_their_name_use_size_and_md5() -> None:
    """The file list is read with all that is needed to check the files."""
    mets = parse(wrapped(file_group("image", "./00000001.tif", "17", "AB" * 16)))
    assert mets.object_id == "TESTLIB_1"
    [file] = mets.files
    assert (file.name, file.use, file.size, file.md5) == ("00000001.tif", "image", 17, "ab" * 16)


@pytest.mark.parametrize(
    ("size", "md5", "kind"), [("", "", "MD5"), ("many", "0" * 31, "MD5"), ("-1", "0" * 32, "SHA-1")]
)
def test_what_is_no_size_and_no_md5_is_left_out(size: str, md5: str, kind: str) -> None:
    """A size or checksum that cannot be used is None, not an error and not a mismatch."""
    [file] = parse(wrapped(file_group("image", "a.tif", size, md5, kind))).files
    assert (file.size, file.md5) == (None, None)


def test_pages_are_counted_in_both_places() -> None:
    """The structural map and the PREMIS properties each give a number of pages."""
    name, value = "significantPropertiesType", "significantPropertiesValue"
    properties = f"<{name}>{{}}</{name}><{value}>{{}}</{value}>"
    structure = '<div TYPE="volume"><div TYPE="page"/><div TYPE="page"/></div>'
    mets = parse(wrapped(properties.format("file count", 8) + properties.format("page count", 2) + structure))
    assert (mets.pages, mets.page_count) == (2, 2)


@pytest.mark.parametrize(
    "record",
    [
        "<marc:record><marc:leader>x</marc:leader></marc:record>",
        f'<record xmlns="{MARC}"><leader>x</leader></record>',
        "<record><leader>x</leader></record>",
        f'<c xmlns="{MARC}"><record><leader>x</leader></record><record><leader>y</leader></record></c>',
    ],
)
def test_the_marc_record_is_found_with_and_without_prefix(record: str) -> None:
    """Prefixed, in the default namespace, without any, or in a collection: the first record is taken."""
    found = parse(wrapped(record)).record
    assert found is not None
    assert found.findtext("leader") == "x"


@pytest.mark.parametrize("record", ["", "<marc:record/>", '<record xmlns="urn:other"><leader>x</leader></record>'])
def test_an_empty_marc_record_is_none(record: str) -> None:
    """No record, an empty one and another vocabulary's are all no record."""
    assert parse(wrapped(record)).record is None


def test_a_comparison_tells_missing_changed_unlisted_and_lacking_hocr_apart() -> None:
    """Each way to disagree with the METS has its own list; missing hOCR is one of them."""
    groups = [file_group("image", name) for name in ("good.tif", "large.tif", "gone.tif")]
    mets = parse(wrapped("".join(groups) + file_group("coordOCR", "gone.html")))
    members = {name: Member(3, "0" * 32, 0) for name in ("in/good.tif", "in/more.tif")} | {
        "in/large.tif": Member(4, "0" * 32, 0)
    }
    found = compare(mets, members, "in/")
    assert (found.missing, found.changed, found.unlisted, found.without_hocr) == (
        ("gone.tif",),
        ("large.tif",),
        ("in/more.tif",),
        ("gone.html",),
    )


@pytest.mark.parametrize(
    "data", [b"", b"not xml", HEAD.encode(), b"\xff\xfe\x00", b'<?xml version="1.0" encoding="klingon"?><a/>']
)
def test_what_is_not_well_formed_is_an_error(data: bytes) -> None:
    """Every kind of broken XML comes out as one kind of error."""
    with pytest.raises(MetsError):
        parse(data)


def test_a_document_type_is_refused_before_any_entity_is_defined() -> None:
    """A billion laughs ends at its first line, without time or memory."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))
    bomb = f'<!DOCTYPE m [<!ENTITY l0 "ha">{laughs}]><m>&l29;</m>'.encode()
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(DoctypeError):
        parse(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - began < 1
    assert peak < 1 << 20


def test_an_external_entity_is_refused(tmp_path: Path) -> None:
    """No file is ever read on behalf of a METS."""
    secret = tmp_path / "secret"
    secret.write_text("canary")
    with pytest.raises(DoctypeError):
        parse(f'<!DOCTYPE m [<!ENTITY x SYSTEM "{secret}">]><m>&x;</m>'.encode())


def test_a_document_type_in_another_encoding_is_refused_too() -> None:
    """UTF-16 does not get around the check."""
    with pytest.raises(DoctypeError):
        parse('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE m [<!ENTITY x "y">]><m>&x;</m>'.encode("utf-16"))


@pytest.mark.parametrize("data", [b"<a>" * 300_000, wrapped("<marc:record>" * 1000), b" " * (17 << 20)])
def test_deep_and_large_documents_end_in_an_error(data: bytes) -> None:
    """Nesting without end, a bottomless MARC record and a METS of 17 MiB are refused."""
    with pytest.raises(MetsError):
        parse(data)


@pytest.mark.parametrize("root", ["a", "METSS", "x:mets-like", f'record xmlns="{MARC}"'])
def test_xml_that_is_no_mets_is_an_error(root: str) -> None:
    """Well-formed XML with another root tells nothing of a book, and must not pass for a METS that lists no files."""
    name = root.partition(" ")[0]
    with pytest.raises(MetsError, match="it is no METS, its root is <"):
        parse(f'<{root} xmlns:x="urn:x"><mets/></{name}>'.encode())
