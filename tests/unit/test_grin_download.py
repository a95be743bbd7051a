"""Downloads against a server that plays every fault: what comes is whole and of one build, or nothing comes."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from common.errors import Retry
from common.grin import pace
from common.grin.client import GrinClient
from common.grin.download import Download
from tests.scripted import Reply, ScriptedGrin
from tests.unit.downloading import ARCHIVE, CUT, DATA, E1, PREFIXED, WHOLE, fetched, part, rest, start_of

pytestmark = pytest.mark.usefixtures("short_waits")


def test_a_download(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """The file is the server's, and progress is told with the total."""
    told: list[tuple[int, int | None, int]] = []
    grin.at(ARCHIVE, WHOLE)
    done = client.download("B1", tmp_path / ARCHIVE, lambda *one: told.append(one))
    assert done == Download('"e1"', len(DATA), hashlib.sha256(DATA).hexdigest())
    assert told[0][:2] == (0, len(DATA))
    assert told[-1] == (len(DATA), len(DATA), len(DATA))


@pytest.mark.quirk("barcodes-with-dollar-and-dash")
def test_a_dollar_in_a_barcode(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """Barcodes are encoded for the address."""
    grin.at("%24B12.tar.gz.gpg", WHOLE)
    assert client.download("$B12", tmp_path / "x").size == len(DATA)


def test_a_broken_download_goes_on(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """What has come is kept, the rest is asked for under the same ETag, and the hash is of the whole."""
    grin.at(ARCHIVE, CUT, rest)
    fetched(client, tmp_path)
    second = grin.asked(ARCHIVE)[1].headers
    assert (second["Range"], second["If-Range"]) == ("bytes=300000-", '"e1"')


@pytest.mark.quirk("range-unknown")
@pytest.mark.parametrize(
    "second",
    [
        WHOLE,
        Reply(DATA, headers={"ETag": '"e2"'}),
        Reply(DATA),
    ],
)
def test_a_download_that_must_start_again(
    grin: ScriptedGrin, client: GrinClient, tmp_path: Path, second: Reply
) -> None:
    """A server that knows no ranges, or has a new archive by now, sends all of it, and nothing old is kept."""
    grin.at(ARCHIVE, CUT, second)
    assert fetched(client, tmp_path).etag == second.headers.get("ETag", "")


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(status=416),
        Reply(DATA[5:], 206, {"ETag": '"e1"', "Content-Range": f"bytes 5-{len(DATA) - 1}/{len(DATA)}"}),
        Reply(DATA[300_000:], 206, {"ETag": '"e2"', "Content-Range": f"bytes 300000-{len(DATA) - 1}/{len(DATA)}"}),
    ],
)
def test_a_range_that_does_not_fit(grin: ScriptedGrin, tmp_path: Path, wrong: Reply) -> None:
    """Parts of another file, or from another place, are never joined: the download starts again."""
    grin.at(ARCHIVE, CUT, wrong, WHOLE)
    with GrinClient(grin.settings(tmp_path, tries=3)) as client:
        fetched(client, tmp_path)
    assert "Range" not in grin.asked(ARCHIVE)[2].headers


@pytest.mark.quirk("etag-is-the-build")
@pytest.mark.parametrize("etag", [None, 'W/"weak"', "bare"])
def test_no_resuming_without_a_strong_etag(
    grin: ScriptedGrin, client: GrinClient, tmp_path: Path, etag: str | None
) -> None:
    """Only a strong ETag proves that two parts are of one file."""
    headers = {"ETag": etag} if etag else {}
    grin.at(ARCHIVE, Reply(DATA[:1000], headers=headers, promised=len(DATA)), Reply(DATA, headers=headers))
    fetched(client, tmp_path)
    assert "Range" not in grin.asked(ARCHIVE)[1].headers


@pytest.mark.quirk("no-content-length")
def test_a_body_without_a_length(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """Chunked bodies have no total, and are taken whole."""
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)
    told: list[int | None] = []
    grin.at(ARCHIVE, Reply(chunked, headers={"Transfer-Encoding": "chunked"}))
    assert client.download("B1", tmp_path / "x", lambda _, total, __: told.append(total)).size == len(DATA)
    assert set(told) == {None}


@pytest.mark.parametrize(("body", "reason"), [(b"", "empty file"), (b"\x1f\x8bplain gzip", "no encrypted archive")])
def test_what_is_no_archive(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, body: bytes, reason: str) -> None:
    """Nothing, or bytes that no OpenPGP file begins with, are refused at once."""
    grin.at(ARCHIVE, Reply(body))
    with pytest.raises(Retry, match=reason):
        client.download("B1", tmp_path / ARCHIVE)


@pytest.mark.quirk("404-after-listing")
def test_not_in_the_pool(client: GrinClient, tmp_path: Path) -> None:
    """A 404 is for the board: the archive may come."""
    with pytest.raises(Retry, match="no converted archive of this book now") as caught:
        client.download("B1", tmp_path / ARCHIVE)
    assert "conversion" in caught.value.cure


# --- faults without end, progress, patience ---


def test_progress_makes_patience_new(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A server that cuts after each 64 KiB, with two tries: one attempt, and no byte twice."""
    grin.at(ARCHIVE, lambda seen: part(seen, 65_536, len(DATA) - start_of(seen)))
    done = fetched(client, tmp_path)
    assert (done.resumed, done.refetched) == (15, 0)


def test_parts_that_are_shorter_than_asked(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A 206 may bring only a part of the rest: the next is asked for from there."""
    grin.at(ARCHIVE, CUT, lambda seen: part(seen, 200_000))
    assert fetched(client, tmp_path).resumed == 4


def test_no_progress_has_an_end(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """Cut at the same place again and again, or after a few bytes: `tries` requests, then it is the board's turn."""
    grin.at(ARCHIVE, CUT)
    with pytest.raises(Retry, match="broke"):
        client.download("B1", tmp_path / ARCHIVE)
    assert len(grin.asked(ARCHIVE)) == 3
    grin.at(ARCHIVE, lambda seen: part(seen, 5_000, len(DATA) - start_of(seen)))
    with pytest.raises(Retry, match="broke"):
        client.download("B1", tmp_path / ARCHIVE)
    assert len(grin.asked(ARCHIVE)) == 5


def test_progress_by_drops_is_none(
    grin: ScriptedGrin, client: GrinClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some bytes after each stall keep no worker busy for weeks: they must come at a pace."""
    monkeypatch.setattr(pace, "FLOOR", 1 << 40)
    grin.at(ARCHIVE, lambda seen: part(seen, 65_536, len(DATA) - start_of(seen)))
    with pytest.raises(Retry, match="broke"):
        client.download("B1", tmp_path / ARCHIVE)
    assert len(grin.asked(ARCHIVE)) == 2


@pytest.mark.quirk("large-downloads-are-slow")
def test_a_drip(grin: ScriptedGrin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that trickle are a stall although the idle time-out never ends; a slow server that gets on is none."""
    monkeypatch.setattr(pace, "MINUTE", 0.1)
    monkeypatch.setattr(pace, "FLOOR", 500_000)
    drops = [b"%x\r\n%s\r\n" % (1, DATA[i : i + 1]) for i in range(200)]
    grin.at(ARCHIVE, Reply(headers={"Transfer-Encoding": "chunked"}, drops=drops, every=0.02))
    with GrinClient(grin.settings(tmp_path)) as client, pytest.raises(Retry, match="which is a stall"):
        client.download("B1", tmp_path / ARCHIVE)
    pieces = [DATA[i : i + 50_000] for i in range(0, len(DATA), 50_000)]
    grin.at(ARCHIVE, Reply(headers=E1, drops=pieces, every=0.012, promised=len(DATA)))
    with GrinClient(grin.settings(tmp_path, tries=1)) as client:
        fetched(client, tmp_path)


# --- answers that do not fit ---


def test_the_rest_may_begin_like_a_page(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A 206 that begins with `<`, as any byte may be, is no login page."""
    at = DATA.index(b"<", 200_000)
    grin.at(ARCHIVE, Reply(DATA[:at], headers=E1, promised=len(DATA)), rest)
    fetched(client, tmp_path)
    assert grin.token == 1
    assert start_of(grin.asked(ARCHIVE)[1]) == at


def content(first: int, last: int, total: object = len(DATA)) -> dict[str, str]:
    """The headers of a 206 of the first build."""
    return {**E1, "Content-Range": f"bytes {first}-{last}/{total}"}


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(DATA[300_000:], 206, content(300_000, len(DATA) - 1, len(DATA) + 1)),
        Reply(DATA[300_000:], 206, content(300_000, len(DATA) - 1, "*")),
        Reply(DATA[300_000:], 206, content(300_000, 299_999)),
        Reply(DATA[300_000:], 206, content(300_000, len(DATA))),
        Reply(DATA[300_000:], 206, E1),
        Reply(DATA[300_000:], 206, {"Content-Range": f"bytes 300000-{len(DATA) - 1}/{len(DATA)}"}),
        Reply(DATA[300_000:], 206, {**content(300_000, len(DATA) - 1), "ETag": 'W/"e1"'}),
        Reply(gzip.compress(DATA[300_000:]), 206, {**content(300_000, len(DATA) - 1), "Content-Encoding": "gzip"}),
        Reply(DATA[300_000:], 206, content(300_000, 300_009)),
    ],
)
@pytest.mark.quirk("range-unknown")
def test_a_part_that_proves_nothing(grin: ScriptedGrin, tmp_path: Path, wrong: Reply) -> None:
    """Another total, no total, a wrong range, no ETag or a weak one, packed, too much: all over again."""
    grin.at(ARCHIVE, CUT, wrong, WHOLE)
    with GrinClient(grin.settings(tmp_path)) as client:
        done = fetched(client, tmp_path)
    assert "Range" not in grin.asked(ARCHIVE)[2].headers
    assert done.refetched >= 300_000


def test_a_part_that_nobody_asked_for(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """206 to a request without Range is no beginning of a book."""
    grin.at(ARCHIVE, Reply(DATA, 206, content(0, len(DATA) - 1)), WHOLE)
    fetched(client, tmp_path)


@pytest.mark.parametrize("by", [1, 1_000_000])
def test_a_length_that_is_too_large(grin: ScriptedGrin, tmp_path: Path, by: int) -> None:
    """More was promised than there is: the server says so when asked for the rest, and all is fetched again."""
    grin.at(ARCHIVE, Reply(DATA, headers=E1, promised=len(DATA) + by), Reply(status=416), WHOLE)
    with GrinClient(grin.settings(tmp_path, tries=3)) as client:
        assert fetched(client, tmp_path).refetched == len(DATA)


def test_a_length_that_is_too_small(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """Nothing in HTTP tells that bytes are missing: size and checksum are of what came, and decrypting finds it out."""
    grin.at(ARCHIVE, Reply(DATA, headers=E1, promised=len(DATA) - 10))
    done = client.download("B1", tmp_path / ARCHIVE)
    assert (tmp_path / ARCHIVE).read_bytes() == DATA[:-10]
    assert (done.size, done.sha256) == (len(DATA) - 10, hashlib.sha256(DATA[:-10]).hexdigest())


def test_a_body_packed_for_the_way(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A server that packs although it was asked not to: the length and the ETag are not the file's."""
    coded = {**E1, "Content-Encoding": "gzip"}
    packed = gzip.compress(DATA)
    grin.at(
        ARCHIVE, Reply(packed[: len(packed) - 9], headers=coded, promised=len(packed)), Reply(packed, headers=coded)
    )
    assert fetched(client, tmp_path).etag == ""
    assert {one.headers["Accept-Encoding"] for one in grin.asked(ARCHIVE)} == {"identity"}
    assert "Range" not in grin.asked(ARCHIVE)[1].headers


@pytest.mark.parametrize("text", ["Dear partner", "\ufeffZur Zeit nicht", "\u00bfQu\u00e9?", "\u4e66", "\x1f\x8b"])
def test_text_is_no_archive(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, text: str) -> None:
    """Text of any language, and what is not encrypted, is refused before a byte of it is written."""
    grin.at(ARCHIVE, Reply(text.encode(), headers=E1))
    with pytest.raises(Retry, match="no encrypted archive"):
        client.download("B1", tmp_path / ARCHIVE)
    assert [path.name for path in tmp_path.iterdir() if ARCHIVE in path.name] == []


# --- names, and archives that are not there yet ---


@pytest.mark.quirk("404-after-listing")
def test_an_archive_that_comes_in_a_moment(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """404 is asked again within the attempt; the prefixed name once."""
    grin.at(ARCHIVE, Reply(status=404), Reply(status=404), WHOLE)
    fetched(client, tmp_path)
    assert (len(grin.asked(ARCHIVE)), len(grin.asked(PREFIXED))) == (3, 1)


@pytest.mark.quirk("prefixed-archive-names")
def test_prefixed_names(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """The library's prefix is tried, is in the address that is recorded, and comes first for the next book."""
    grin.at(PREFIXED, WHOLE)
    assert fetched(client, tmp_path).url.endswith(f"/TESTLIB/{PREFIXED}")
    fetched(client, tmp_path)
    assert (len(grin.asked(ARCHIVE)), len(grin.asked(PREFIXED))) == (1, 2)
    grin.at(PREFIXED, Reply(status=404))
    grin.at(ARCHIVE, WHOLE)
    fetched(client, tmp_path)


@pytest.mark.quirk("query-is-ignored")
@pytest.mark.quirk("head-like-get")
def test_one_plain_request(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A book that comes at once is one request: no HEAD before it, no parameters."""
    grin.at(ARCHIVE, WHOLE)
    fetched(client, tmp_path)
    assert [one.path for one in grin.seen] == ["/token", f"/libraries/TESTLIB/{ARCHIVE}"]
    assert grin.asked(ARCHIVE)[0].query == {}
