"""GRIN's client against a server that plays every quirk and fault."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from common.errors import Halt, Retry
from common.grin.client import GrinClient
from common.grin.download import Download
from common.grin.rate import RateLimit
from tests.scripted import Reply, ScriptedGrin, Seen, page, redirect

pytestmark = pytest.mark.usefixtures("short_waits")

DATA = b"\x8c" + bytes(range(256)) * 4000
ARCHIVE = "B1.tar.gz.gpg"
WHOLE = Reply(DATA, headers={"ETag": '"e1"'})
CUT = Reply(DATA[:300_000], headers={"ETag": '"e1"'}, promised=len(DATA))


def rest(seen: Seen) -> Reply:
    """The part of DATA that a Range header asks for."""
    start = int(seen.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    content = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
    return Reply(DATA[start:], 206, {"ETag": '"e1"', **content})


def fetched(client: GrinClient, folder: Path) -> Download:
    """B1, downloaded and compared with what the server has."""
    done = client.download("B1", folder / ARCHIVE)
    assert (folder / ARCHIVE).read_bytes() == DATA
    assert (done.size, done.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    return done


# --- lists ---


def test_a_list_in_lines(grin: ScriptedGrin, client: GrinClient) -> None:
    """Lines come without their ends, empty ones are left out, and parameters go with the request."""
    grin.at("_failed", Reply("a\tone\r\nb\tzwölf\x85\n\n".encode()))
    assert list(client.list_lines("_failed", mode="all", result_count=-1)) == ["a\tone", "b\tzwölf\x85"]
    assert grin.asked("_failed")[0].query == {"format": ["text"], "mode": ["all"], "result_count": ["-1"]}


@pytest.mark.parametrize(
    ("text", "barcodes"),
    [
        (b"39000000000018\n39000000000026\n", ["39000000000018", "39000000000026"]),
        (b"$B12.tar.gz.gpg\nTESTLIB_HV1.tar.gz.gpg\t2019/03/04\n", ["$B12", "HV1"]),
        (b"Barcode\tTitle\nW1PD1-I3\tx", ["W1PD1-I3"]),
        (b"", []),
    ],
)
def test_the_barcodes_of_a_list(grin: ScriptedGrin, client: GrinClient, text: bytes, barcodes: list[str]) -> None:
    """The first column is the barcode, with or without an archive's suffix, a prefix, and a heading."""
    grin.at("_converted", Reply(text))
    assert list(client.barcodes("converted")) == barcodes


def test_a_message_is_no_list(grin: ScriptedGrin, client: GrinClient) -> None:
    """A text that is no list is an error, never an empty or a strange list."""
    grin.at("_available", Reply(b"Quota exceeded, come back later\n"))
    with pytest.raises(Retry, match="_available begins with 'Quota exceeded"):
        list(client.barcodes("available"))


def test_a_list_that_breaks_off(grin: ScriptedGrin, client: GrinClient) -> None:
    """A list that is cut is an error at its end, never a shorter list."""
    grin.at("_all_books", Reply(b"39000000000018\n390000", promised=1000))
    rows = client.barcodes("all_books")
    assert next(rows) == "39000000000018"
    with pytest.raises(Retry, match="broke in the middle"):
        list(rows)


def test_an_endless_line(grin: ScriptedGrin, client: GrinClient) -> None:
    """What has no line ends is refused before it fills the memory."""
    grin.at("_all_books", Reply(b"x" * 3_000_000))
    with pytest.raises(Retry, match="more than a megabyte"):
        list(client.list_lines("_all_books"))


def test_a_list_that_is_not_there(client: GrinClient) -> None:
    """A wrong library code halts with the setting's name."""
    with pytest.raises(Halt, match="no list _available of the library TESTLIB") as caught:
        list(client.barcodes("available"))
    assert "global.library" in caught.value.cure


# --- logins and redirects ---


def test_a_withdrawn_token_is_renewed_once(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A redirect to the login page costs one new token, and the request goes on."""
    grin.at(ARCHIVE, WHOLE)
    fetched(client, tmp_path)
    grin.token = 7
    fetched(client, tmp_path)
    assert grin.token == 8


@pytest.mark.parametrize("login", [page(), Reply(status=401), Reply(b"\n <html>no content type")])
def test_every_kind_of_login_page(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, login: Reply) -> None:
    """A page, or a 401, where an archive was expected is a lost login, never data."""
    grin.at(ARCHIVE, login, WHOLE)
    fetched(client, tmp_path)
    grin.at(ARCHIVE, login)
    with pytest.raises(Halt, match="login page"):
        client.download("B1", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_login_page_is_no_list(grin: ScriptedGrin, client: GrinClient) -> None:
    """A list never begins with a page."""
    grin.at("_converted", page())
    with pytest.raises(Halt, match="login page"):
        list(client.barcodes("converted"))


def test_unavailable_is_not_a_login(grin: ScriptedGrin, client: GrinClient) -> None:
    """GRIN's own page for overload is a passing fault."""
    grin.at("_converted", Reply(b"<html>Your request is unavailable"), Reply(b"39000000000018\n"))
    assert list(client.barcodes("converted")) == ["39000000000018"]
    assert grin.token == 1


def test_not_on_the_list_of_users(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A 403 halts, with the advice that a change takes its time."""
    grin.at(ARCHIVE, Reply(status=403))
    with pytest.raises(Halt, match="403") as caught:
        client.download("B1", tmp_path / ARCHIVE)
    assert "12 hours" in caught.value.cure


def test_a_redirect_inside_grin(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """GRIN's own redirects are followed, with the token."""
    grin.at(ARCHIVE, redirect("/libraries/TESTLIB/moved"))
    grin.at("moved", WHOLE)
    fetched(client, tmp_path)
    assert grin.asked("moved")[0].headers["Authorization"] == "Bearer token-1"


def test_a_redirect_elsewhere(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The token goes to no other host unless the configuration names it."""
    with ScriptedGrin() as other:
        other.token = 1
        other.script["/file"] = [WHOLE]
        grin.at(ARCHIVE, redirect(f"{other.url}/file"))
        with GrinClient(grin.settings(tmp_path)) as strict, pytest.raises(Halt, match="which is not GRIN") as caught:
            strict.download("B1", tmp_path / ARCHIVE)
        assert "grin.allowed_hosts" in caught.value.cure
        assert other.seen == []
        grin.token = 0
        with GrinClient(grin.settings(tmp_path, allowed_hosts=[other.netloc])) as trusting:
            fetched(trusting, tmp_path)
        assert other.seen[0].headers["Authorization"] == "Bearer token-1"


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "//evil.example/x", "http://127.0.0.1@evil.example/"])
def test_redirects_that_are_traps(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, location: str) -> None:
    """Other schemes and hosts, however they are written, get no request."""
    grin.at(ARCHIVE, redirect(location))
    with pytest.raises(Halt, match="which is not GRIN"):
        client.download("B1", tmp_path / ARCHIVE)


def test_redirects_in_a_circle(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """After five hops there is an end."""
    grin.at(ARCHIVE, redirect(f"/libraries/TESTLIB/{ARCHIVE}"))
    with pytest.raises(Retry, match="more than 5 times"):
        client.download("B1", tmp_path / ARCHIVE)
    assert len(grin.asked(ARCHIVE)) == 6


# --- faults ---


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_faults(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, status: int) -> None:
    """A fault of the server is tried again a few times, then it is the board's turn."""
    grin.at(ARCHIVE, Reply(status=status), WHOLE)
    fetched(client, tmp_path)
    grin.at(ARCHIVE, Reply(status=status))
    with pytest.raises(Retry, match=str(status)):
        client.download("B1", tmp_path / "other")
    assert len(grin.asked(ARCHIVE)) == 4


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_fault_of_everything_is_no_books(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, status: int) -> None:
    """When GRIN gives not even its cheapest page the stage halts, so that an outage costs no book an attempt."""
    grin.at(ARCHIVE, Reply(status=status))
    grin.at("", Reply(status=status))
    with pytest.raises(Halt, match=f"{status}.*nothing else"):
        client.download("B1", tmp_path / ARCHIVE)


@pytest.mark.parametrize(
    "location", ["javascript:alert(1)", "http://[::1", "http://x\x00y/", "//", "http://:99999999/"]
)
def test_redirects_to_nonsense(grin: ScriptedGrin, client: GrinClient, tmp_path: Path, location: str) -> None:
    """An address that is none is a verdict in a sentence, never an unexpected error."""
    grin.at(ARCHIVE, redirect(location))
    with pytest.raises((Halt, Retry)):
        client.download("B1", tmp_path / ARCHIVE)


def test_retry_after(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """A long Retry-After is the board's delay and costs no second request; a short one is waited for."""
    grin.at(ARCHIVE, Reply(status=429, headers={"Retry-After": "1800"}))
    with pytest.raises(Retry) as caught:
        client.download("B1", tmp_path / ARCHIVE)
    assert caught.value.delay == 1800
    assert len(grin.asked(ARCHIVE)) == 1
    grin.at(ARCHIVE, Reply(status=503, headers={"Retry-After": "0"}), WHOLE)
    fetched(client, tmp_path)


def test_an_unexpected_status(grin: ScriptedGrin, client: GrinClient, tmp_path: Path) -> None:
    """Other codes are for the board, not for a second request."""
    grin.at(ARCHIVE, Reply(status=418))
    with pytest.raises(Retry, match="418"):
        client.download("B1", tmp_path / ARCHIVE)
    assert len(grin.asked(ARCHIVE)) == 1


def test_nobody_answers(grin: ScriptedGrin, tmp_path: Path) -> None:
    """A server that is not there is no book's fault: a Halt that names the host."""
    settings = grin.settings(tmp_path, base_url="http://127.0.0.1:9/libraries")
    with GrinClient(settings) as client, pytest.raises(Halt, match=r"127\.0\.0\.1 cannot be reached"):
        client.download("B1", tmp_path / ARCHIVE)


def test_a_stalled_connection(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The time-out counts seconds without a byte, and what came before is kept."""
    over = threading.Event()
    stalled = Reply(DATA[:300_000], headers={"ETag": '"e1"'}, promised=len(DATA), then_wait=over)
    grin.at(ARCHIVE, stalled, rest)
    with GrinClient(grin.settings(tmp_path, idle_timeout=0.3)) as client:
        fetched(client, tmp_path)
    over.set()


def test_every_request_is_counted(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The hook hears the endpoint and the status, never a barcode."""
    heard: list[tuple[str, str]] = []
    grin.at(ARCHIVE, Reply(status=503), WHOLE)
    with GrinClient(grin.settings(tmp_path), lambda *one: heard.append(one)) as client:
        fetched(client, tmp_path)
        grin.at("_converted", Reply(b"B1\n"))
        list(client.barcodes("converted"))
    assert heard == [("token", "200"), ("archive", "503"), ("archive", "200"), ("_converted", "200")]


def test_the_rate() -> None:
    """Requests are spaced evenly, the first at once."""
    waits: list[float] = []
    rate = RateLimit(100)
    start = time.monotonic()
    for _ in range(6):
        rate.wait()
        waits.append(time.monotonic() - start)
    assert waits[0] < 0.04
    assert waits[5] >= 0.049
