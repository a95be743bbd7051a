"""The uploader: what is in the store is whole and proven, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from books import BARCODE, IN_STORE, PACKED, described, run, stored

from common import __version__
from common.artifacts import describe
from common.stage import Book, Halt, Redo, Reject, Retry
from services.uploader.stage import Uploader


def test_the_book_is_in_the_store_whole(uploader: Uploader, book: Book, done: Path) -> None:
    """Package and sidecars lie below the barcode, and no hidden file is left."""
    facts = run(uploader, book)
    assert stored(done) == IN_STORE
    assert facts["bytes_in"] == facts["bytes_out"] == sum(map(len, PACKED.values()))
    assert [file["key"] for file in facts["files"]] == list(IN_STORE)


def test_one_file_system_needs_no_copy(uploader: Uploader, book: Book, done: Path) -> None:
    """The object is a hard link of the working file."""
    run(uploader, book)
    name = f"{BARCODE}.tar.gz"
    assert (done / BARCODE / name).samefile(book.folder / "modifier" / name)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no second file system to write to")
def test_another_file_system_gets_a_copy(uploader: Uploader, book: Book, tmp_path: Path) -> None:
    """Where a hard link cannot be, the bytes are copied and proven alike."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if Path(elsewhere).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system to write to")
        run(uploader, replace(book, done_bucket=elsewhere))
        assert stored(Path(elsewhere)) == IN_STORE


def test_the_provenance_tells_the_whole_way(uploader: Uploader, book: Book, done: Path) -> None:
    """Steps with their times and facts, files, members, and the warnings that still hold."""
    run(uploader, book)
    found = json.loads((done / BARCODE / "provenance.json").read_bytes())
    assert (found["barcode"], found["library"], found["version"]) == (BARCODE, "TESTLIB", __version__)
    assert [step["stage"] for step in found["steps"]] == ["downloader", "extractor", "modifier", "uploader"]
    assert found["steps"][0] == {
        "stage": "downloader",
        "attempt": 1,
        "started": "2026-01-01T00:00:08.500Z",
        "finished": "2026-01-01T00:00:10.000Z",
        "seconds": 1.5,
        "version": "0.1.0",
        "worker": "w1",
        "facts": {"etag": '"abc"', "sha256": "0" * 64},
    }
    assert found["files"] == described(PACKED)
    assert (found["members"], found["warnings"]) == (6, ["odd", "gap"])


def test_an_upload_that_was_recorded_and_not_moved_is_told_once(uploader: Uploader, book: Book, done: Path) -> None:
    """A worker killed between its last line and its last rename leaves no second upload in the provenance."""
    facts = run(uploader, book)
    recorded = {"event": "done", "stage": uploader.row.name, "time": "2026-01-01T00:00:00Z", "facts": facts}
    run(uploader, replace(book, events=[*book.events, recorded], attempt=2))
    found = json.loads((done / BARCODE / "provenance.json").read_text())
    assert [step["stage"] for step in found["steps"]].count(uploader.row.name) == 1


def test_a_story_without_times_is_told_too(uploader: Uploader, book: Book, done: Path) -> None:
    """A ledger by another hand may lack anything but the event."""
    run(
        uploader,
        replace(book, events=[{"event": "done"}, {"event": "done", "stage": "x", "time": "now", "seconds": 1}]),
    )
    found = json.loads((done / BARCODE / "provenance.json").read_bytes())
    assert [step["started"] for step in found["steps"][:-1]] == [None, None]
    assert (found["members"], found["warnings"]) == (None, [])


def test_without_a_ledger_the_files_speak_for_themselves(uploader: Uploader, book: Book, done: Path) -> None:
    """Whatever the stage before has left is uploaded, folders too; links are not."""
    (book.folder / "modifier" / "more").mkdir()
    (book.folder / "modifier" / "more" / "file").write_bytes(b"x")
    (book.folder / "modifier" / "link").symlink_to("/etc/passwd")
    run(uploader, replace(book, events=()))
    assert stored(done) == IN_STORE | {f"{BARCODE}/more/file": b"x"}


def test_what_is_there_and_equal_is_skipped(uploader: Uploader, book: Book, done: Path) -> None:
    """A second run sends nothing and changes no inode."""
    run(uploader, book)
    before = {path: path.stat().st_ino for path in done.rglob("*")}
    facts = run(uploader, book)
    assert (facts["bytes_out"], facts["skipped"]) == (0, 3)
    assert {path: path.stat().st_ino for path in done.rglob("*")} == before


@pytest.mark.parametrize("old", [b"old", b"x" * len(PACKED[f"{BARCODE}.tar.gz"])])
def test_what_is_there_and_differs_is_replaced(uploader: Uploader, book: Book, done: Path, old: bytes) -> None:
    """Another version of the book, of another length or the same, is replaced by a rename."""
    (done / BARCODE).mkdir(parents=True)
    target = done / BARCODE / f"{BARCODE}.tar.gz"
    target.write_bytes(old)
    with target.open("rb") as reader:
        assert run(uploader, book)["skipped"] == 0
        assert reader.read() == old
    assert stored(done) == IN_STORE


def test_a_file_damaged_since_it_was_packed_never_gets_there(uploader: Uploader, book: Book, done: Path) -> None:
    """The ledger knows the true SHA-256: the book is made again, and the store keeps what it had."""
    run(uploader, book)
    (book.folder / "modifier" / f"{BARCODE}.txt").unlink()
    (book.folder / "modifier" / f"{BARCODE}.txt").write_bytes(b"tExt")
    (done / BARCODE / f"{BARCODE}.txt").unlink()
    with pytest.raises(Redo, match="damaged"):
        uploader.process(book, book.folder)
    assert f"{BARCODE}/{BARCODE}.txt" not in stored(done)
    assert not list(done.rglob(".*"))


def test_a_file_that_is_gone_sends_the_book_back(uploader: Uploader, book: Book, done: Path) -> None:
    """What the ledger promises and the disk lacks is made again, before anything is sent."""
    (book.folder / "modifier" / f"{BARCODE}.txt").unlink()
    with pytest.raises(Redo, match="missing"):
        uploader.process(book, book.folder)
    assert not stored(done)


def test_nothing_to_upload_sends_the_book_back(uploader: Uploader, folder: Path, done: Path) -> None:
    """An empty folder is no book."""
    (folder / "modifier").mkdir()
    with pytest.raises(Redo, match="nothing"):
        uploader.process(Book(BARCODE, folder, str(done), upstream=("modifier",)), folder)


def test_a_store_that_does_not_keep_what_it_gets_is_found_out(
    uploader: Uploader, book: Book, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are read back from the store: a copy that went wrong is tried again, and never seen."""

    def bad_copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:-1] + b"?")

    monkeypatch.setattr("common.store.folder._link_or_copy", bad_copy)
    with pytest.raises(Retry, match="did not arrive"):
        uploader.process(book, book.folder)
    assert stored(done) == {}


def test_the_provenance_comes_last(uploader: Uploader, book: Book, done: Path) -> None:
    """Where there is a provenance, there is the whole book."""
    (book.folder / "modifier" / f"{BARCODE}.marc.json").write_bytes(b"[]")
    with pytest.raises(Redo):
        uploader.process(book, book.folder)
    assert not (done / BARCODE / "provenance.json").exists()


def test_many_at_once_leave_one_whole_book(make: Callable[..., Uploader], book: Book, done: Path) -> None:
    """Eight uploaders on one book, a reader beside them: every object is absent or whole at each moment."""
    stop = threading.Event()
    partial: list[str] = []

    def watch() -> None:
        while not stop.is_set():
            for key, data in IN_STORE.items():
                path = done / key
                if path.exists() and path.read_bytes() != data:
                    partial.append(key)

    def upload() -> None:
        for _ in range(5):
            make(Uploader).process(book, book.folder)

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert (stored(done), partial) == (IN_STORE, [])


def test_a_killed_attempts_leftovers_are_swept(uploader: Uploader, book: Book, done: Path) -> None:
    """Only a second attempt can find hidden files of this book; other books' are left alone."""
    (done / BARCODE).mkdir(parents=True)
    own, other = done / BARCODE / f".put~{BARCODE}~1", done / BARCODE / f".put~{BARCODE}-2~1"
    own.write_bytes(b"half")
    other.write_bytes(b"half")
    run(uploader, replace(book, attempt=2))
    assert (own.exists(), other.exists()) == (False, True)


@pytest.mark.parametrize("bucket", ["ftp://bucket/prefix", "s3://", "s3://Bucket", "gs://bucket/../x", "s3:/x", "~/x"])
def test_a_token_whose_bucket_cannot_be_is_rejected(uploader: Uploader, book: Book, bucket: str) -> None:
    """A sentence and a cure, and no folder named s3: is made."""
    with pytest.raises(Reject, match=bucket) as refusal:
        uploader.process(replace(book, done_bucket=bucket), book.folder)
    assert "token" in refusal.value.cure


def test_a_store_that_cannot_be_written_holds_the_stage(uploader: Uploader, book: Book, tmp_path: Path) -> None:
    """Not the book's fault: Halt, with a cure."""
    (tmp_path / "file").write_bytes(b"")
    for bucket in (tmp_path / "file" / "done", Path("/proc/done")):
        with pytest.raises(Halt, match="cannot be written") as halt:
            uploader.process(replace(book, done_bucket=str(bucket)), book.folder)
        assert "mounted" in halt.value.cure


def test_a_full_store_is_the_workers_matter(
    uploader: Uploader, book: Book, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC goes up as it is, and leaves nothing behind."""

    def full(_source: Path, target: Path) -> None:
        target.write_bytes(b"ha")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("common.store.folder._link_or_copy", full)
    with pytest.raises(OSError, match="No space"):
        uploader.process(book, book.folder)
    assert stored(done) == {}


def test_a_bucket_that_has_gone_is_not_made_again(uploader: Uploader, book: Book, done: Path) -> None:
    """A mount that vanishes under a running uploader must not turn into a folder on the wrong disk."""
    run(uploader, book)
    done.rename(done.with_name("unmounted"))
    with pytest.raises(Halt, match="gone"):
        uploader.process(book, book.folder)
    assert not done.exists()


def test_a_new_bucket_waits_for_its_first_book(uploader: Uploader, book: Book, done: Path) -> None:
    """Where the first book is sent back before anything was put, the next one makes the bucket."""
    (book.folder / "modifier" / f"{BARCODE}.txt").rename(book.folder / "txt")
    with pytest.raises(Redo):
        uploader.process(book, book.folder)
    (book.folder / "txt").rename(book.folder / "modifier" / f"{BARCODE}.txt")
    run(uploader, book)
    assert stored(done) == IN_STORE


def test_a_late_worker_puts_nothing_over_the_newer_book(
    uploader: Uploader, book: Book, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept while the book was made again and brought home: its files are others now, and it lets go."""
    folder = book.folder / "modifier"

    def slow_copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        if source.name.endswith(".tar.gz"):
            folder.rename(book.folder / "gone")
            shutil.copytree(book.folder / "gone", folder)

    monkeypatch.setattr("common.store.folder._link_or_copy", slow_copy)
    with pytest.raises(Retry, match="were taken away"):
        uploader.process(book, book.folder)
    assert f"{BARCODE}/{BARCODE}.tar.gz" not in stored(done)
    assert not (done / BARCODE / "provenance.json").exists()


def test_a_new_worker_makes_no_bucket_where_books_were_delivered(
    uploader: Uploader, make: Callable[..., Uploader], book: Book, done: Path
) -> None:
    """A worker that never saw the store knows by the board that there was one; the cure tells how to begin another."""
    output = uploader.row.output_pipe
    output.mkdir(parents=True)
    (output / "B1.json").write_text("{}")
    with pytest.raises(Halt, match="gone") as halted:
        make(Uploader).process(book, book.folder)
    assert f"mkdir {done}" in halted.value.cure
    assert not done.exists()
    (output / "B1.json").unlink()
    run(uploader, book)
    assert stored(done) == IN_STORE


def test_a_relative_bucket_is_relative_to_the_configuration(uploader: Uploader, book: Book, done: Path) -> None:
    """The token's done_bucket does not depend on the working directory."""
    run(uploader, replace(book, done_bucket="done"))
    assert stored(done) == IN_STORE


def test_the_working_files_go_after_the_token_has_moved(uploader: Uploader, book: Book, done: Path) -> None:
    """process() keeps them, moved() removes them all, and once more does no harm."""
    run(uploader, book)
    assert (book.folder / "modifier").is_dir()
    uploader.moved(book)
    uploader.moved(book)
    assert list(book.folder.parent.iterdir()) == []
    assert stored(done) == IN_STORE


def test_what_a_killed_worker_left_goes_with_the_next_start(uploader: Uploader) -> None:
    """Half-removed folders and those of books that are done are removed; books on their way are not touched."""
    bucket, done = uploader.settings.global_.processing_bucket, uploader.row.output_pipe
    (bucket / ".gone-39000000000026-abc" / "members").mkdir(parents=True)
    (bucket / "39000000000042" / "modifier").mkdir(parents=True)
    (bucket / "39000000000034").mkdir(parents=True)
    done.mkdir(parents=True, exist_ok=True)
    (done / "39000000000042.json").write_text("{}")
    uploader.opened()
    assert sorted(path.name for path in bucket.glob("*[42]*")) == ["39000000000034"]


def test_an_artifact_is_what_the_file_is(tmp_path: Path) -> None:
    """Size and SHA-256 are those of the bytes on disk."""
    (tmp_path / "a").write_bytes(b"abc")
    found = describe(tmp_path / "a", "a")
    assert (found.size, found.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
