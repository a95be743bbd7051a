"""The uploader with a book that is brought again: beside what is held, never over it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, IN_STORE, PACKED, described, done_event, run, stored

from common import durable
from common.stage import Book, Facts
from services.uploader.stage import Uploader

NEWER = {**PACKED, f"{BARCODE}.tar.gz": b"scanned anew " * 4000}
BESIDE = {f"{BARCODE}/v2/{name}": data for name, data in NEWER.items()}
RENEWED = {"event": "renewed", "time": "2026-02-01T00:00:00.000Z", "id": "r1", "by": "ann@host"}


def delivered(book: Book, facts: Facts) -> list[Facts]:
    """The book's story once its upload is recorded."""
    return [*book.events, done_event("uploader", "2026-01-01T00:01:00.000Z", **facts)]


def again(book: Book, story: list[Facts], files: dict[str, bytes], *more: Facts) -> Book:
    """The same book, made anew of these files after `more` happened."""
    for path in (book.folder / "modifier").iterdir():
        # A file in the store may be another name of it.
        path.unlink()
    for name, data in files.items():
        (book.folder / "modifier" / name).write_bytes(data)
    package, *sidecars = described(files)
    fetched = done_event("downloader", "2026-02-01T00:00:10.000Z", etag='"def"')
    packed = done_event("modifier", "2026-02-01T00:00:30.000Z", package=package, sidecars=sidecars, warnings=["new"])
    return replace(book, events=[*story, *more, fetched, packed])


def provenance(done: Path, folder: str = "") -> dict[str, Any]:
    """The provenance of one version."""
    return dict(json.loads((done / BARCODE / folder / "provenance.json").read_bytes()))


@pytest.mark.quirk("new-versions")
def test_a_new_version_comes_beside_the_old(uploader: Uploader, book: Book, done: Path) -> None:
    """Its keys gain v2 before the name, and not one byte of the first version or its provenance changes."""
    story = delivered(book, run(uploader, book))
    before = (done / BARCODE / "provenance.json").read_bytes()
    facts = run(uploader, again(book, story, NEWER, RENEWED))
    assert stored(done) == IN_STORE | BESIDE
    assert (done / BARCODE / "provenance.json").read_bytes() == before
    assert facts["book_version"] == 2
    assert [file["key"] for file in facts["files"]] == list(BESIDE)


def test_its_provenance_names_what_it_supersedes(uploader: Uploader, book: Book, done: Path) -> None:
    """The version, the keys and checksums of the one before, and only the steps that made the new one."""
    story = delivered(book, run(uploader, book))
    run(uploader, again(book, story, NEWER, RENEWED))
    assert "book_version" not in provenance(done)
    found = provenance(done, "v2")
    assert (found["book_version"], found["supersedes"]["book_version"]) == (2, 1)
    assert found["supersedes"]["provenance"] == f"{BARCODE}/provenance.json"
    assert [file["key"] for file in found["supersedes"]["files"]] == list(IN_STORE)
    assert [step["stage"] for step in found["steps"]] == ["downloader", "modifier", "uploader"]
    assert (found["warnings"], found["files"]) == (["new"], described(NEWER))


def test_the_third_comes_beside_the_second(uploader: Uploader, book: Book, done: Path) -> None:
    """Each version has a folder of its own, and supersedes the one before."""
    story = delivered(book, run(uploader, book))
    second = again(book, story, NEWER, RENEWED)
    story = delivered(second, run(uploader, second))
    third = {**PACKED, f"{BARCODE}.txt": b"third"}
    run(uploader, again(book, story, third, {**RENEWED, "id": "r2"}))
    assert stored(done) == IN_STORE | BESIDE | {f"{BARCODE}/v3/{name}": data for name, data in third.items()}
    assert provenance(done, "v3")["supersedes"]["book_version"] == 2


def test_the_same_bytes_once_more_are_only_noted(uploader: Uploader, book: Book, done: Path) -> None:
    """Nothing is written, not even a provenance; the ledger learns that it came unchanged."""
    story = delivered(book, run(uploader, book))
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in done.rglob("*")}
    facts = run(uploader, again(book, story, PACKED, RENEWED))
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in done.rglob("*")} == before
    assert (facts["unchanged"], facts["skipped"], facts["bytes_out"]) == (True, 3, 0)


def test_the_same_bytes_heal_what_the_store_lost(uploader: Uploader, book: Book, done: Path) -> None:
    """A book sent back for what is missing or damaged gets just that again, in its old place."""
    story = delivered(book, run(uploader, book))
    package = done / BARCODE / f"{BARCODE}.tar.gz"
    (done / BARCODE / f"{BARCODE}.txt").unlink()
    package.unlink()
    package.write_bytes(b"damaged")
    facts = run(uploader, again(book, story, PACKED, {"event": "reseeded", "from": "done", "id": "x"}))
    assert stored(done) == IN_STORE
    assert facts["skipped"] == 1


def test_other_bytes_never_go_over_what_is_left(uploader: Uploader, book: Book, done: Path) -> None:
    """A sidecar was lost and GRIN's archive is another one by now: what is left of the first version stays."""
    story = delivered(book, run(uploader, book))
    (done / BARCODE / f"{BARCODE}.txt").unlink()
    run(uploader, again(book, story, NEWER, {"event": "reseeded", "from": "done", "id": "x"}))
    left = {key: data for key, data in IN_STORE.items() if not key.endswith(".txt")}
    assert stored(done) == left | BESIDE


def test_an_announcement_that_moved_nothing_makes_no_version(uploader: Uploader, book: Book, done: Path) -> None:
    """`unchanged` takes back its own `renewed`, and no other's."""
    story = delivered(book, run(uploader, book))
    unmoved = {"event": "unchanged", "command": "renewed", "id": "r1"}
    for files in (NEWER, PACKED):
        # Nobody sent for it: somebody moved the token by hand, to have it made again in its place.
        run(uploader, again(book, story, files, RENEWED, unmoved))
        assert stored(done) == {f"{BARCODE}/{name}": data for name, data in files.items()}
    run(uploader, again(book, story, NEWER, RENEWED, {**RENEWED, "id": "r2"}, unmoved))
    assert stored(done) == IN_STORE | BESIDE


def test_announced_twice_is_one_version(uploader: Uploader, book: Book, done: Path) -> None:
    """Who announced was killed before the move, and announced it once more: the book moved once."""
    story = delivered(book, run(uploader, book))
    run(uploader, again(book, story, NEWER, RENEWED, {**RENEWED, "id": "r2"}))
    assert stored(done) == IN_STORE | BESIDE


def test_an_upload_that_was_killed_late_puts_the_same_version(uploader: Uploader, book: Book, done: Path) -> None:
    """Proven and recorded, and killed before the token moved: the next attempt finds version 2 there, and skips it."""
    story = delivered(book, run(uploader, book))
    second = again(book, story, NEWER, RENEWED)
    story = delivered(second, run(uploader, second))
    facts = run(uploader, replace(second, events=story, attempt=2))
    assert stored(done) == IN_STORE | BESIDE
    assert (facts["book_version"], facts["skipped"]) == (2, 3)
    assert provenance(done, "v2")["supersedes"]["book_version"] == 1


@pytest.mark.parametrize(
    ("template", "first", "second"),
    [
        ("{version}/{barcode}/{name}", f"{BARCODE}/", f"v2/{BARCODE}/"),
        ("{barcode}/{version}/x-{name}", f"{BARCODE}/x-", f"{BARCODE}/v2/x-"),
        ("{library}/{barcode}/{name}", f"TESTLIB/{BARCODE}/", f"TESTLIB/{BARCODE}/v2/"),
    ],
)
def test_the_template_places_versions(
    make: Callable[..., Uploader], book: Book, done: Path, template: str, first: str, second: str
) -> None:
    """`{version}` is a folder of its own that the first version does without; elsewhere it comes before the name."""
    stage = make(Uploader, key=template)
    assert stage.check() == []
    story = delivered(book, run(stage, book))
    run(stage, again(book, story, NEWER, RENEWED))
    expected = {first + name: data for name, data in PACKED.items()} | {second + n: data for n, data in NEWER.items()}
    found = {str(path.relative_to(done)): path.read_bytes() for path in done.rglob("*") if path.is_file()}
    assert {key: data for key, data in found.items() if not key.endswith("provenance.json")} == expected


@pytest.mark.parametrize(
    "template", ["{barcode}{version}/{name}", "{barcode}/{version}-{name}", "{barcode}/{version:.1}/{name}"]
)
def test_a_version_beside_other_letters_is_refused(make: Callable[..., Uploader], template: str) -> None:
    """`{barcode}{version}` would make the second version of book X the first of book Xv2."""
    [problem] = make(Uploader, key=template).check()
    assert "{version} as a folder of its own" in problem


RESEEDED = {"event": "reseeded", "from": "done", "id": "x"}


@pytest.mark.parametrize("harm", [b"", b"x", None])
def test_a_damaged_provenance_is_mended(uploader: Uploader, book: Book, done: Path, harm: bytes | None) -> None:
    """What stands there must be what the ledger says of it; what is put anew is told, and stays from then on."""
    story = delivered(book, run(uploader, book))
    path = done / BARCODE / "provenance.json"
    path.unlink()
    if harm is not None:
        path.write_bytes(harm)
    mended = again(book, story, PACKED, RESEEDED)
    facts = run(uploader, mended)
    told = path.read_bytes()
    assert json.loads(told)["files"] == described(PACKED)
    assert (facts["unchanged"], facts["provenance_sha256"]) == (True, hashlib.sha256(told).hexdigest())
    later = again(book, delivered(mended, facts), PACKED, {**RESEEDED, "id": "y"})
    facts = run(uploader, later)
    assert "provenance_sha256" not in facts
    assert path.read_bytes() == told
    path.write_bytes(b"harmed again")
    facts = run(uploader, again(book, delivered(later, facts), PACKED, {**RESEEDED, "id": "z"}))
    assert facts["provenance_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_provenance_that_no_ledger_proves_stays(uploader: Uploader, book: Book, done: Path) -> None:
    """Releases before this one did not tell its SHA-256."""
    facts = {name: fact for name, fact in run(uploader, book).items() if not name.startswith("provenance_")}
    (done / BARCODE / "provenance.json").write_bytes(b"{}")
    assert "provenance_sha256" not in run(uploader, again(book, delivered(book, facts), PACKED, RESEEDED))
    assert (done / BARCODE / "provenance.json").read_bytes() == b"{}"


def test_a_held_tree_keeps_its_keys_when_the_template_changes(
    make: Callable[..., Uploader], book: Book, done: Path
) -> None:
    """A page that was lost comes back to where it was looked for, and no other page lies there twice."""
    loose = {"00000001.tif": b"image", "ocr/00000001.html": b"<html>"}
    manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in loose.items()).encode()
    story: list[Facts] = list(book.events)

    def bring(template: str, *more: Facts) -> None:
        shutil.rmtree(book.folder / "modifier")
        for name, data in {"manifest-sha256.txt": manifest, **loose}.items():
            durable.make_dirs((book.folder / "modifier" / name).parent)
            (book.folder / "modifier" / name).write_bytes(data)
        [package] = described({"manifest-sha256.txt": manifest})
        story.extend((*more, done_event("modifier", "2026-02-01T00:00:30.000Z", package=package, tree=True)))
        facts = run(make(Uploader, key=template), replace(book, events=tuple(story)))
        story.append(done_event("uploader", "2026-02-01T00:01:00.000Z", **facts))

    bring("{barcode}/{name}")
    before = stored(done)
    (done / BARCODE / "ocr" / "00000001.html").unlink()
    bring("{library}/{barcode}/x-{name}", RESEEDED)
    assert stored(done) == before
    assert list(before) and all(key.startswith(f"{BARCODE}/") for key in before)
