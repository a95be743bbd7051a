"""Books packed in every way there is, also by a process of its own, and what came of them."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from books import BARCODE, Members, done_event, run
from isal import igzip

from common import tarring
from common.config import load
from common.stage import Book, Facts
from services.extractor.stage import Extractor
from services.modifier.modification import Members as BookMembers
from services.modifier.modification import Modification
from services.modifier.stage import PACKAGES, Modifier

KINDS = tuple(PACKAGES)
LAYOUTS = ("files", "tar")
ARCHIVE = f"{BARCODE}.tar.gz"
Make = Callable[..., Any]


class Changes(Modification):
    """Uses every way there is to change a book, after it has looked at every member."""

    def apply(self, members: BookMembers, book: Book) -> Facts:
        """Read, add, replace, drop, rename; what was seen goes into a sidecar."""
        seen = {name: [members.size(name), members.md5(name), _sha256(members.read(name))] for name in members.names()}
        first, second, third = (members.pages.texts[number] for number in (1, 2, 3))
        with members.open(first) as file:
            seen["begins"] = [file.read(4).decode(), file.seek(2), file.read(3).decode()]
        members.add("added.txt", b"added")
        members.replace(first, members.read(first).upper())
        members.drop(second)
        members.rename(third, "renamed/third.txt")
        members.rename("added.txt", "renamed/added.txt")
        seen["renamed"] = [_sha256(members.read(name)) for name in ("renamed/third.txt", "renamed/added.txt")]
        members.sidecar(f"{book.barcode}.seen.json", json.dumps(seen).encode())
        return {"pages_seen": len(members.pages.numbers)}


def changed(members: Members) -> Members:
    """What `Changes` makes of a book."""
    left = dict(members)
    left["00000001.txt"] = left["00000001.txt"].upper()
    del left["00000002.txt"]
    left["renamed/third.txt"] = left.pop("00000003.txt")
    return left | {"renamed/added.txt": b"added"}


def archive_of(members: Members) -> bytes:
    """The members as Google packs them, quickly and the same bytes every time."""
    parts = (
        (tarring.header(name, len(data)), data, tarring.padding(len(data))) for name, data in sorted(members.items())
    )
    return igzip.compress(b"".join((*chain.from_iterable(parts), tarring.END)), 0, mtime=0)


def extract(folder: Path, make: Make, archive: bytes | Path, **options: object) -> Book:
    """Extract an archive, and the book as the modifier then gets it."""
    (folder / "decryptor").mkdir(parents=True)
    if isinstance(archive, Path):
        (folder / "decryptor" / ARCHIVE).hardlink_to(archive)
    else:
        (folder / "decryptor" / ARCHIVE).write_bytes(archive)
    facts = run(make(Extractor, **options), Book(BARCODE, folder, "", upstream=("decryptor",)))
    events = (done_event("extractor", "2026-01-01T00:00:00.000Z", **facts),)
    return Book(BARCODE, folder, "", upstream=("extractor", "decryptor"), events=events)


def pack(folder: Path, make: Make, members: Members, kind: str, layout: str = "files", **options: object) -> Facts:
    """Extract and pack a book; the modifier's facts, its files in `<folder>/modifier`."""
    book = extract(folder, make, archive_of(members), layout=layout, keep_archive=True)
    return run(make(Modifier, package=kind, **{"modifications": [], **options}), book)


def left(folder: Path) -> Members:
    """All files that the modifier has left, by their names."""
    root = folder / "modifier"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def unpacked(folder: Path, kind: str) -> Members:
    """The members in a package, read as its users do."""
    root = folder / "modifier"
    if kind == "tree":
        lines = (root / "manifest-sha256.txt").read_text().splitlines()
        return {name: (root / name).read_bytes() for name in (line.split("  ", 1)[1] for line in lines)}
    if kind in {"zip", "bagit"}:
        payload = f"{BARCODE}/data/" if kind == "bagit" else ""
        with zipfile.ZipFile(root / f"{BARCODE}.zip") as file:
            names = [name for name in file.namelist() if name.startswith(payload)]
            return {name.removeprefix(payload): file.read(name) for name in names}
    with tarfile.open(root / ARCHIVE) as tar:
        return {header.name: content.read() for header in tar if (content := tar.extractfile(header))}


def sums(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: _sha256(data) for name, data in sorted(files.items())}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(config: str, archive: str, folder: str, layout: str) -> None:
    """Pack one archive in every way and print the SHA-256 of all that is left."""
    settings = load(Path(config), environ={})

    def make(cls: type[Any], **options: object) -> Any:
        return cls(settings, settings.row(cls.__name__.lower()).model_copy(update={"options": options}))

    book = extract(Path(folder), make, Path(archive), layout=layout, keep_archive=True)
    found = {}
    for kind in KINDS:
        run(make(Modifier, package=kind, modifications=["fixity", "marc", "ocr_text"]), book)
        paths = [path for path in sorted((book.folder / "modifier").rglob("*")) if path.is_file()]
        found[kind] = {path.name: _file_sum(path) for path in paths}
        (book.folder / "modifier").rename(book.folder / f"packed-{kind}")
    print(json.dumps(found))


def _file_sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
