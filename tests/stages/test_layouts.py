"""Members as loose files or in one tar: nobody behind the extractor can tell the difference."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from books import BARCODE, Members, book_of, pages
from packing import KINDS, LAYOUTS, Changes, archive_of, changed, extract, left, pack, sums, unpacked

from common import manifest, workfiles
from common.stage import Redo
from services.modifier.stage import Modifier
from tests.helpers import measured

Make = Callable[..., Modifier]
MEGABYTES = int(os.environ.get("MEMORY_MB", "50"))
CHANGES = f"{Changes.__module__}:{Changes.__name__}"
READING = [kind for kind in KINDS if kind != "original"]
SCRIPT = Path(__file__).with_name("packing.py")


def odd_book() -> Members:
    """A book with everything that an archive may hold: folders, empty files, long names and such that are not ASCII."""
    odd = {
        "notes/one/zwei.txt": b"in a folder",
        "notes/empty.bin": b"",
        f"{'n' * 120}/{'m' * 200}.txt": b"long",
        "märchen.txt": "Käse".encode(),
        "large.jp2": bytes(range(256)) * 9000,
        "#a b+c~.txt": b"signs",
    }
    return book_of(pages()) | odd


@pytest.mark.parametrize("kind", KINDS)
def test_packages_are_the_same_byte_for_byte(tmp_path: Path, make: Make, kind: str) -> None:
    """Each kind of package, its sidecars and its facts do not depend on the layout, and hold the book."""
    shipped = ["fixity", "marc", "ocr_text"]
    facts = [pack(tmp_path / layout, make, odd_book(), kind, layout, modifications=shipped) for layout in LAYOUTS]
    assert facts[0] == facts[1]
    assert sums(left(tmp_path / "files")) == sums(left(tmp_path / "tar"))
    assert unpacked(tmp_path / "tar", kind) == odd_book()


@pytest.mark.parametrize("kind", READING)
def test_modifications_see_and_change_the_same(tmp_path: Path, make: Make, kind: str) -> None:
    """What is read, added, replaced, dropped and renamed is the same in both, and so is what is packed."""
    for layout in LAYOUTS:
        pack(tmp_path / layout, make, odd_book(), kind, layout, modifications=[CHANGES])
        assert unpacked(tmp_path / layout, kind) == changed(odd_book())
    assert sums(left(tmp_path / "files")) == sums(left(tmp_path / "tar"))
    seen = json.loads((tmp_path / "tar" / "modifier" / f"{BARCODE}.seen.json").read_text())
    assert seen["begins"] == ["text", 2, "xt "]
    assert set(odd_book()) < set(seen)


def test_the_tar_opens_with_tar_and_its_index_is_true(folder: Path, make: Make) -> None:
    """tar lists and unpacks every member, and each begins where the manifest says."""
    extract(folder, make, archive_of(odd_book()), layout="tar")
    path, target = folder / "extractor" / "members.tar", folder / "unpacked"
    target.mkdir()
    done = subprocess.run(["tar", "-xf", path, "-C", target], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = {file.relative_to(target).as_posix(): file.read_bytes() for file in target.rglob("*") if file.is_file()}
    data, listed = path.read_bytes(), manifest.read(folder / "extractor" / manifest.NAME)
    assert found == odd_book()
    assert {name: data[member.offset :][: member.size] for name, member in listed.items()} == odd_book()
    assert sorted(entry.name for entry in (folder / "extractor").iterdir()) == ["manifest.json", "members.tar"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
@pytest.mark.parametrize("kind", READING)
def test_damage_on_the_disk_sends_the_book_back(folder: Path, make: Make, kind: str, damage: str, layout: str) -> None:
    """A byte that changed, an end that is missing, a file that is gone: no package of it is published."""
    book = extract(folder, make, archive_of(odd_book()), layout=layout)
    offset = _spoil(folder / "extractor", damage)
    scratch = workfiles.open_scratch(folder, "claim")
    with pytest.raises(Redo, match=r"large\.jp2|members\.tar") as caught:
        make(Modifier, package=kind, modifications=[]).process(book, scratch)
    assert caught.value.reason.endswith("so the book is made again.")
    assert (offset is None) == (layout == "files")
    assert not [name for name in os.listdir(scratch) if name.startswith(".")]
    workfiles.drop_scratch(folder, "claim")
    assert sorted(os.listdir(folder)) == ["decryptor", "extractor"]


@pytest.mark.parametrize("kind", READING)
def test_a_full_disk_is_an_error_and_leaves_nothing_open(folder: Path, make: Make, kind: str) -> None:
    """What the disk does not take ends the attempt at once, with the operating system's own reason."""
    book = extract(folder, make, archive_of(odd_book()), layout="tar")
    (folder / "work").mkdir()
    modifier = make(Modifier, package=kind, modifications=[])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            modifier.process(book, folder / "work")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def _spoil(extracted: Path, damage: str) -> int | None:
    """Damage one member, whatever it lies in; where it lies in the tar."""
    member = manifest.read(extracted / manifest.NAME)["large.jp2"]
    path = extracted / ("members/large.jp2" if member.offset is None else "members.tar")
    middle = (member.offset or 0) + member.size // 2
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, middle)
    else:
        data = bytearray(path.read_bytes())
        data[middle] ^= 1
        path.write_bytes(data)
    return member.offset


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_stays_flat(tmp_path: Path, make: Make, layout: str) -> None:
    """Extracted and packed in every way, a book with one huge page takes no more memory than a small one."""
    block = random.Random(1).randbytes(1 << 20)
    book = book_of(pages()) | {"huge.jp2": block * MEGABYTES}
    done, peak = _packed_apart(tmp_path, make, book, layout)
    assert done["tree"]["huge.jp2"] == sums(book)["huge.jp2"]
    # Less than the page alone beside the program, which has nearly 50 MB of its own.
    assert peak < 80


def test_the_same_book_gives_the_same_bytes_anywhere(tmp_path: Path, make: Make) -> None:
    """Other processes with another hash seed, umask, time zone, language and layout leave the very same files."""
    here = {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LANG": "C", "LC_ALL": "C"}
    there = {"PYTHONHASHSEED": "2", "TZ": "America/Lima", "LANG": "en_US.UTF-8", "LC_ALL": "C.UTF-8"}
    first, _ = _packed_apart(tmp_path / "here", make, odd_book(), "files", umask=0o077, **here)
    second, _ = _packed_apart(tmp_path / "there", make, odd_book(), "tar", umask=0o002, **there)
    assert first == second
    assert all(len(files) > 3 for files in first.values())


def _packed_apart(
    folder: Path, make: Make, book: Members, layout: str, umask: int = 0o022, **environ: str
) -> tuple[dict[str, dict[str, str]], float]:
    """Pack in every way in a process of its own: SHA-256 by kind and name, and its most memory in MB."""
    folder.mkdir(exist_ok=True)
    (folder / "book.tar.gz").write_bytes(archive_of(book))
    config = make(Modifier).settings.path
    command = [sys.executable, str(SCRIPT), str(config), str(folder / "book.tar.gz"), str(folder / "book"), layout]
    variables = [f"{name}={value}" for name, value in environ.items()]
    shell = ["sh", "-c", f'umask {umask:o}; exec "$@"', "sh", "env", *variables, *command]
    done, peak = measured(shell)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), peak
