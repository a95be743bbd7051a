"""zip: what other tools find in it, and that it says nothing of when and where it was made."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from books import BARCODE, book_of, pages
from isal import isal_zlib
from packing import pack, unpacked

from common.manifest import Member
from common.shelves import Shelf
from common.stage import Book
from services.modifier.modification import Members
from services.modifier.packages.zipped import Zip
from services.modifier.stage import Modifier

Make = Callable[..., Modifier]
NAME = f"{BARCODE}.zip"


def test_unzip_finds_nothing_wrong(folder: Path, make: Make) -> None:
    """unzip tests every file of it, and unpacks what Google has sent."""
    book = book_of(pages()) | {"märchen/zwölf.txt": b"folder", "empty.txt": b""}
    facts = pack(folder, make, book, "zip")
    path = folder / "modifier" / NAME
    _require_unzip()
    done = subprocess.run(["unzip", "-t", path], capture_output=True, text=True, check=True)
    assert "No errors detected" in done.stdout
    assert (facts["package"]["name"], facts["package"]["size"]) == (NAME, path.stat().st_size)
    assert unpacked(folder, "zip") == book
    subprocess.run(["unzip", "-q", path, "-d", folder / "out"], check=True)
    assert (folder / "out" / "00000001.tif").read_bytes() == book["00000001.tif"]


def test_images_are_stored_and_text_is_deflated(folder: Path, make: Make) -> None:
    """An image's bytes stand in the file as they are."""
    book = book_of(pages())
    pack(folder, make, book, "zip")
    path = folder / "modifier" / NAME
    with zipfile.ZipFile(path) as file:
        kinds = {info.filename: info.compress_type for info in file.infolist()}
    assert {kind for name, kind in kinds.items() if name.endswith(".tif")} == {zipfile.ZIP_STORED}
    assert {kind for name, kind in kinds.items() if not name.endswith(".tif")} == {zipfile.ZIP_DEFLATED}
    assert book["00000002.tif"] in path.read_bytes()


def test_deflate_images_deflates_them_too(folder: Path, make: Make) -> None:
    """The option makes the package smaller where images can be."""
    pack(folder, make, book_of(pages()), "zip", deflate_images=True)
    with zipfile.ZipFile(folder / "modifier" / NAME) as file:
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_DEFLATED}


def test_headers_are_plain_and_say_nothing_of_this_machine(folder: Path, make: Make) -> None:
    """Sorted, a fixed time and mode, sizes before the bytes, and only what every reader knows."""
    pack(folder, make, book_of(pages()), "zip")
    with zipfile.ZipFile(folder / "modifier" / NAME) as file:
        infos = file.infolist()
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    facts = {(info.date_time, info.external_attr, info.create_system, info.comment, info.extra) for info in infos}
    assert facts == {((1980, 1, 1, 0, 0, 0), 0o100644 << 16, 3, b"", b"")}
    assert {(info.flag_bits, info.extract_version) for info in infos} == {(0, 20)}


def test_more_than_the_old_format_holds(folder: Path) -> None:
    """With ZIP_LARGE, members of more than 4 GiB, stored and deflated, and more than 65,535 of them; else a few."""
    size, count = ((1 << 32) + 12_345, 70_000) if "ZIP_LARGE" in os.environ else (5 << 20, 300)
    root = folder / "extractor" / "members"
    root.mkdir(parents=True)
    listed = {f"{number:08}.txt": Member(0, "", 0) for number in range(count)}
    listed |= dict.fromkeys(("a.tif", "b.txt"), Member(size, "", _crc32_of_zeros(size)))
    for name, member in listed.items():
        with (root / name).open("xb") as file:
            file.truncate(member.size)
    with closing(Shelf(folder / "extractor")) as shelf:
        Zip().pack(Members(shelf, listed, folder, BARCODE), Book(BARCODE, folder, ""), folder)
    with zipfile.ZipFile(folder / NAME) as packed:
        assert {info.filename: info.file_size for info in packed.infolist()} == {n: m.size for n, m in listed.items()}
    _require_unzip()
    done = subprocess.run(["unzip", "-tq", folder / NAME], capture_output=True, text=True, check=False)
    assert (done.returncode, "No errors detected" in done.stdout) == (0, True), done


def _crc32_of_zeros(size: int) -> int:
    crc32, block = 0, bytes(1 << 20)
    for begin in range(0, size, len(block)):
        crc32 = isal_zlib.crc32(block[: size - begin], crc32)
    return crc32


def _require_unzip() -> None:
    if shutil.which("unzip") is None:
        pytest.skip("UNZIP IS NOT INSTALLED, so that it reads the package is not shown: apt-get install unzip.")
