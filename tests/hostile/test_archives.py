"""Archives made to do harm: nothing gets out of the folder, and nothing but plain files gets in, in either layout."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from common.archive_names import objection
from common.stage import Redo, Reject
from tests.hostile.archives import archive, entry, extended, of_type, patched, pax, raw, record, sized
from tests.hostile.conftest import OUTSIDE, Bench

LINK, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def link(name: str, target: str) -> bytes:
    """A symbolic link."""
    return entry(name, b"", of_type(LINK, linkname=target))


def path_max_escape() -> bytes:
    """CVE-2025-4517: links through folders of such length that realpath() gives up, then a file through them."""
    part, blocks, way = "d" * 247, [], ""
    for letter in "abcdefghijklmnop":
        blocks += [entry(way + part, b"", of_type(FOLDER)), link(way + letter, part)]
        way += f"{part}/"
    out = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    blocks += [link(out, "../" * 16), link("escape", f"{out}/../../{OUTSIDE.name}"), entry("escape")]
    return archive(*blocks)


def linked_sparse() -> bytes:
    """GNU's old sparse header that goes on in a second block."""
    head = entry("a", b"", of_type(tarfile.GNUTYPE_SPARSE))
    return patched(head, 386, b"00000000000\x0000000000001\x00" * 4 + b"\x01")


NAMES: dict[str, tuple[bytes, str]] = {
    "absolute": (archive(entry(str(OUTSIDE))), "absolute"),
    "absolute with two slashes": (archive(entry(f"/{OUTSIDE}")), "absolute"),
    "up": (archive(entry("../escaped")), "leads out"),
    "up in the middle": (archive(entry("a/../../escaped")), "leads out"),
    "up at the end": (archive(entry("a/..")), "leads out"),
    "up behind dot slash": (archive(entry("./../escaped")), "leads out"),
    "dot in the middle": (archive(entry("a/./b")), "leads out"),
    "up by pax": (archive(pax({"path": "../escaped"})), "leads out"),
    "up by a global pax header": (
        archive(extended(record("path", "../escaped"), tarfile.XGLTYPE), entry("a")),
        "leads out",
    ),
    "up by Solaris' pax header": (archive(extended(record("path", "../a"), b"X"), entry("a")), "leads out"),
    "absolute by pax": (archive(pax({"path": str(OUTSIDE)})), "absolute"),
    "up by GNU long name": (archive(entry("../" * 60 + "escaped")), "leads out"),
    "up by the ustar prefix": (archive(patched(entry("escaped"), 257, b"ustar\x0000" + bytes(80) + b"..")), "leads"),
    "folder up": (archive(entry("../escaped", b"", of_type(FOLDER))), "leads out"),
    "double slash": (archive(entry("a//b")), "empty part"),
    "empty name": (archive(entry("")), "empty part"),
    "slash at the end": (archive(pax({"path": "a/"}), entry("a/", b"x", of_type(b"7", size=1))), "empty part"),
    "old kind with a slash at the end": (archive(entry("a/", b"x", of_type(b"\0", size=1))), "impossible size"),
    "backslash": (archive(entry("..\\escaped")), "backslash"),
    "drive": (archive(entry("C:\\escaped")), "backslash"),
    "drive without a backslash": (archive(entry("C:escaped")), "Windows"),
    "device of Windows": (archive(entry("aux.txt")), "Windows"),
    "stream of NTFS": (archive(entry("a.txt:hidden")), "Windows"),
    "blank at the end": (archive(entry("00000001.txt ")), "Windows"),
    "dot at the end": (archive(entry("00000001.txt.")), "Windows"),
    "newline": (archive(entry("a\nb")), "control"),
    "escape": (archive(entry("a\x1b[2Jb")), "control"),
    "C1 control": (archive(entry("a\x9bb")), "control"),
    "NUL by pax": (archive(pax({"path": "a\0b"})), "control"),
    "written backwards": (archive(entry("a\u202egpj.exe")), "cannot be seen"),
    "width of nothing": (archive(entry("a\u200b")), "cannot be seen"),
    "line separator": (archive(entry("a\u2028b")), "line break"),
    "not UTF-8": (archive(entry("a\udcffb")), "UTF-8"),
    "not UTF-8 by pax": (archive(extended(b"12 path=a\xffb\n"), entry("a")), "UTF-8"),
    "binary by pax hdrcharset": (
        archive(extended(record("hdrcharset", "BINARY") + b"12 path=\xff\xfe\xfd\n"), entry("a")),
        "UTF-8",
    ),
    "long part": (archive(entry("n" * 256)), "255 bytes"),
    "long part by pax": (archive(pax({"path": "n" * 10_000})), "255 bytes"),
    "long part in letters of two bytes": (archive(entry("é" * 128)), "255 bytes"),
    "too deep": (archive(entry("a/b/c/d/e")), "too deep"),
    "very deep": (archive(entry("a/" * 8000 + "b")), "too deep"),
    "very deep folder": (archive(entry("a/" * 8000, b"", of_type(FOLDER))), "too deep"),
}
KINDS: dict[str, tuple[bytes, str]] = {
    "link to outside": (archive(link("a", "/etc/passwd")), "symbolic link"),
    "link that dangles": (archive(link("a", "nowhere")), "symbolic link"),
    "link to itself": (archive(link("a", "a")), "symbolic link"),
    "link in the place of a page": (archive(entry("00000001.tif"), link("00000002.tif", "00000001.tif")), "symbolic"),
    "link by pax to a long target": (
        archive(extended(record("linkpath", "../" * 2000)), link("a", "b")),
        "symbolic link",
    ),
    "link, then a file through it": (archive(link("a", "/tmp"), entry("a/b")), "symbolic link"),
    "link past PATH_MAX": (path_max_escape(), "255 bytes|too deep|symbolic link"),
    "hard link": (archive(entry("a"), entry("b", b"", of_type(HARD, linkname="a"))), "hard link"),
    "hard link to outside": (archive(entry("a", b"", of_type(HARD, linkname="/etc/passwd"))), "hard link"),
    "hard link that dangles": (archive(entry("a", b"", of_type(HARD, linkname="../b"))), "hard link"),
    "hard link with content": (archive(entry("a", b"x", of_type(HARD, linkname="b", size=1))), "hard link"),
    "character device": (archive(entry("a", b"", of_type(tarfile.CHRTYPE, devmajor=1, devminor=3))), "device"),
    "block device": (archive(entry("a", b"", of_type(tarfile.BLKTYPE))), "device"),
    "FIFO": (archive(entry("a", b"", of_type(tarfile.FIFOTYPE))), "FIFO"),
    "unknown kind": (archive(entry("a", b"", of_type(b"Z"))), "unknown kind"),
    "volume label": (archive(entry("a", b"", of_type(b"V"))), "unknown kind"),
    "part of another volume": (archive(entry("a", b"", of_type(b"M"))), "unknown kind"),
    "list of a folder": (archive(entry("a", b"", of_type(b"D"))), "unknown kind"),
    "GNU sparse": (archive(entry("a", b"", of_type(tarfile.GNUTYPE_SPARSE))), "sparse"),
    "GNU sparse in two blocks": (archive(linked_sparse(), bytes(512)), "sparse"),
    "pax sparse 0.0": (
        archive(pax({"GNU.sparse.size": "9", "GNU.sparse.offset": "0", "GNU.sparse.numbytes": "1"})),
        "sparse",
    ),
    "pax sparse 0.1": (
        archive(pax({"GNU.sparse.map": "0,1", "GNU.sparse.size": "9", "GNU.sparse.name": "a"})),
        "sparse",
    ),
    "pax sparse 1.0": (
        archive(
            extended(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")), entry("a", b"1\n0\n1\n" * 100)
        ),
        "sparse",
    ),
    "pax sparse name only": (archive(pax({"GNU.sparse.name": "../escaped"})), "sparse"),
    "folder with content": (archive(entry("a", b"x" * 600, of_type(FOLDER, size=600))), "size"),
    "negative size by pax": (archive(pax({"size": "-512"})), "impossible size"),
    "negative size by a global header": (
        archive(extended(record("size", "-512"), tarfile.XGLTYPE), entry("a")),
        "impossible size",
    ),
    "size of 4,000 digits": (archive(pax({"size": "9" * 4000})), "more than 17179869184 bytes"),
}
TWINS: dict[str, tuple[bytes, str]] = {
    "twice": (archive(entry("a"), entry("a")), "comes twice"),
    "twice by dot slash": (archive(entry("a"), entry("./a")), "comes twice"),
    "twice by pax": (archive(entry("a"), pax({"path": "a"}, "b")), "comes twice"),
    "twice by a global header": (
        archive(extended(record("path", "c"), tarfile.XGLTYPE), entry("a"), entry("b")),
        "comes twice",
    ),
    "case twin": (archive(entry("page.tif"), entry("Page.tif")), "comes twice"),
    "sharp s twin": (archive(entry("straße"), entry("STRASSE")), "comes twice"),
    "accent twin": (archive(entry("caf\u00e9"), entry("cafe\u0301")), "comes twice"),
    "ligature twin": (archive(entry("\ufb01le"), entry("file")), "comes twice"),
    "width twin": (archive(entry("\uff11.txt"), entry("1.txt")), "comes twice"),
    "Kelvin twin": (archive(entry("\u212a"), entry("k")), "comes twice"),
    "file, then a folder of its name": (archive(entry("a"), entry("a/b")), "comes twice"),
    "folder, then a file of its name": (archive(entry("a/b"), entry("a")), "comes twice"),
    "folder twin": (archive(entry("a/b"), entry("A/c")), "comes twice"),
}
FORBIDDEN = {**NAMES, **KINDS, **TWINS}


@pytest.mark.parametrize(("data", "why"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_forbidden_member_rejects_the_book(extract: Bench, data: bytes, why: str) -> None:
    """Each kind of bad member is refused with a sentence that says what is wrong with it."""
    with pytest.raises(Reject, match=why) as refusal:
        extract(data)
    assert len(refusal.value.reason) < 600
    assert refusal.value.reason.isprintable()
    assert refusal.value.cure


def test_the_reason_shows_no_control_characters(extract: Bench) -> None:
    """A name cannot write to the operator's terminal, nor fill the log."""
    with pytest.raises(Reject) as refusal:
        extract(archive(entry("\x1b]0;owned\x07" + "n" * 5000)))
    assert refusal.value.reason.isprintable()
    assert len(refusal.value.reason) < 300


def listed(name: str, data: bytes = b"x") -> bytes:
    """A checksum list with one member."""
    return entry("checksum.md5", f"{hashlib.md5(data).hexdigest()}  {name}\n".encode())


LONGEST = "n" * 255
HARMLESS: dict[str, tuple[str, bytes]] = {
    "every mode bit": ("a", entry("a", b"x", lambda h: setattr(h, "mode", 0o7777))),
    "no mode bit": ("a", entry("a", b"x", lambda h: setattr(h, "mode", 0))),
    "somebody else's": ("a", entry("a", b"x", lambda h: (setattr(h, "uid", 2**40), setattr(h, "uname", "root")))),
    "from the future": ("a", entry("a", b"x", lambda h: setattr(h, "mtime", 2**60))),
    "contiguous": ("a", entry("a", b"x", of_type(b"7", size=1))),
    "old kind": ("a", entry("a", b"x", of_type(b"\0", size=1))),
    "longest name": (LONGEST, entry(LONGEST)),
    "longest name by pax": (LONGEST, pax({"path": LONGEST})),
    "size by pax": ("a", extended(record("size", "1")) + entry("a", b"x", sized(0))[:512] + b"x" + bytes(511)),
    "strange pax keys": ("a", pax({"SCHILY.xattr.security.capability": "x", "ctime": "nan", "mtime": "inf"})),
    "comment": ("a", extended(record("comment", "\udc00".encode("utf-8", "surrogatepass").hex())) + entry("a")),
    "folder four deep": ("a/b/c/d", entry("a/b/c", b"", of_type(FOLDER)) + entry("a/b/c/d")),
    "link's target on a plain file": ("a", entry("a", b"x", lambda h: setattr(h, "linkname", "/etc/passwd"))),
    "archive in the archive": ("a", entry("a")),
}


@pytest.mark.parametrize(("name", "blocks"), HARMLESS.values(), ids=HARMLESS)
def test_a_strange_but_plain_member_is_a_plain_file(extract: Bench, name: str, blocks: bytes) -> None:
    """Modes, owners, times and whatever else a header says have no effect on what lies on disk."""
    extract(archive(blocks, listed(name)))
    assert extract.members()[name] == b"x"


def test_an_archive_in_the_archive_stays_closed(extract: Bench) -> None:
    """What is packed inside is a member like any other: a ratio bomb in it never goes off."""
    bomb = archive(entry("zeros", bytes(4 << 20)))
    extract(archive(entry("bomb.tar.gz", bomb), listed("bomb.tar.gz", bomb)))
    assert extract.members()["bomb.tar.gz"] == bomb


RECORDS: dict[str, bytes] = {
    "length far too large": b"99999999999 path=../escaped\n",
    "length of 5,000 digits": b"9" * 5000 + b" path=../escaped\n",
    "length of nothing": b"0 path=../escaped\n",
    "length too small": b"3 path=../escaped\n",
    "negative length": b"-20 path=../escaped\n",
    "no digits": b"abc path=../escaped\n",
    "no equals sign": b"20 path ../escaped\n",
    "no newline": b"19 path=../escaped",
    "cut short": b"50 path=../escaped\n",
    "empty key": record("", "x"),
    "nothing": b"",
    "only zeros": bytes(512),
    "length with a sign": b"+20 path=../escaped\n",
    "length in other digits": "\u0662\u0660 path=../escaped\n".encode(),
}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE], ids=["pax", "global pax"])
@pytest.mark.parametrize("body", RECORDS.values(), ids=RECORDS)
def test_records_of_an_extended_header_that_lie_about_themselves(extract: Bench, body: bytes, kind: bytes) -> None:
    """Refused, or passed over: versions of Python differ; a name in it is never followed."""
    try:
        extract(archive(extended(body, kind), entry("a"), listed("a")))
    except (Reject, Redo) as verdict:
        assert verdict.reason.isprintable()
    else:
        assert set(extract.members()) == {"a", "checksum.md5"}


@pytest.mark.parametrize("name", ["00000001.tif", "LIB_$b1.-2_00000001.jp2", "LIB_B1_notes.txt", "1_2.txt", "é/a.txt"])
def test_names_that_google_gives_have_nothing_against_them(name: str) -> None:
    """Page files with and without a prefix, notes, and pieces of pages pass."""
    assert objection(name) == ""


def test_files_outside_are_not_read_either(extract: Bench, tmp_path: Path) -> None:
    """A checksum list that names a file outside finds it missing, whatever lies there."""
    (extract.work.parent / "secret").write_bytes(b"x")
    with pytest.raises(Redo, match="1 of 1 files is missing"):
        extract(archive(entry("a"), listed("../../secret")))
    (extract.work.parent / "secret").unlink()


def test_a_header_of_zeros_with_a_checksum_is_no_member(extract: Bench) -> None:
    """A header without a name and kind, but with a checksum that agrees, is refused like any without a name."""
    with pytest.raises(Reject, match="empty part"):
        extract(archive(patched(bytes(512), 124, b"00000000000\0"), raw(tarfile.TarInfo("a"))))
