"""`audit`, `--fix`, `--rebuild` and `--deep` say and do the same before a folder and before an object store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from common.deliveries import deliveries
from common.store import connect
from services.orchestrator import auditing
from services.orchestrator.audit_store import Store
from tests.audits import Shelf
from tests.objects import proxy as faults
from tests.objects.impatient import IMPATIENT
from tests.objects.proxy import Proxy, Request, proxying
from tests.objects.server import Server
from tests.objects.shelves import BOOKS, Opened, asked, bytes_of


def test_what_is_missing_and_what_is_changed(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """Gone, of another size, of other bytes (by --deep), and a provenance that is gone; all else agrees."""
    shelf, store = opened("A1", "A2", "A3", "A4", "A5")
    assert asked(shelf, capsys, "--deep") == []
    obstore.delete(store, "A1/A1.txt")
    obstore.put(store, "A2/A2.txt", b"short")
    obstore.put(store, "A3/A3.txt", bytes_of(store, "A3/A3.txt").swapcase())
    obstore.delete(store, "A4/provenance.json")
    found = [("A1", "missing", ""), ("A2", "changed", ""), ("A4", "missing", "")]
    assert asked(shelf, capsys) == found
    assert asked(shelf, capsys, "--deep") == sorted([*found, ("A3", "changed", "")])
    assert asked(shelf, capsys, "A2", "A5") == [("A2", "changed", "")]


def test_what_is_set_right(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """--fix sends the book back, the stages make it anew, and the store is as it was."""
    shelf, store = opened()
    before = {name: bytes_of(store, f"A1/{name}") for name in ("A1.tar.gz", "A1.txt")}
    obstore.delete(store, "A1/A1.txt")
    assert [(b, w) for b, w, _ in asked(shelf, capsys, "--fix")] == [("A1", "missing")]
    assert shelf.line.places("A1") == ["00_b"]
    shelf.work("A1")
    assert asked(shelf, capsys, "--deep") == []
    assert {name: bytes_of(store, f"A1/{name}") for name in before} == before


@pytest.mark.parametrize("how", ["gone", "of other bytes", "of another size"])
def test_a_provenance_that_is_damaged_is_set_right(
    opened: Opened, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """Once: a book is not fetched again and again for it."""
    shelf, store = opened()
    key = "A1/provenance.json"
    good = bytes_of(store, key)
    if how == "gone":
        obstore.delete(store, key)
    else:
        obstore.put(store, key, good.swapcase() if how == "of other bytes" else b"x")
    assert [book for book, _, _ in asked(shelf, capsys, "--fix", "--deep")] == ["A1"]
    shelf.work("A1")
    assert asked(shelf, capsys, "--deep") == []


def test_a_tree_under_another_template_is_set_right(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that is lost is put beside the others, wherever new books go by now."""
    shelf, store = opened("A1", tree=True)
    shelf.line.filters[-1]["options"] = {"key": "{library}/{barcode}/{name}"}
    shelf.write()
    shelf.reload()
    obstore.delete(store, "A1/ocr/00000001.html")
    assert [book for book, _, _ in asked(shelf, capsys, "--fix")] == ["A1"]
    shelf.work("A1")
    assert asked(shelf, capsys, "--deep") == []
    assert not [one["path"] for page in store.list() for one in page if one["path"].startswith("TESTLIB")]


def test_a_ledger_that_is_lost(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """--rebuild writes it from the provenances, versions too; what is not as its provenance says is left alone."""
    shelf, store = opened()
    obstore.put(store, "README", b"nobody's book")
    obstore.put(store, "A1/.hidden", b"nobody's object")
    obstore.put(store, "A3/A3.txt", b"short")
    before = shelf.line.events("A1")[-1]
    shelf.lose_ledgers()
    told = [(b, w) for b, w, _ in asked(shelf, capsys)]
    assert told == [(book, "extra") for book in BOOKS]
    written = "its ledger is written from its provenance"
    found = asked(shelf, capsys, "--rebuild")
    assert found == [("A1", "extra", written), ("A2", "extra", written), ("A3", "extra", "")]
    after = shelf.line.events("A1")[-1]
    assert (after["event"], after["facts"]["files"]) == ("done", before["facts"]["files"])
    assert abs(auditing_seconds(after["time"]) - auditing_seconds(before["time"])) < 60
    assert asked(shelf, capsys, "A1", "A2", "--deep") == []
    obstore.put(store, "A2/provenance.json", bytes_of(store, "A2/provenance.json") + b" ")
    assert asked(shelf, capsys, "A1", "A2") == [("A2", "changed", "")]


def auditing_seconds(time: str) -> float:
    """A time of the ledger, in seconds."""
    from datetime import datetime

    return datetime.fromisoformat(time).timestamp()


def test_an_older_version_is_looked_at_too(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the second version the first one is expected to stay."""
    from services.orchestrator.versions import bring

    shelf, store = opened()
    (shelf.folder / "google").mkdir()
    (shelf.folder / "google" / "A1").write_text("scanned anew")
    assert bring(shelf.settings, "A1", "scanned anew", "ann")
    shelf.work("A1")
    assert bytes_of(store, "A1/v2/A1.tar.gz") == b"scanned anew"
    assert asked(shelf, capsys, "--deep") == []
    shelf.lose_ledgers()
    assert len(asked(shelf, capsys, "--rebuild")) == 3
    obstore.delete(store, "A1/A1.txt")
    assert asked(shelf, capsys) == [("A1", "missing", "")]


def test_another_done_bucket_from_now_on(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """Books that are home stay where their tokens say, and are looked for there."""
    shelf, store = opened()
    shelf.line.common["done_bucket"] = f"{shelf.line.common['done_bucket']}-new"
    shelf.write()
    shelf.reload()
    # A folder that is gone is never made by an uploader.
    (shelf.folder / "done-new").mkdir()
    shelf.deliver("B1")
    assert asked(shelf, capsys, "--deep") == []
    obstore.delete(store, "A1/A1.txt")
    assert asked(shelf, capsys) == [("A1", "missing", "")]


@pytest.mark.parametrize("key", ["{barcode}/{name}", "{library}/{barcode}/{version}/{name}"])
def test_a_book_of_loose_files(opened: Opened, capsys: pytest.CaptureFixture[str], key: str) -> None:
    """What its manifest names is asked for, file by file; --deep holds each against the manifest."""
    shelf, store = opened(tree=True, key=key)
    home = "A1" if key.startswith("{barcode}") else "TESTLIB/A1"
    assert asked(shelf, capsys, "--deep") == []
    obstore.put(store, f"{home}/00000001.txt", bytes_of(store, f"{home}/00000001.txt").swapcase())
    assert asked(shelf, capsys) == []
    assert asked(shelf, capsys, "--deep") == [("A1", "changed", "")]
    obstore.delete(store, f"{home}/ocr/00000001.html")
    assert shelf.audit() == 1
    assert f"{home}/ocr/00000001.html is not there" in capsys.readouterr().out
    shelf.lose_ledgers()
    assert [one for one in asked(shelf, capsys, "--rebuild") if not one[2]] == [("A1", "extra", "")]


def test_a_loose_file_that_is_cut(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """No list tells the bytes of each: an empty one is named, and all of them must have the bytes that they had."""
    shelf, store = opened("A1", "A2", tree=True)
    whole = bytes_of(store, "A1/00000001.tif")
    obstore.put(store, "A1/00000001.tif", b"")
    assert shelf.audit("--no-grin") == 1
    assert "A1/00000001.tif is empty" in capsys.readouterr().out
    obstore.put(store, "A1/00000001.tif", whole[:-1])
    assert shelf.audit("--no-grin") == 1
    assert "A1/manifest-sha256.txt names files of" in capsys.readouterr().out
    assert asked(shelf, capsys, "--fix") == [("A1", "changed", "it goes back to the first bucket")]
    shelf.work("A1")
    assert bytes_of(store, "A1/00000001.tif") == whole
    assert asked(shelf, capsys, "--deep") == []
    obstore.put(store, "A2/00000001.tif", b"")
    shelf.lose_ledgers()
    assert [one for one in asked(shelf, capsys, "--rebuild") if not one[2]] == [("A2", "extra", "")]


def test_a_tree_that_was_put_anew_since_it_was_listed(opened: Opened) -> None:
    """A listing that is some hours old tells nothing wrong about it."""
    shelf, store = opened("A1", tree=True)
    audited = Store(shelf.settings)
    assert len(list(audited.walk())) == 5
    [manifest] = deliveries(shelf.ledger.read("A1"))[0].files
    assert manifest.tree is not None
    count, size = manifest.tree
    obstore.put(store, "A1/00000001.tif", bytes_of(store, "A1/00000001.tif") + b"+")
    assert list(audited.faults(replace(manifest, tree=(count, size + 1)), deep=False)) == []
    assert list(audited.faults(replace(manifest, tree=(count, size + 2)), deep=False)) != []


def test_a_manifest_that_is_damaged(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """A list that is not the one that was put tells nothing, even where its size is right."""
    shelf, store = opened(tree=True)
    manifest = bytes_of(store, "A1/manifest-sha256.txt")
    obstore.put(store, "A1/manifest-sha256.txt", manifest.swapcase())
    assert asked(shelf, capsys) == [("A1", "changed", "")]


def test_a_store_that_is_empty(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is reported missing and nothing is fixed: code 3, and a sentence that says what to do."""
    shelf, store = opened()
    obstore.delete(store, [one["path"] for page in store.list() for one in page])
    shutil.rmtree(shelf.done)
    before = shelf.line.tokens()
    assert shelf.audit("--fix") == 3
    said = capsys.readouterr()
    assert said.out == "" and "done bucket" in said.err and "audit again" in said.err
    assert shelf.line.tokens() == before


@pytest.fixture
def behind(tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shelf, Proxy]]:
    """Books in an object store behind a proxy."""
    monkeypatch.setattr(auditing, "_PAUSE", 0.01)
    monkeypatch.setattr(auditing, "_QUIET", 0.01)
    with proxying(Proxy(s3_server.endpoint, faults=(faults.RESET_BEFORE, faults.REFUSED), seed=3)) as proxy:
        for name, value in s3_server.environ(proxy.endpoint).items():
            monkeypatch.setenv(name, value)
        shelf = Shelf(tmp_path, s3_server.url())
        shelf.deliver(*(f"C{number}" for number in range(15)))
        proxy.seen.clear()
        yield shelf, proxy


def test_no_object_is_asked_for_that_the_listing_tells_of(behind: tuple[Shelf, Proxy]) -> None:
    """Fifteen books of three objects: a listing, the look whether it is the right store, and nothing else."""
    shelf, proxy = behind
    assert shelf.audit() == 0
    assert sum("list-type=2" in target for _, target in proxy.seen) <= 4
    # Of each book that was chosen by lot one object; the suite's sample is all of them.
    assert sum(method == "HEAD" for method, _ in proxy.seen) <= 15
    assert {method for method, _ in proxy.seen} == {"GET", "HEAD"}
    proxy.seen.clear()
    assert shelf.audit("--force") == 0
    assert len(proxy.seen) <= 4


def test_a_server_that_fails_is_no_missing_book(
    behind: tuple[Shelf, Proxy], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through faults the audit finds what there is to be found; a server that is away, or refuses us, ends it: 3."""
    shelf, proxy = behind
    proxy.rate = 0.15
    assert asked(shelf, capsys, "--deep") == []
    assert proxy.counts.total() > 5
    monkeypatch.setattr(connect, "_RETRY", IMPATIENT)
    proxy.down = True
    assert shelf.audit("--fix") == 3
    assert "cannot be reached" in capsys.readouterr().err


class Odd(Proxy):
    """Lists an object under a key that no path can be."""

    async def _answer(self, request: Request, fault: str) -> bytes:
        answer = await super()._answer(request, fault)
        return answer.replace(b"/C0/C0.txt</Key>", b"/C0//0.txt</Key>")


def test_somebody_elses_odd_object(
    tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps nobody from putting books; an audit, which cannot list what comes after it, ends and names it."""
    with proxying(Odd(s3_server.endpoint)) as proxy:
        for name, value in s3_server.environ(proxy.endpoint).items():
            monkeypatch.setenv(name, value)
        shelf = Shelf(tmp_path, s3_server.url())
        shelf.deliver("C0")
        shelf.forget()
        shelf.deliver("C1")
        assert shelf.audit("--fix") == 3
        said = capsys.readouterr().err
        assert "/C0//0.txt" in said and "rename it" in said
        assert shelf.audit("C1", "--deep") == 0


def test_keys_that_are_refused(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever may not look into the bucket is told so, and no book is missing for that."""
    shelf, _ = opened()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    if "://" in shelf.settings.global_.done_bucket:
        assert shelf.audit("--fix") == 3
        assert "refuses us" in capsys.readouterr().err
    else:
        assert shelf.audit("--fix") == 0
