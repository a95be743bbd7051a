"""The downloader: from a token to an archive on the disk, or to a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.durable import free_bytes
from common.errors import Halt, Retry
from common.stage import Book
from services.downloader.stage import Downloader
from tests.scripted import Reply, ScriptedGrin

DATA = b"\x8c" + bytes(range(256)) * 400
BOOK = Book("$B12", Path(), "done")


@pytest.fixture
def grin() -> Iterator[ScriptedGrin]:
    """A server that has one book."""
    with ScriptedGrin() as server:
        server.at("%24B12.tar.gz.gpg", Reply(DATA, headers={"ETag": '"e1"'}))
        yield server


def stage(grin: ScriptedGrin, folder: Path, *, min_free: int = 0, **wrong: object) -> Downloader:
    """A downloader of that server."""
    settings = grin.settings(folder, **wrong)
    shared = settings.global_.model_copy(update={"min_free": min_free})
    return Downloader(settings.model_copy(update={"global_": shared}), settings.filters[0])


def test_an_archive(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The archive lies in the work folder, and the ledger gets what proves it."""
    downloader = stage(grin, tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    facts = downloader.process(BOOK, work)
    downloader.close()
    assert (work / "$B12.tar.gz.gpg").read_bytes() == DATA
    assert facts == {
        "url": f"{grin.url}/libraries/TESTLIB/%24B12.tar.gz.gpg",
        "etag": '"e1"',
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "bytes_in": len(DATA),
        "bytes_out": len(DATA),
    }


def test_one_token_for_many_books(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The client lives as long as the stage."""
    downloader = stage(grin, tmp_path)
    for _ in range(3):
        downloader.process(BOOK, tmp_path)
    downloader.close()
    assert grin.token == 1


def test_requests_are_counted(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The worker's hook hears every request."""
    downloader = stage(grin, tmp_path)
    heard: list[tuple[str, str]] = []
    downloader.on_request = lambda *one: heard.append(one)
    downloader.process(BOOK, tmp_path)
    downloader.close()
    assert heard == [("token", "200"), ("archive", "200")]


def test_a_book_that_is_not_converted(grin: ScriptedGrin, tmp_path: Path) -> None:
    """A 404 is tried later."""
    downloader = stage(grin, tmp_path)
    with pytest.raises(Retry, match="404"):
        downloader.process(Book("B99", Path(), "done"), tmp_path)
    downloader.close()


def test_a_disk_that_is_too_small(grin: ScriptedGrin, tmp_path: Path) -> None:
    """Without room for all that the archive becomes, the stage halts before it writes."""
    downloader = stage(grin, tmp_path, min_free=free_bytes(tmp_path) + 1_000_000_000)
    with pytest.raises(Halt, match="bytes free"):
        downloader.process(BOOK, tmp_path)
    downloader.close()
    assert (tmp_path / "$B12.tar.gz.gpg").stat().st_size == 0


def test_what_check_says(grin: ScriptedGrin, tmp_path: Path) -> None:
    """Nothing where all is well, else a sentence with its cure; nothing is asked or left behind."""
    good = stage(grin, tmp_path)
    assert good.check() == []
    bad = stage(grin, tmp_path, credentials_file=tmp_path / "none.json")
    assert ["No such file" in problem for problem in bad.check()] == [True]
    (tmp_path / "credentials.json").chmod(0o644)
    assert [problem.partition(" Run: ")[2] for problem in good.check()] == [f"chmod 600 {tmp_path}/credentials.json"]
    nameless = good.settings.model_copy(update={"global_": good.settings.global_.model_copy(update={"library": ""})})
    assert "global.library" in Downloader(nameless, good.row).check()[0]
    assert grin.seen == []
