"""Audits of books that lie in another bucket than the configuration's: an older one, or where they were moved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import obstore
import pytest
from obstore.store import ObjectStore

from services.orchestrator import audit_store, auditing
from tests.audits import Shelf
from tests.objects import proxy as faults
from tests.objects.proxy import Proxy, Request, proxying
from tests.objects.server import Server
from tests.objects.shelves import Opened, asked, bytes_of


def goes_on(shelf: Shelf, server: Server, *books: str) -> str:
    """From now on the done bucket is another one; its name."""
    new = server.url() if "://" in shelf.line.common["done_bucket"] else "done-new"
    (shelf.folder / "done-new").mkdir()
    configured(shelf, new)
    shelf.deliver(*books)
    return new


def configured(shelf: Shelf, bucket: str) -> None:
    """The configuration names that bucket."""
    shelf.line.common["done_bucket"] = bucket
    shelf.write()
    shelf.reload()


def emptied(shelf: Shelf, store: ObjectStore) -> None:
    """Nothing is left in the first bucket: its folder is a bare mount point."""
    obstore.delete(store, [one["path"] for page in store.list() for one in page])
    for path in shelf.done.iterdir():
        shutil.rmtree(path)


def said_to_be_in(shelf: Shelf, barcode: str, bucket: str) -> None:
    """Token and ledger name another bucket than the one where the book lies."""
    old = str(shelf.settings.global_.done_bucket)
    for path in (shelf.token(barcode), shelf.ledger.path(barcode)):
        path.write_text(path.read_text().replace(f'"{old}"', f'"{bucket}"'))


def test_an_older_bucket_that_is_empty(
    opened: Opened, s3_server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmounted or emptied, it ends the audit with 3, and no book is fetched again, but with --force."""
    shelf, store = opened()
    goes_on(shelf, s3_server, "B1", "B2", "B3", "B4")
    shelf.token("A3").unlink()
    emptied(shelf, store)
    before = shelf.line.tokens()
    assert shelf.audit("--fix") == shelf.audit("--fix", "A3") == shelf.audit("--fix", "A1") == 3
    said = capsys.readouterr()
    assert said.out == "" and "--force" in said.err
    assert shelf.line.tokens() == before
    monkeypatch.setattr(auditing, "_FEW", 3)
    obstore.put(store, "README", b"nobody's book")
    assert shelf.audit("--fix") == 3
    assert "3 are not in" in capsys.readouterr().err
    obstore.delete(store, "README")
    assert shelf.audit("--fix", "--force") == 0
    assert [shelf.line.places(book) for book in ("A1", "A2", "A3", "B1")] == [["00_b"]] * 3 + [["03_b"]]


@pytest.mark.parametrize("gone", ["s3://gone-bucket/one", "gone"])
def test_an_older_bucket_that_is_not_there_at_all(
    opened: Opened, capsys: pytest.CaptureFixture[str], gone: str
) -> None:
    """That a bucket has no such object is no word on the object, where there is no such bucket."""
    shelf, store = opened()
    said_to_be_in(shelf, "A1", gone)
    assert asked(shelf, capsys) == []
    for key in ("A1/A1.txt", "A1/A1.tar.gz", "A1/provenance.json"):
        obstore.delete(store, key)
    assert shelf.audit("--fix") == 3
    assert "gone" in capsys.readouterr().err
    assert shelf.line.places("A1") == ["03_b"]


def test_a_lost_token_of_a_book_in_an_older_bucket(
    opened: Opened, s3_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger tells where it lies: its new token says so, and nothing is fetched again but what is damaged."""
    shelf, store = opened()
    old = shelf.settings.global_.done_bucket
    goes_on(shelf, s3_server, "B1")
    shelf.token("A1").unlink()
    shelf.token("A2").unlink()
    obstore.delete(store, "A2/A2.txt")
    assert [book for book, _, _ in asked(shelf, capsys, "--fix")] == ["A1", "A2"]
    assert (shelf.line.places("A1"), shelf.line.places("A2")) == (["03_b"], ["00_b"])
    assert {json.loads(shelf.token(book).read_bytes())["done_bucket"] for book in ("A1", "A2")} == {old}
    shelf.work("A2")
    assert bytes_of(store, "A2/A2.txt") == b"text of A2"
    assert asked(shelf, capsys, "--deep") == []


def test_books_that_were_moved(opened: Opened, s3_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Ledgers and tokens go on naming the bucket that they were moved from; nobody need be able to ask that one."""
    shelf, store = opened()
    new = goes_on(shelf, s3_server)
    for key in [one["path"] for page in store.list() for one in page]:
        if "://" in new:
            obstore.put(s3_server.store(new.rpartition("/")[2]), key, bytes_of(store, key))
    if "://" not in new:
        shutil.copytree(shelf.done, shelf.folder / new, dirs_exist_ok=True)
    emptied(shelf, store)
    assert asked(shelf, capsys, "--deep") == []
    if "://" in new:
        obstore.delete(s3_server.store(new.rpartition("/")[2]), "A1/A1.txt")
    else:
        (shelf.folder / new / "A1" / "A1.txt").unlink()
    assert asked(shelf, capsys) == [("A1", "missing", "")]


class Closed(Proxy):
    """Refuses all that is below one prefix."""

    prefix: str = "/"

    def choose(self, request: Request) -> str:
        """Whether it is there."""
        below = f"{self.prefix}/" in request.target or f"{self.prefix}%2F" in request.target
        return faults.DENIED if below else ""


@pytest.mark.parametrize("opened", ["s3"], indirect=True)
def test_a_bucket_that_is_closed_since_its_books_were_moved(
    opened: Opened, s3_server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not asked for what is elsewhere, and refuses in vain what is missing there; else it ends the audit."""
    shelf, store = opened()
    old = shelf.settings.global_.done_bucket
    moved = s3_server.store(goes_on(shelf, s3_server).rpartition("/")[2])
    for key in [one["path"] for page in store.list() for one in page]:
        obstore.put(moved, key, bytes_of(store, key))
    with proxying(Closed(s3_server.endpoint)) as proxy:
        proxy.prefix = old.rpartition("/")[2]
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        assert asked(shelf, capsys, "--deep") == []
        obstore.delete(moved, "A1/A1.txt")
        assert asked(shelf, capsys) == [("A1", "missing", "")]
        obstore.delete(moved, ["A1/A1.tar.gz", "A1/provenance.json"])
        assert shelf.audit("--fix") == 3
    assert "refuses us" in capsys.readouterr().err


def test_lost_ledgers_of_books_in_an_older_bucket(
    opened: Opened, s3_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """--rebuild asks the bucket that a token names."""
    shelf, store = opened()
    goes_on(shelf, s3_server, "B1")
    obstore.put(store, "A3/A3.txt", b"short")
    shelf.lose_ledgers()
    assert [(book, what) for book, what, _ in asked(shelf, capsys)] == [(b, "extra") for b in ("A1", "A2", "A3", "B1")]
    dry = asked(shelf, capsys, "--rebuild", "--dry-run")
    assert [book for book, _, done in dry if done.startswith("would")] == ["A1", "A2", "B1"]
    written = "its ledger is written from its provenance"
    found = asked(shelf, capsys, "--rebuild")
    assert found == [("A1", "extra", written), ("A2", "extra", written), ("A3", "extra", ""), ("B1", "extra", written)]
    assert asked(shelf, capsys, "A1", "A2", "B1", "--deep") == []
    shelf.ledger.path("A1").unlink()
    assert asked(shelf, capsys, "--rebuild", "A1") == [("A1", "extra", written)]


@pytest.fixture
def behind(opened: Opened, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shelf, Proxy]]:
    """Books in an older bucket behind a proxy, and one in the configuration's."""
    with proxying(Proxy(s3_server.endpoint)) as proxy:
        shelf, _ = opened(*(f"C{number}" for number in range(8)))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        goes_on(shelf, s3_server, "D1")
        proxy.seen.clear()
        yield shelf, proxy


@pytest.mark.parametrize("opened", ["s3"], indirect=True)
def test_an_older_bucket_is_listed_too(behind: tuple[Shelf, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once many of its objects were asked for one by one, and not before; the configuration's is not asked again."""
    shelf, proxy = behind
    assert shelf.audit("--force") == 0
    assert sum(method == "HEAD" for method, _ in proxy.seen) == 24
    proxy.seen.clear()
    monkeypatch.setattr(audit_store, "SINGLY", 5)
    assert shelf.audit("--force") == 0
    assert sum(method == "HEAD" for method, _ in proxy.seen) == 5
    assert sum("list-type=2" in target for _, target in proxy.seen) <= 4
