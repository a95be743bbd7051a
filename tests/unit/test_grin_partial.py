"""What a download leaves: gone on with by one later attempt, never written into by two, never mixed."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.errors import Halt, Retry
from common.grin import room
from common.grin.client import GrinClient
from common.grin.partial import Build, Partial
from tests.scripted import Reply, ScriptedGrin, page
from tests.unit.downloading import ARCHIVE, CUT, DATA, E1, PREFIXED, WHOLE, fetched, part, rest, start_of

pytestmark = pytest.mark.usefixtures("short_waits")


def broken_off(grin: ScriptedGrin, client: GrinClient, folder: Path) -> Path:
    """An attempt that has brought 300,000 bytes and gone; the folder of its partial file."""
    grin.at(ARCHIVE, CUT, Reply(status=503))
    with pytest.raises(Retry, match="503"):
        client.download("B1", folder / ARCHIVE)
    (home,) = (folder / f".{ARCHIVE}.partial").iterdir()
    return home


def test_a_later_attempt_goes_on(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """What an attempt has left is not fetched again, and belongs to the checksum."""
    home = broken_off(grin, client, tmp_path)
    assert (home / "data").read_bytes() == DATA[:300_000]
    assert (home / "data").stat().st_blocks * 512 < len(DATA)
    assert not (tmp_path / ARCHIVE).exists()
    grin.at(ARCHIVE, rest)
    done = fetched(client, tmp_path)
    assert (done.resumed, done.refetched, start_of(grin.asked(ARCHIVE)[-1])) == (1, 0, 300_000)


def test_a_later_attempt_meets_another_build(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A new conversion: the old part is thrown away, whether the server honours If-Range or not."""
    broken_off(grin, client, tmp_path)
    grin.at(ARCHIVE, Reply(DATA, headers={"ETag": '"e2"'}))
    assert fetched(client, tmp_path).refetched == 300_000
    broken_off(grin, client, tmp_path)
    grin.at(ARCHIVE, lambda seen: part(seen, etag='"e2"'), Reply(DATA, headers={"ETag": '"e2"'}))
    assert fetched(client, tmp_path).etag == '"e2"'


@pytest.mark.parametrize(
    "note", ["", "{}", "[1]", '{"url": "http://x", "library": "TESTLIB", "etag": "W/1", "total": 1}']
)
def test_a_note_that_is_none(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, note: str) -> None:
    """What a power cut has spoiled, or is of another address, is removed and not gone on with."""
    home = broken_off(grin, client, tmp_path)
    (home / "build.json").write_text(note)
    grin.at(ARCHIVE, WHOLE)
    fetched(client, tmp_path)
    assert "Range" not in grin.asked(ARCHIVE)[-1].headers


def test_a_part_longer_than_the_whole(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A file that cannot be right is not gone on with."""
    home = broken_off(grin, client, tmp_path)
    with (home / "data").open("ab") as file:
        file.truncate(len(DATA) + 1)
    grin.at(ARCHIVE, WHOLE)
    fetched(client, tmp_path)


def test_a_worker_that_died_before_the_last_step(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """All bytes are there: nothing is asked any more."""
    home = broken_off(grin, client, tmp_path)
    (home / "data").write_bytes(DATA)
    before = len(grin.seen)
    assert fetched(client, tmp_path).etag == '"e1"'
    assert len(grin.seen) == before


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"e1"'}])
def test_what_cannot_be_gone_on_with_is_not_kept(
    grin: ScriptedGrin, client: GrinClient, tmp_path: Path, headers: dict[str, str]
) -> None:
    """Without a strong ETag a part is of no use to anybody."""
    grin.at(ARCHIVE, Reply(DATA[:300_000], headers=headers, promised=len(DATA)))
    with pytest.raises(Retry):
        client.download("B1", tmp_path / ARCHIVE)
    assert not (tmp_path / f".{ARCHIVE}.partial").exists()


def test_the_prefixed_name_is_gone_on_with(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """The address is part of what was kept."""
    cut = Reply(DATA[:300_000], headers=E1, promised=len(DATA))
    grin.at(PREFIXED, cut, Reply(status=503))
    with pytest.raises(Retry, match="503"):
        client.download("B1", tmp_path / ARCHIVE)
    grin.at(PREFIXED, rest)
    grin.at(ARCHIVE, page())
    assert fetched(client, tmp_path).resumed == 1


def test_a_listener_that_has_no_room(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A full disk keeps no part: it may be what others lack."""

    def full(size: int, _total: int | None, _held: int) -> None:
        if size > 500_000:
            raise Halt("The disk is full.")

    grin.at(ARCHIVE, WHOLE)
    with pytest.raises(Halt, match="full"):
        client.download("B1", tmp_path / ARCHIVE, full)
    assert not (tmp_path / f".{ARCHIVE}.partial").exists()


def test_a_login_page_in_the_middle_keeps_the_part(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A halt that is not for want of space: the book goes on from there."""
    grin.at(ARCHIVE, CUT, page())
    with pytest.raises(Halt, match="login page"):
        client.download("B1", tmp_path / ARCHIVE)
    (home,) = (tmp_path / f".{ARCHIVE}.partial").iterdir()
    assert json.loads((home / "build.json").read_text())["total"] == len(DATA)
    grin.at(ARCHIVE, rest)
    assert fetched(client, tmp_path).resumed == 1


# --- several workers ---

BUILD = Build("http://grin/B1", "TESTLIB", '"e1"', len(DATA))


def attempt(folder: Path, name: str) -> Partial:
    """An attempt's part, with a scratch folder of that name; all of one book."""
    (folder / name).mkdir()
    return Partial(folder / ".partial", folder / name / ARCHIVE)


def adopt(part: Partial) -> None:
    """Take over what is there of BUILD."""
    part.adopt("TESTLIB", [BUILD.url])


def test_a_worker_that_wakes_up_late(tmp_path: Path) -> None:
    """It still writes, and starts again even; what its successor has stays clean, and it ends without a file."""
    late, after = attempt(tmp_path, "late"), attempt(tmp_path, "after")
    late.start(BUILD)
    late.append(DATA[:1000])
    adopt(after)
    late.append(b"x" * 5000)
    after.append(DATA[after.size :])
    for stale in (late.check, late.finish):
        with pytest.raises(Retry, match="taken over"):
            stale()
    late.keep()
    after.finish()
    assert (tmp_path / "after" / ARCHIVE).read_bytes() == DATA
    assert after.sha256 == hashlib.sha256(DATA).hexdigest()
    assert not (tmp_path / "late" / ARCHIVE).exists()


def test_a_worker_whose_folder_is_gone(tmp_path: Path) -> None:
    """A claim that is lost leaves the successor's part alone, before and after it has taken it, and makes no folder."""
    now, late = attempt(tmp_path, "now"), attempt(tmp_path, "late")
    now.start(BUILD)
    now.append(DATA[:1000])
    (tmp_path / "late").rmdir()
    (home,) = (tmp_path / ".partial").iterdir()
    for act in (lambda: adopt(late), lambda: late._take(home, BUILD), lambda: late.start(BUILD)):
        with pytest.raises(Retry, match="taken over"):
            act()
    now.append(DATA[1000:])
    now.finish()
    assert (tmp_path / "now" / ARCHIVE).read_bytes() == DATA
    gone = Partial(tmp_path / "book" / ".partial", tmp_path / "book" / ".scratch" / "x" / ARCHIVE)
    with pytest.raises(Retry, match="taken over"):
        gone.start(BUILD)
    assert not (tmp_path / "book").exists()


def test_only_one_takes_over(tmp_path: Path) -> None:
    """Of four that reach for the same part at the same moment one gets it, and the others get nothing."""
    for number in range(20):
        book = tmp_path / str(number)
        book.mkdir()
        dead = attempt(book, "dead")
        dead.start(BUILD)
        dead.append(DATA[:1000])
        dead.keep()
        (home,) = (book / ".partial").iterdir()
        parts = [attempt(book, str(name)) for name in range(4)]
        with ThreadPoolExecutor(4) as hands:
            list(hands.map(lambda part, home=home: part._take(home, BUILD), parts))  # type: ignore[misc]
        assert sorted(part.size for part in parts) == [0, 0, 0, 1000]


def test_one_part_a_book(tmp_path: Path) -> None:
    """The longest is gone on with, the others go, files of strangers too."""
    for size in (10, 1000, 100):
        part = attempt(tmp_path, str(size))
        part.start(BUILD)
        part.append(DATA[:size])
        part.keep()
    after = attempt(tmp_path, "after")
    adopt(after)
    assert after.size == 1000
    assert len(list((tmp_path / ".partial").iterdir())) == 1
    after.discard()
    assert not (tmp_path / ".partial").exists()


def test_starting_again_is_another_file(tmp_path: Path) -> None:
    """Bytes of two builds never lie in one file, whoever has it open."""
    part = attempt(tmp_path, "now")
    part.start(BUILD)
    part.append(DATA[:1000])
    (home,) = (tmp_path / ".partial").iterdir()
    with (home / "data").open("rb") as seen:
        part.start(Build(BUILD.url, "TESTLIB", '"e2"', None))
        part.append(b"new")
        assert seen.read() == DATA[:1000]
    (home,) = (tmp_path / ".partial").iterdir()
    assert (home / "data").read_bytes() == b"new"
    part.discard()


@pytest.mark.quirk("no-content-length")
def test_room_is_taken_before_the_bytes_come(tmp_path: Path) -> None:
    """The disk keeps room for the whole file, whose length is what has come; a part that is left keeps no more."""
    part = attempt(tmp_path, "now")
    part.start(BUILD)
    part.append(DATA[:1000])
    (path,) = tmp_path.glob(".partial/*/data")
    assert path.stat().st_size == 1000
    if part.held == 1000:
        pytest.skip("This file system keeps no room for files.")
    assert part.held == len(DATA)
    assert path.stat().st_blocks * 512 >= len(DATA)
    part.keep()
    assert path.stat().st_size == 1000
    assert path.stat().st_blocks * 512 < 100_000
    unknown = attempt(tmp_path, "unknown")
    unknown.start(Build(BUILD.url, "TESTLIB", '"e2"', None))
    assert unknown.held == 0
    unknown.discard()


def test_a_file_system_that_keeps_no_room() -> None:
    """Where it cannot be done nothing happens, and nothing is written."""
    reading, writing = os.pipe()
    assert not room.reserve(writing, 1000)
    assert not room.reserve(writing, 0)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("etag", ["", 'W/"e1"', "bare"])
def test_what_a_killed_worker_leaves_without_a_strong_etag(tmp_path: Path, etag: str) -> None:
    """Nobody goes on with it, and it does not stay."""
    dead, after = attempt(tmp_path, "dead"), attempt(tmp_path, "after")
    dead.start(Build(BUILD.url, "TESTLIB", etag, len(DATA)))
    dead.append(DATA[:1000])
    adopt(after)
    assert (after.size, after.build) == (0, None)
    assert not (tmp_path / ".partial").exists()
