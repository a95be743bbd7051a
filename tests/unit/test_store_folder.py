"""The done bucket as a folder, as whoever reads it sees it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from common.artifacts import describe_bytes
from common.errors import Halt, Redo, Reject, Retry
from common.store import Bucket, open_bucket


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """A bucket with two objects and a leftover of a killed upload."""
    (tmp_path / "done" / "B1").mkdir(parents=True)
    for name in ("a.txt", "b.txt", ".put~B1~1"):
        (tmp_path / "done" / "B1" / name).write_text(f"text of {name}")
    return open_bucket("done", tmp_path)


def test_an_object_is_described_and_read(bucket: Bucket) -> None:
    """Size, SHA-256 and the first bytes."""
    data = b"text of a.txt"
    found = bucket.describe("B1/a.txt")
    assert found is not None
    assert (found.size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (bucket.size("B1/a.txt"), bucket.read("B1/a.txt", 4), bucket.read("B1/a.txt", 99)) == (13, b"text", data)


@pytest.mark.parametrize("key", ["B1/none", "none/at/all", "B1/a.txt/below"])
def test_what_is_not_there_is_none(bucket: Bucket, key: str) -> None:
    """Not an error: an audit asks for it."""
    assert (bucket.size(key), bucket.describe(key), bucket.read(key, 1)) == (None, None, None)


def test_a_walk_tells_every_key_but_hidden_ones(bucket: Bucket) -> None:
    """What a killed upload has left is no object."""
    assert sorted(bucket.walk()) == ["B1/a.txt", "B1/b.txt"]


def test_a_bucket_that_is_gone_is_not_taken_for_an_empty_one(bucket: Bucket, tmp_path: Path) -> None:
    """Not there, empty, and another folder under the same name: each holds whoever looks for books."""
    bucket.require()
    (tmp_path / "done").rename(tmp_path / "away")
    with pytest.raises(Halt, match="cannot be read"):
        bucket.require()
    (tmp_path / "done").mkdir()
    with pytest.raises(Halt, match="is empty"):
        bucket.require()
    (tmp_path / "done" / "x").write_bytes(b"")
    with pytest.raises(Halt, match="another folder"):
        bucket.require()


def test_a_folder_that_cannot_be_read_holds(bucket: Bucket, tmp_path: Path) -> None:
    """A link in a circle cannot be read, and is not missing."""
    (tmp_path / "done" / "loop").symlink_to("loop")
    for ask in (bucket.describe, bucket.size, lambda key: bucket.read(key, 1)):
        with pytest.raises(Halt, match="cannot be read"):
            ask("loop")


def test_hidden_files_are_no_books(tmp_path: Path) -> None:
    """A bucket that was emptied may keep what a killed upload has left: an audit must not take it for full."""
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / ".put~B1~1").write_bytes(b"x")
    with pytest.raises(Halt, match="is empty"):
        open_bucket("done", tmp_path).require()


def test_nothing_becomes_visible_once_the_book_is_in_other_hands(bucket: Bucket, tmp_path: Path) -> None:
    """What was there stays, and nothing hidden is left."""

    def look() -> None:
        raise Retry("taken away")

    (tmp_path / "file").write_bytes(b"newer")
    mine = bucket.for_book("B2", {}, look)
    for key in ("B1/a.txt", "B1/new"):
        with pytest.raises(Retry, match="taken away"):
            mine.put_file(key, tmp_path / "file", describe_bytes(b"newer", key))
        with pytest.raises(Retry, match="taken away"):
            mine.put_bytes(key, b"newer")
    assert (bucket.read("B1/a.txt", 99), bucket.size("B1/new")) == (b"text of a.txt", None)
    assert not list((tmp_path / "done").rglob(".put~B2*"))


def test_a_file_that_is_gone_sends_the_book_back(bucket: Bucket, tmp_path: Path) -> None:
    """And is not told as a bucket that cannot be written."""
    with pytest.raises(Redo, match="is missing"):
        bucket.put_file("B1/new", tmp_path / "gone", describe_bytes(b"x", ""))


def test_a_name_that_no_file_can_have_fails_the_book(bucket: Bucket) -> None:
    """Of all books, only this one; with a cure."""
    with pytest.raises(Reject, match="File name too long") as refused:
        bucket.put_bytes(f"B1/{'y' * 300}", b"x")
    assert "`rename`" in refused.value.cure


def test_each_folder_is_swept_once(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree has thousands of files in one folder, which may be slow to list."""
    swept: list[Path] = []
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: (swept.append(path), glob(path, pattern))[1])
    bucket.for_book("B1", {}).sweep(f"B1/{part}{number}" for part in ("", "ocr/") for number in range(50))
    assert sorted(swept) == [tmp_path / "done" / "B1", tmp_path / "done" / "B1" / "ocr"]
    assert not list((tmp_path / "done").rglob(".put*"))
