"""The uploader and a real S3 server: whole and proven objects, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from books import BARCODE, IN_STORE, PACKED, done_event, run
from obstore.store import S3Store

from common.stage import Book, Facts, Halt, Redo, Reject, Retry
from common.store import connect
from services.uploader.stage import Uploader
from tests.helpers import measured, until
from tests.objects.proxy import ANSWER_LOST, CUT_ANSWER, ERROR_IN_200, FLIPPED, REFUSED, RESET_AFTER, Proxy, proxying
from tests.objects.server import Server

PACKAGE = f"{BARCODE}/{BARCODE}.tar.gz"
LARGE = os.urandom(2**20) * 13


class Shelf:
    """One prefix of the server, past everything that is to be tested."""

    def __init__(self, server: Server, url: str) -> None:
        self.server, self.url = server, url
        self.store: S3Store = server.store(url.removeprefix(f"s3://{server.bucket}/"))

    def held(self) -> dict[str, bytes]:
        """All objects by key, without the provenance."""
        keys = [one["path"] for page in obstore.list(self.store) for one in page]
        return {key: self.get(key) for key in keys if not key.endswith("provenance.json")}

    def get(self, key: str) -> bytes:
        """One object."""
        return bytes(obstore.get(self.store, key).bytes())

    def labels(self, key: str) -> dict[str, str]:
        """What one object is labelled with."""
        return dict(obstore.get(self.store, key, options={"head": True}).attributes)


@pytest.fixture
def shelf(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """An empty prefix; the standard variables lead to its server."""
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    return Shelf(s3_server, s3_server.url())


@pytest.fixture
def book(book: Book, shelf: Shelf) -> Book:
    """The packed book, on its way to that prefix."""
    return replace(book, done_bucket=shelf.url)


@pytest.fixture
def proxy(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that all requests go through; it does no harm by itself. Patience is short."""
    quick = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=9)}
    monkeypatch.setitem(connect._RETRY, "backoff", quick)
    with proxying(Proxy(shelf.server.endpoint)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


def with_files(book: Book, files: dict[str, bytes], **more: Any) -> Book:
    """The book as a modifier has packed it: these files, the first of them its package."""
    folder = book.folder / "modifier"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    package, *sidecars = (
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name not in more.get("loose", ())
    )
    facts = {"package": package, "sidecars": sidecars, **({"tree": True} if "loose" in more else {})}
    return replace(book, events=[*book.events, done_event("modifier", "2026-01-01T00:00:40.000Z", **facts)])


def large(book: Book) -> Book:
    """The book with a package that goes in parts."""
    return with_files(book, {f"{BARCODE}.tar.gz": LARGE})


def test_the_book_is_in_the_store_whole(uploader: Uploader, book: Book, shelf: Shelf) -> None:
    """Package, sidecars and provenance, as in a folder; the facts name each key."""
    facts = run(uploader, book)
    assert shelf.held() == IN_STORE
    assert [file["key"] for file in facts["files"]] == list(IN_STORE)
    assert facts["bytes_out"] == sum(map(len, PACKED.values()))
    found = shelf.get(f"{BARCODE}/provenance.json")
    assert [file["name"] for file in json.loads(found)["files"]] == list(PACKED)
    assert facts["provenance_sha256"] == hashlib.sha256(found).hexdigest()


def test_objects_are_labelled(make: Callable[..., Uploader], book: Book, shelf: Shelf) -> None:
    """Barcode, SHA-256, GRIN's ETag, the options' metadata and a content type; in parts or not."""
    stage = make(Uploader, metadata={"collection": "Rare books"}, part_size="5MiB")
    assert stage.check() == []
    run(stage, large(book))
    for key, kind in ((PACKAGE, "application/gzip"), (f"{BARCODE}/provenance.json", "application/json")):
        labels = shelf.labels(key)
        assert (labels["barcode"], labels["grinetag"], labels["collection"]) == (BARCODE, "abc", "Rare books")
        assert labels["Content-Type"] == kind
        assert labels["sha256"] == hashlib.sha256(shelf.get(key)).hexdigest()


def test_the_storage_class_and_the_checksum_are_the_stores(
    make: Callable[..., Uploader], book: Book, proxy: Proxy
) -> None:
    """Both are sent along, so that the store itself refuses bytes that are not those that were meant."""
    heads: list[bytes] = []
    carry_out = proxy._carry_out
    proxy._carry_out = lambda request, fault: (heads.append(request.head.lower()), carry_out(request, fault))[1]
    run(make(Uploader, storage_class="STANDARD_IA", part_size="5MiB"), large(book))
    begun = [head for head in heads if head.startswith((b"put", b"post")) and b"partnumber" not in head]
    begun = [head for head in begun if b"uploadid" not in head]
    assert len(begun) == 2
    assert all(b"x-amz-storage-class: standard_ia" in head for head in begun)
    put = [head for head in heads if head.startswith(b"put")]
    assert len(put) == 4
    assert all(b"x-amz-checksum-sha256" in head for head in put)


def test_a_large_file_goes_in_parts(make: Callable[..., Uploader], book: Book, proxy: Proxy, shelf: Shelf) -> None:
    """Three parts of 5 MiB for 13 MiB, and the object is what the file is."""
    run(make(Uploader, part_size="5MiB"), large(book))
    assert len([target for method, target in proxy.seen if method == "PUT" and "partNumber" in target]) == 3
    assert shelf.get(PACKAGE) == LARGE


@pytest.mark.parametrize("read_back", [True, False])
def test_what_is_there_and_equal_is_skipped(
    make: Callable[..., Uploader], book: Book, proxy: Proxy, read_back: bool
) -> None:
    """A second run puts nothing, and reads it all again unless the options say otherwise."""
    stage = make(Uploader, read_back=read_back)
    run(stage, large(book))
    proxy.seen.clear()
    facts = run(stage, large(book))
    assert (facts["bytes_out"], facts["skipped"]) == (0, 1)
    assert not [method for method, _ in proxy.seen if method in ("PUT", "POST")]
    assert (("GET", f"/{shelf_path(book)}/{PACKAGE}") in proxy.seen) is read_back


def shelf_path(book: Book) -> str:
    """Bucket and prefix of the book's store."""
    return book.done_bucket.removeprefix("s3://")


@pytest.mark.parametrize("old", [b"old", b"x" * len(PACKED[f"{BARCODE}.tar.gz"])])
@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_there_and_differs_is_put_anew(
    uploader: Uploader, book: Book, shelf: Shelf, old: bytes, labelled: bool
) -> None:
    """Damaged, an older state or another hand's: whatever its size and its label say, its bytes decide."""
    true = hashlib.sha256(PACKED[f"{BARCODE}.tar.gz"]).hexdigest()
    obstore.put(shelf.store, PACKAGE, old, attributes={"sha256": true} if labelled else None)
    assert run(uploader, book)["skipped"] == 0
    assert shelf.held() == IN_STORE


def test_an_unlabelled_object_counts_by_its_bytes(uploader: Uploader, book: Book, shelf: Shelf) -> None:
    """What another tool has put, byte for byte the same, is not put again."""
    obstore.put(shelf.store, PACKAGE, PACKED[f"{BARCODE}.tar.gz"])
    assert run(uploader, book)["skipped"] == 1


@pytest.mark.parametrize("harm", ["changed", "shorter", "longer"])
@pytest.mark.parametrize("data", [PACKED[f"{BARCODE}.tar.gz"], LARGE], ids=["at once", "in parts"])
def test_a_file_damaged_on_the_disk_never_gets_there(
    make: Callable[..., Uploader], book: Book, shelf: Shelf, harm: str, data: bytes
) -> None:
    """The book is made again, the store keeps what it had, and no half upload is left."""
    book = with_files(book, {f"{BARCODE}.tar.gz": data})
    obstore.put(shelf.store, PACKAGE, b"held")
    harmed = {"changed": data[:-1] + b"?", "shorter": data[:-1], "longer": data + b"?"}[harm]
    (book.folder / "modifier" / f"{BARCODE}.tar.gz").write_bytes(harmed)
    with pytest.raises(Redo, match="damaged"):
        make(Uploader, part_size="5MiB").process(book, book.folder)
    assert shelf.held() == {PACKAGE: b"held"}
    assert not list(obstore.list(shelf.store, f"{BARCODE}/provenance.json"))


@pytest.mark.parametrize("data", [PACKED[f"{BARCODE}.tar.gz"], LARGE], ids=["at once", "in parts"])
def test_a_bit_that_turns_on_the_way_is_refused_by_the_store(
    make: Callable[..., Uploader], book: Book, proxy: Proxy, shelf: Shelf, data: bytes
) -> None:
    """The store checks the SHA-256 that goes along, and nothing wrong becomes visible."""
    book = with_files(book, {f"{BARCODE}.tar.gz": data})
    proxy.rate, proxy.faults = 1.0, (FLIPPED,)
    with pytest.raises(Retry, match="as it was sent"):
        make(Uploader, part_size="5MiB").process(book, book.folder)
    assert proxy.counts[FLIPPED] > 0
    assert shelf.held() == {}


def test_a_lost_answer_changes_nothing(uploader: Uploader, book: Book, proxy: Proxy, shelf: Shelf) -> None:
    """The library tries again, finds its own object there, and it is equal."""
    proxy.rate, proxy.faults = 0.4, (ANSWER_LOST, CUT_ANSWER, REFUSED)
    run(uploader, book)
    assert proxy.counts[ANSWER_LOST] > 0
    assert shelf.held() == IN_STORE


@pytest.mark.parametrize("fault", [ANSWER_LOST, CUT_ANSWER, ERROR_IN_200, RESET_AFTER])
def test_an_upload_in_parts_whose_end_is_not_known_is_looked_at(
    make: Callable[..., Uploader], book: Book, proxy: Proxy, shelf: Shelf, fault: str
) -> None:
    """Whatever becomes of the request that completes it, the object is there and counts, and no attempt is lost."""
    proxy.faults = (fault,)
    ends = [fault]
    proxy.choose = lambda request: (
        ends.pop() if ends and request.method == "POST" and "uploadId" in request.target else ""
    )
    run(make(Uploader, part_size="5MiB"), large(book))
    assert (proxy.counts[fault], shelf.held()) == (1, {PACKAGE: LARGE})


def test_many_at_once_leave_one_whole_book(make: Callable[..., Uploader], book: Book, shelf: Shelf) -> None:
    """Six uploaders on one book: each ends well, and the objects are the book's."""
    threads = [threading.Thread(target=lambda: make(Uploader).process(book, book.folder)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.held() == IN_STORE


def test_the_provenance_comes_last(uploader: Uploader, book: Book, shelf: Shelf) -> None:
    """Where there is a provenance, there is the whole book."""
    (book.folder / "modifier" / f"{BARCODE}.marc.json").write_bytes(b"[]")
    with pytest.raises(Redo):
        uploader.process(book, book.folder)
    assert not any(key.endswith("provenance.json") for page in obstore.list(shelf.store) for key in [page[0]["path"]])


def tree(book: Book) -> tuple[Book, dict[str, bytes]]:
    """The book as loose files with a manifest, and what should be in the store."""
    loose = {f"{number:08d}.txt": f"page {number}".encode() for number in range(1, 31)} | {"more/x.tif": b"image"}
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(loose.items()))
    files = {"manifest-sha256.txt": lines.encode(), f"{BARCODE}.marc.json": b"{}", **loose}
    return with_files(book, files, loose=loose), {f"{BARCODE}/{name}": data for name, data in files.items()}


@pytest.mark.parametrize("where", ["objects", "folder"])
def test_a_tree_is_put_file_by_file(uploader: Uploader, book: Book, shelf: Shelf, done: Path, where: str) -> None:
    """Each under its own key; the ledger tells of the manifest, the sidecars, and how many files there are."""
    told, wanted = tree(book if where == "objects" else replace(book, done_bucket=str(done)))
    facts = run(uploader, told)
    held = (
        shelf.held()
        if where == "objects"
        else {path.relative_to(done).as_posix(): path.read_bytes() for path in done.rglob("*") if path.is_file()}
    )
    held.pop(f"{BARCODE}/provenance.json", None)
    assert held == wanted
    assert [file["name"] for file in facts["files"]] == ["manifest-sha256.txt", f"{BARCODE}.marc.json"]
    assert (facts["tree_files"], facts["skipped"]) == (31, 0)
    assert facts["bytes_in"] == facts["bytes_out"] == sum(map(len, wanted.values()))
    assert run(uploader, replace(told, attempt=2))["skipped"] == len(wanted)


def test_a_tree_without_a_ledger_is_known_by_its_manifest(uploader: Uploader, book: Book, shelf: Shelf) -> None:
    """What lies there speaks for itself, and the ledger still gets no line a page."""
    told, wanted = tree(book)
    for name in PACKED:
        (book.folder / "modifier" / name).unlink() if f"{BARCODE}/{name}" not in wanted else None
    facts = run(uploader, replace(told, events=()))
    assert shelf.held() == wanted
    assert (facts["tree_files"], len(facts["files"])) == (31, 2)


def test_the_manifest_comes_after_all_that_it_names(uploader: Uploader, book: Book, shelf: Shelf) -> None:
    """A file of the tree that is damaged keeps manifest and provenance away."""
    told, _ = tree(book)
    (book.folder / "modifier" / "00000030.txt").write_bytes(b"harm")
    with pytest.raises(Redo, match="damaged"):
        uploader.process(told, book.folder)
    assert not [key for key in shelf.held() if "manifest" in key or "marc" in key]


@pytest.mark.parametrize("line", ["x", f"{'0' * 64}  ../x", f"{'0' * 64}  /x", f"{'0' * 64}  provenance.json"])
def test_a_manifest_that_names_what_it_may_not_is_rejected(uploader: Uploader, book: Book, line: str) -> None:
    """Nothing outside the book's folder, and not our own files."""
    told = with_files(book, {"manifest-sha256.txt": f"{line}\n".encode()}, loose=())
    with pytest.raises(Reject, match="names no file"):
        uploader.process(told, book.folder)


def test_a_damaged_manifest_sends_the_book_back(uploader: Uploader, book: Book) -> None:
    """It must be what the ledger says before anything that it says is believed."""
    told, _ = tree(book)
    (book.folder / "modifier" / "manifest-sha256.txt").write_bytes(b"")
    with pytest.raises(Redo, match="damaged"):
        uploader.process(told, book.folder)


def test_a_new_version_comes_beside_the_old(uploader: Uploader, book: Book, shelf: Shelf) -> None:
    """As in a folder: a book that was sent for again leaves the first version alone."""
    facts = run(uploader, book)
    delivered = [*book.events, done_event("uploader", "2026-01-01T00:01:00.000Z", **facts)]
    renewed: Facts = {"event": "renewed", "time": "2026-02-01T00:00:00.000Z", "id": "r1"}
    newer = with_files(replace(book, events=[*delivered, renewed]), {f"{BARCODE}.zip": b"scanned anew"})
    assert run(uploader, newer)["book_version"] == 2
    assert shelf.held() == IN_STORE | {f"{BARCODE}/v2/{BARCODE}.zip": b"scanned anew"}


def refusal(uploader: Uploader, book: Book) -> Halt:
    """What holds the stage."""
    with pytest.raises(Halt) as halted:
        uploader.process(book, book.folder)
    assert halted.value.cure
    return halted.value


CANARY = "canary0123456789SECRET"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", CANARY, "refuses us"),
        ("AWS_ACCESS_KEY_ID", CANARY, "refuses us"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "its host refuses the connection"),
        ("AWS_ENDPOINT_URL_S3", "http://no-such-host.invalid", "its host's name is not known"),
    ],
)
def test_a_store_that_is_away_or_refuses_holds_the_stage(
    uploader: Uploader, book: Book, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """Not the book's fault: Halt with a cure, within seconds, and without a word of the keys."""
    monkeypatch.setenv(variable, value)
    halt = refusal(uploader, book)
    assert words in halt.reason
    assert CANARY not in f"{halt.reason} {halt.cure} {halt!r}"


def test_a_missing_bucket_holds_the_stage(uploader: Uploader, book: Book) -> None:
    """A bucket is never made: who mistypes its name is told."""
    assert "There is no done bucket" in refusal(uploader, replace(book, done_bucket="s3://no-such-bucket/x")).reason


def test_a_store_that_only_answers_errors_holds_the_stage(uploader: Uploader, book: Book, proxy: Proxy) -> None:
    """After the library's own tries; and a stage that goes on finds the store well again."""
    proxy.rate, proxy.faults = 1.0, (REFUSED,)
    assert "answers 500" in refusal(uploader, book).reason
    proxy.rate = 0.0
    assert run(uploader, book)["skipped"] == 0


def test_keys_are_nowhere_to_be_read(
    uploader: Uploader, book: Book, shelf: Shelf, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in facts, objects, labels, logs, output or anything's repr."""
    caplog.set_level(logging.DEBUG)
    facts = run(uploader, book)
    keys = [one["path"] for page in obstore.list(shelf.store) for one in page]
    written = [repr(facts), repr(vars(uploader)), caplog.text, *capfd.readouterr()]
    written += [repr((shelf.get(key), shelf.labels(key))) for key in keys]
    written += [repr(bucket) + repr(vars(bucket)) for bucket in uploader._buckets.values()]
    assert not [text for text in written if shelf.server.secret_key in text or shelf.server.access_key in text]


_UPLOAD = """
import sys
from pathlib import Path
from common.artifacts import describe
from common.store import open_bucket
path = Path(sys.argv[2])
bucket = open_bucket(sys.argv[1], Path("/")).for_book("B1", {})
assert bucket.put_file("B1/package", path, describe(path, "package"))
"""


def test_memory_is_flat(shelf: Shelf, tmp_path: Path) -> None:
    """Far below 120 MB, however large the file; MEMORY_MB asks for a larger one."""
    size = int(os.environ.get("MEMORY_MB", "100")) * 10**6
    with (tmp_path / "package").open("wb") as file:
        file.truncate(size)
    done, peak = measured([sys.executable, "-c", _UPLOAD, shelf.url, str(tmp_path / "package")])
    assert done.returncode == 0, done.stderr
    assert peak < 120


_UPLOAD_ALL = """
import sys
from pathlib import Path
from common.artifacts import describe
from common.stage import Book
from common.store import open_bucket
from common.store_keys import DEFAULT, Keys
from services.uploader.stage import _sent
from services.uploader.version import Version
folder = Path(sys.argv[2])
files = [describe(path, path.name) for path in (folder / "modifier").iterdir()]
book = Book("B1", folder, sys.argv[1], upstream=("modifier",))
assert len(_sent(open_bucket(sys.argv[1], Path("/")), book, files, Version("B1", Keys(DEFAULT, "L")))) == 6
"""


def test_memory_is_flat_for_many_large_files(shelf: Shelf, tmp_path: Path) -> None:
    """A tree of large images: the parts of one file are on their way at once, and no other file's beside them."""
    (tmp_path / "modifier").mkdir()
    for number in range(6):
        with (tmp_path / "modifier" / f"{number}.tif").open("wb") as file:
            file.truncate(17 << 20)
    done, peak = measured([sys.executable, "-c", _UPLOAD_ALL, shelf.url, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert peak < 95


@pytest.mark.parametrize("number", [1, 3, 5, 6])
def test_killed_in_the_middle_leaves_nothing_half(shelf: Shelf, proxy: Proxy, tmp_path: Path, number: int) -> None:
    """Whenever the worker dies, the object is absent or whole; the next one makes it whole."""
    (tmp_path / "package").write_bytes(LARGE)
    command = [sys.executable, "-c", _UPLOAD, shelf.url, str(tmp_path / "package")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(command, env=environ)
    until(lambda: len(proxy.seen) >= number or child.poll() is not None)
    child.kill()
    child.wait()
    assert shelf.held() in ({}, {"B1/package": LARGE})
    subprocess.run(command, env=environ, check=not shelf.held())
    assert shelf.held() == {"B1/package": LARGE}
