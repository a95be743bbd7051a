"""The downloader: from a token to an archive on the disk, or to a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity

from common import workfiles
from common.durable import free_bytes
from common.errors import Halt, Retry
from common.grin import download, session
from common.grin.partial import Build, Partial
from common.stage import Book
from services.downloader.stage import Downloader, _Room
from tests.scripted import Reply, ScriptedGrin

DATA = b"\x8c" + bytes(range(256)) * 400
RANGE = f"bytes 50000-{len(DATA) - 1}/{len(DATA)}"


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


def book(folder: Path, barcode: str = "$B12", attempt: int = 1) -> tuple[Book, Path]:
    """A book, and the work folder of an attempt at it."""
    work = folder / barcode / ".scratch" / "w.1"
    work.mkdir(parents=True, exist_ok=True)
    return Book(barcode, folder / barcode, "done", attempt), work


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits for an archive that is not there, and between tries, much shorter."""
    monkeypatch.setattr(download, "MISSING_WAITS", (0.0, 0.0))
    monkeypatch.setattr(session, "_jittered", tenacity.wait_random(0, 0.01))


def test_an_archive(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The archive lies in the work folder, and the ledger gets what proves it."""
    downloader = stage(grin, tmp_path)
    one, work = book(tmp_path)
    facts = downloader.process(one, work)
    downloader.close()
    assert (work / "$B12.tar.gz.gpg").read_bytes() == DATA
    assert facts == {
        "url": f"{grin.url}/libraries/TESTLIB/%24B12.tar.gz.gpg",
        "etag": '"e1"',
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "size": len(DATA),
        "resumed": 0,
        "refetched": 0,
        "bytes_in": len(DATA),
        "bytes_out": len(DATA),
    }


def test_one_token_for_many_books(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The client lives as long as the stage."""
    downloader = stage(grin, tmp_path)
    for _ in range(3):
        downloader.process(*book(tmp_path))
    downloader.close()
    assert grin.token == 1


def test_requests_are_counted(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The worker's hook hears every request."""
    downloader = stage(grin, tmp_path)
    heard: list[tuple[str, str]] = []
    downloader.on_request = lambda *one: heard.append(one)
    downloader.process(*book(tmp_path))
    downloader.close()
    assert heard == [("token", "200"), ("archive", "200")]


def test_a_book_that_is_not_converted(grin: ScriptedGrin, tmp_path: Path) -> None:
    """A 404 is tried again at once, then later, by a reason that stays the same."""
    downloader = stage(grin, tmp_path)
    with pytest.raises(Retry, match=r"^GRIN has no converted archive of this book now \(404\)\.$"):
        downloader.process(*book(tmp_path, "B99"))
    downloader.close()


def test_book_after_book_that_the_server_refuses(grin: ScriptedGrin, tmp_path: Path) -> None:
    """One archive's fault is its book's; five in a row are GRIN's, halt, and cost no attempt until one comes again."""
    downloader = stage(grin, tmp_path)
    names = [f"B{number}" for number in range(6)]
    for name in names:
        grin.at(f"{name}.tar.gz.gpg", Reply(status=503))
    for verdict, name in zip([Retry] * 4 + [Halt] * 2, names, strict=True):
        with pytest.raises(verdict, match="503"):
            downloader.process(*book(tmp_path, name))
    downloader.process(*book(tmp_path))
    with pytest.raises(Retry, match="503"):
        downloader.process(*book(tmp_path, "B0"))
    downloader.close()


def test_a_disk_that_is_too_small(grin: ScriptedGrin, tmp_path: Path) -> None:
    """Without room for all that the archive becomes, the stage halts before it writes, and takes no room away."""
    downloader = stage(grin, tmp_path, min_free=free_bytes(tmp_path) + 1_000_000_000)
    one, work = book(tmp_path)
    with pytest.raises(Halt, match="bytes free"):
        downloader.process(one, work)
    downloader.close()
    assert list(work.iterdir()) == []
    assert not (one.folder / ".partial").exists()


def test_two_downloads_do_not_count_on_the_same_room(tmp_path: Path) -> None:
    """What one has reserved, before its bytes have come, is not free for another; the last of them halts."""
    size = 1 << 30
    if free_bytes(tmp_path) < 8 * size:
        pytest.skip("This needs 8 GiB of free space, and writes nothing.")
    # Others use this disk, too: what they free meanwhile is not what is tried here.
    assert any(_the_second_halts(tmp_path / str(number), size) for number in range(5))


def _the_second_halts(folder: Path, size: int) -> bool:
    works = [book(folder, name)[1] for name in ("B1", "B2")]
    parts = [Partial(work.parents[1] / ".partial", work / "a") for work in works]
    # Room for what one book becomes, and not for two.
    min_free = free_bytes(folder) - 4 * size
    try:
        for part in parts:
            part.start(Build("u", "TESTLIB", '"e"', size))
            if not part.held:
                pytest.skip("This file system keeps no room for files.")
            _Room(works[parts.index(part)], min_free).look(0, size, part.held)
    except Halt as halt:
        assert "bytes free" in str(halt)
        return part is parts[1]
    finally:
        for part in parts:
            part.discard()
    return False


def test_room_is_looked_for_again_when_a_download_starts_again(tmp_path: Path) -> None:
    """Another build may be larger."""
    room = _Room(tmp_path, 0)
    room.look(0, 1000, 0)
    room.look(500, 1000, 500)
    with pytest.raises(Halt, match="bytes free"):
        room.look(0, 1 << 60, 0)


def cut(grin: ScriptedGrin) -> None:
    """From now on, each download breaks off."""
    grin.at("%24B12.tar.gz.gpg", Reply(DATA[:50_000], headers={"ETag": '"e1"'}, promised=len(DATA)))


@pytest.mark.parametrize(("attempt", "kept"), [(1, True), (2, True), (3, False)])
def test_what_is_kept_of_a_broken_download(grin: ScriptedGrin, tmp_path: Path, attempt: int, kept: bool) -> None:
    """A part for the next attempt, none when the book fails for good; no stage takes it for published files."""
    downloader = stage(grin, tmp_path)
    downloader.row = downloader.row.model_copy(update={"attempts": 3})
    cut(grin)
    one, work = book(tmp_path, attempt=attempt)
    with pytest.raises(Retry):
        downloader.process(one, work)
    downloader.close()
    assert (one.folder / ".partial").exists() == kept
    assert workfiles.published(one.folder) == {}


def test_a_late_last_attempt_takes_nothing_away(grin: ScriptedGrin, tmp_path: Path) -> None:
    """What lies there belongs to whoever has the book now."""
    downloader = stage(grin, tmp_path)
    one, work = book(tmp_path, attempt=100)
    work.rmdir()
    (one.folder / ".partial" / "theirs").mkdir(parents=True)
    with pytest.raises(Retry, match="taken over"):
        downloader.process(one, work)
    downloader.close()
    assert (one.folder / ".partial" / "theirs").is_dir()


def test_the_part_stays_and_goes_with_the_book(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The end of an attempt and the beginning of the next leave it; removing the book does not."""
    downloader = stage(grin, tmp_path)
    cut(grin)
    one, work = book(tmp_path)
    with pytest.raises(Retry):
        downloader.process(one, work)
    workfiles.drop_scratch(one.folder, work.name)
    work = workfiles.open_scratch(one.folder, "w.2")
    grin.at("%24B12.tar.gz.gpg", Reply(DATA[50_000:], 206, {"ETag": '"e1"', "Content-Range": RANGE}))
    assert downloader.process(one, work)["resumed"] == 1
    assert (work / "$B12.tar.gz.gpg").read_bytes() == DATA
    cut(grin)
    with pytest.raises(Retry):
        downloader.process(one, workfiles.open_scratch(one.folder, "w.3"))
    downloader.close()
    assert (one.folder / ".partial").exists()
    workfiles.remove_book(one.folder)
    assert not one.folder.exists()


@pytest.mark.quirk("prefixed-archive-names")
def test_a_prefixed_archive(grin: ScriptedGrin, tmp_path: Path) -> None:
    """Its name on the disk is the book's, and its address in the ledger is the true one."""
    grin.at("%24B12.tar.gz.gpg", Reply(status=404))
    grin.at("TESTLIB_%24B12.tar.gz.gpg", Reply(DATA))
    downloader = stage(grin, tmp_path)
    one, work = book(tmp_path)
    assert downloader.process(one, work)["url"].endswith("/TESTLIB/TESTLIB_%24B12.tar.gz.gpg")
    downloader.close()
    assert (work / "$B12.tar.gz.gpg").read_bytes() == DATA


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
