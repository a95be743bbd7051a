"""Archives made to do harm: nothing gets out of the folder, nothing but plain files gets in, and every limit holds."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from common.config import load
from common.stage import Book, Redo, Reject
from services.extractor.stage import Extractor

BARCODE = "39000000000018"
Change = Callable[[tarfile.TarInfo], object]


def entry(name: str, data: bytes = b"x", change: Change | None = None) -> bytes:
    """One member with its header, as raw tar blocks; `change` alters the header first."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    if change:
        change(header)
    return raw(header, data)


def raw(header: tarfile.TarInfo, data: bytes = b"", form: Literal[1, 2] = tarfile.GNU_FORMAT) -> bytes:
    """A header and its content, padded."""
    return header.tobuf(form, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


def of_type(kind: bytes, **members: Any) -> Change:
    """Make the member something else than a file."""

    def change(header: tarfile.TarInfo) -> None:
        header.type, header.size = kind, 0
        for name, value in members.items():
            setattr(header, name, value)

    return change


def pax(records: dict[str, str], name: str = "a") -> bytes:
    """A file with an extended header of these records."""
    header = tarfile.TarInfo(name)
    header.size, header.pax_headers = 1, records
    return raw(header, b"x", tarfile.PAX_FORMAT)


def extended(body: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with any body, without what it extends."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = kind, len(body)
    return raw(header, body)


def record(key: str, value: str) -> bytes:
    """One record of an extended header; its length counts itself."""
    rest = len(f" {key}={value}\n")
    length = next(n for n in range(rest, rest + 9) if n == rest + len(str(n)))
    return f"{length} {key}={value}\n".encode()


def base256(size: int) -> Change:
    """Write the size field in GNU's binary form, where it may be negative."""
    return lambda header: setattr(header, "size", size)


def archive(*blocks: bytes) -> bytes:
    """A .tar.gz of raw tar blocks."""
    return gzip.compress(b"".join(blocks) + bytes(1024), 1)


CONFIG = "filters: [{name: extractor, class: Extractor, input_pipe: a, output_pipe: b}]"


@pytest.fixture
def extract(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    """Runs the extractor below a canary folder, then looks for anything that is not a plain file or got out."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(CONFIG)
    settings = load(config, environ={})
    folder = tmp_path / "deep" / "processing" / BARCODE
    (folder / "decryptor").mkdir(parents=True)

    def run_it(data: bytes, **options: Any) -> None:
        shutil.rmtree(folder / "work", ignore_errors=True)
        (folder / "work").mkdir()
        (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(data)
        row = settings.row("extractor").model_copy(update={"options": options})
        book = Book(BARCODE, folder, "", upstream=("decryptor",))
        Extractor(settings, row).process(book, folder / "work")

    yield run_it
    for root, folders, files in os.walk(tmp_path):
        for name in (*folders, *files):
            path = Path(root, name)
            assert not path.is_symlink()
            assert path.is_dir() or (path.is_file() and path.stat().st_nlink == 1)
            inside = folder / "work" in path.parents or (folder / "decryptor") in path.parents
            assert inside or path in {folder, *folder.parents, folder / "work", folder / "decryptor"}


FORBIDDEN: dict[str, tuple[bytes, str]] = {
    "absolute": (archive(entry("/etc/passwd")), "absolute"),
    "up": (archive(entry("../escaped")), "leads out"),
    "up in the middle": (archive(entry("a/../../escaped")), "leads out"),
    "up at the end": (archive(entry("a/..")), "leads out"),
    "dot in the middle": (archive(entry("a/./b")), "leads out"),
    "up by pax": (archive(pax({"path": "../escaped"})), "leads out"),
    "absolute by pax": (archive(pax({"path": "/tmp/escaped"})), "absolute"),
    "up by GNU long name": (archive(entry("../" * 60 + "escaped")), "leads out"),
    "folder up": (archive(entry("../escaped", b"", of_type(tarfile.DIRTYPE))), "leads out"),
    "double slash": (archive(entry("a//b")), "empty part"),
    "empty name": (archive(entry("")), "empty part"),
    "slash at the end": (
        archive(pax({"path": "a/"}), entry("a/", b"x", lambda h: setattr(h, "type", b"7"))),
        "empty part",
    ),
    "backslash": (archive(entry("..\\escaped")), "backslash"),
    "newline": (archive(entry("a\nb")), "control"),
    "escape": (archive(entry("a\x1b[2Jb")), "control"),
    "NUL by pax": (archive(pax({"path": "a\0b"})), "control"),
    "not UTF-8": (archive(entry("a\udcffb")), "UTF-8"),
    "long part": (archive(entry("n" * 256)), "255 bytes"),
    "long part in letters of two bytes": (archive(entry("é" * 128)), "255 bytes"),
    "too deep": (archive(entry("a/b/c/d/e")), "too deep"),
    "symbolic link": (archive(entry("a", b"", of_type(tarfile.SYMTYPE, linkname="/etc/passwd"))), "symbolic link"),
    "hard link": (archive(entry("a"), entry("b", b"", of_type(tarfile.LNKTYPE, linkname="a"))), "hard link"),
    "link, then a file through it": (
        archive(entry("a", b"", of_type(tarfile.SYMTYPE, linkname="/tmp")), entry("a/b")),
        "symbolic link",
    ),
    "character device": (archive(entry("a", b"", of_type(tarfile.CHRTYPE, devmajor=1, devminor=3))), "device"),
    "block device": (archive(entry("a", b"", of_type(tarfile.BLKTYPE))), "device"),
    "FIFO": (archive(entry("a", b"", of_type(tarfile.FIFOTYPE))), "FIFO"),
    "unknown kind": (archive(entry("a", b"", of_type(b"Z"))), "unknown kind"),
    "GNU sparse": (archive(entry("a", b"", of_type(tarfile.GNUTYPE_SPARSE))), "sparse"),
    "pax sparse 0.1": (
        archive(pax({"GNU.sparse.map": "0,1", "GNU.sparse.size": "9", "GNU.sparse.name": "a"})),
        "sparse",
    ),
    "pax sparse name only": (archive(pax({"GNU.sparse.name": "../escaped"})), "sparse"),
    "folder with content": (archive(entry("a", b"x" * 600, lambda h: setattr(h, "type", tarfile.DIRTYPE))), "size"),
    "negative size by pax": (archive(pax({"size": "-512"})), "impossible size"),
    "twice": (archive(entry("a"), entry("a")), "comes twice"),
    "twice by dot slash": (archive(entry("a"), entry("./a")), "comes twice"),
    "case twin": (archive(entry("page.tif"), entry("Page.tif")), "comes twice"),
    "sharp s twin": (archive(entry("straße"), entry("STRASSE")), "comes twice"),
    "accent twin": (archive(entry("caf\u00e9"), entry("cafe\u0301")), "comes twice"),
    "file, then a folder of its name": (archive(entry("a"), entry("a/b")), "comes twice"),
    "folder, then a file of its name": (archive(entry("a/b"), entry("a")), "comes twice"),
    "folder twin": (archive(entry("a/b"), entry("A/c")), "comes twice"),
}


@pytest.mark.parametrize(("data", "why"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_forbidden_member_rejects_the_book(extract: Callable[..., None], data: bytes, why: str) -> None:
    """Each kind of bad member is refused with a sentence that says what is wrong with it."""
    with pytest.raises(Reject, match=why) as refusal:
        extract(data)
    assert len(refusal.value.reason) < 600
    assert refusal.value.cure


def test_the_reason_shows_no_control_characters(extract: Callable[..., None]) -> None:
    """A name cannot write to the operator's terminal, nor fill the log."""
    with pytest.raises(Reject) as refusal:
        extract(archive(entry("\x1b]0;owned\x07" + "n" * 5000)))
    assert refusal.value.reason.isprintable()
    assert len(refusal.value.reason) < 300


MEMBERS = {f"{number:08d}.txt": b"page" for number in range(1, 4)}
LIST = "".join(f"{hashlib.md5(data).hexdigest()}  {name}\n" for name, data in MEMBERS.items()).encode()
GOOD = b"".join(entry(name, data) for name, data in {**MEMBERS, "checksum.md5": LIST}.items()) + bytes(1024)
PACKED = gzip.compress(GOOD)


def flipped(data: bytes, place: int) -> bytes:
    """One bit is wrong."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGED: dict[str, bytes] = {
    "empty file": b"",
    "not gzip": b"<html>Sign in</html>" * 50,
    "gzip of nothing": gzip.compress(b""),
    "tar without members": gzip.compress(bytes(10240)),
    "only folders": archive(entry("a", b"", of_type(tarfile.DIRTYPE))),
    "gzip cut in the middle": PACKED[: len(PACKED) // 2],
    "gzip cut by one byte": PACKED[:-1],
    "gzip checksum wrong": flipped(PACKED, len(PACKED) - 6),
    "gzip data flipped": flipped(PACKED, len(PACKED) // 2),
    "garbage after the gzip": PACKED + os.urandom(600),
    "a few bytes after the gzip": PACKED + b"\x1f",
    "gzip header flipped": flipped(PACKED, 0),
    "tar cut in a member": gzip.compress(GOOD[:700]),
    "tar cut in a header": gzip.compress(GOOD[: 1024 + 300]),
    "tar cut between members": gzip.compress(GOOD[:2048]),
    "tar cut before its end": gzip.compress(GOOD[:-1024]),
    "header checksum wrong": gzip.compress(flipped(GOOD, 1024 + 5)),
    "first header is noise": gzip.compress(os.urandom(512) + GOOD),
    "something after the end": gzip.compress(GOOD + b"more" * 128),
    "second archive after the end": gzip.compress(GOOD + GOOD),
    "size larger than the archive": archive(entry("a", b"", base256(1 << 33))),
    "negative size": archive(entry("a", b"", base256(-512)), entry("b")),
    "negative size by unknown kind": archive(entry("a", b"", of_type(b"Z", size=-1024))),
    "pax without what it extends": archive(extended(record("path", "abc"))),
    "pax sparse map without numbers": archive(
        extended(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")), entry("a", b"junk")
    ),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_archive_is_made_again(extract: Callable[..., None], data: bytes) -> None:
    """Whatever is cut, flipped or appended, the book is sent back; a forged size ends as quickly."""
    began = time.monotonic()
    with pytest.raises((Redo, Reject)) as verdict:
        extract(data)
    assert time.monotonic() - began < 5
    assert isinstance(verdict.value, Redo) or "size" in verdict.value.reason or "kind" in verdict.value.reason


def test_the_good_one_passes(extract: Callable[..., None]) -> None:
    """The archive that the damaged ones are made from is fine, also in two gzip members and padded."""
    half = len(GOOD) // 2
    extract(gzip.compress(GOOD[:half]) + gzip.compress(GOOD[half:] + bytes(8192)) + bytes(512))


def written(folder: Path) -> int:
    """Bytes of all members on disk."""
    return sum(path.stat().st_size for path in folder.rglob("work/members/**/*") if path.is_file())


def test_too_many_bytes_are_refused_before_they_are_written(extract: Callable[..., None], tmp_path: Path) -> None:
    """The budget of bytes is kept to, by the announced size."""
    with pytest.raises(Reject, match="more than 1000000 bytes"):
        extract(archive(entry("a", os.urandom(600_000)), entry("b", os.urandom(600_000))), max_bytes="1MB")
    assert written(tmp_path) <= 1_100_000


def test_too_many_members_are_refused(extract: Callable[..., None], tmp_path: Path) -> None:
    """The budget of members is kept to; folders count."""
    folders = [entry(f"d{number}", b"", of_type(tarfile.DIRTYPE)) for number in range(10)]
    with pytest.raises(Reject, match="more than 15 members"):
        extract(archive(*folders, *(entry(str(number)) for number in range(10))), max_members=15)
    assert len(list(tmp_path.rglob("work/members/*"))) <= 15


def test_a_bomb_is_stopped_at_its_ratio(extract: Callable[..., None], tmp_path: Path) -> None:
    """A file of zeros that swells a thousandfold is stopped soon after the ratio is judged."""
    with pytest.raises(Reject, match="more than 200 times"):
        extract(gzip.compress(entry("zeros", bytes(80 << 20))))
    assert written(tmp_path) <= 1.1 * (64 << 20)


def test_headers_without_end_are_refused(extract: Callable[..., None]) -> None:
    """One extended header of 8 MiB is not read, nor are thousands in a row."""
    with pytest.raises(Reject, match="header of more than 32 KiB"):
        extract(archive(extended(b"x" * (8 << 20)), entry("a")))
    with pytest.raises(Reject, match="headers"):
        extract(archive(*[extended(record("comment", "x" * 30_000))] * 60, entry("a")))


def test_extended_headers_in_a_row_do_not_exhaust_the_stack(extract: Callable[..., None]) -> None:
    """tarfile goes one call deeper for each of them; 900 small ones are refused, not crashed on."""
    with pytest.raises(Reject, match="headers"):
        extract(archive(*[extended(record("path", "abc"))] * 900, entry("a")))


def test_global_headers_do_not_pile_up(extract: Callable[..., None]) -> None:
    """What stays in force for all later members is limited."""
    blocks = [extended(record(f"k{n}", "v"), tarfile.XGLTYPE) + entry(f"m{n}") for n in range(300)]
    with pytest.raises(Reject, match="global headers"):
        extract(archive(*blocks))


def test_a_header_of_digits_is_read_quickly(extract: Callable[..., None]) -> None:
    """tarfile searches headers in quadratic time in some versions of Python: the limit of a header bounds it."""
    began = time.monotonic()
    with pytest.raises((Reject, Redo)):
        extract(archive(extended(b"1" * 32_000), entry("../a")))
    assert time.monotonic() - began < 10


def test_time_is_limited(extract: Callable[..., None]) -> None:
    """The time budget ends an archive that would go on for ever."""
    with pytest.raises(Reject, match="longer than"):
        extract(archive(*(entry(str(number)) for number in range(3000))), max_seconds=0.001)


def test_random_damage_never_passes(extract: Callable[..., None], tmp_path: Path) -> None:
    """300 archives with a wrong byte somewhere: each is refused, or all its listed members are the true ones."""
    chance = random.Random(7)
    refused = 0
    for _ in range(300):
        damaged = bytearray(GOOD)
        damaged[chance.randrange(len(GOOD))] = chance.randrange(256)
        try:
            extract(gzip.compress(bytes(damaged), 1))
        except (Redo, Reject):
            refused += 1
        else:
            assert {path.name: path.read_bytes() for path in tmp_path.rglob("members/0*")} == MEMBERS
    assert refused > 50
