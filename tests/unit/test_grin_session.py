"""Requests, redirects and verdicts, against a server that plays them over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest
import tenacity

from common.errors import Halt, Retry, StageError
from common.grin import connections, session
from common.grin.errors import Passing, QueueFull
from common.grin.session import Session
from tests.scripted import Reply, ScriptedGrin, Seen, page, redirect

pytestmark = pytest.mark.usefixtures("short_waits")

ROW = Reply(b"39000000000018\n")


@pytest.fixture
def asking(grin: ScriptedGrin, tmp_path: Path) -> Iterator[Session]:
    """A session before that server."""
    made = Session(grin.settings(tmp_path).grin, lambda *_: None)
    yield made
    made.close()


def url(grin: ScriptedGrin, resource: str) -> str:
    """The address of a page."""
    return f"{grin.url}/libraries/TESTLIB/{resource}"


def body(asking: Session, grin: ScriptedGrin, resource: str) -> bytes:
    """What a page holds."""
    with asking.get(resource, url(grin, resource)) as answer:
        return b"".join(answer.chunks())


# --- methods ---


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_post_stays_a_post(grin: ScriptedGrin, asking: Session, status: int) -> None:
    """After a redirect of GRIN's, and after a renewed token, the same body is sent again."""
    grin.at("_process", Reply(status=401), redirect("/libraries/TESTLIB/moved", status))
    grin.at("moved", Reply(b"Barcode\tStatus\n"))
    with asking.post("_process", url(grin, "_process"), b"B1\nB2") as answer:
        assert b"".join(answer.chunks()) == b"Barcode\tStatus\n"
    assert [(seen.method, seen.body) for seen in grin.asked("moved")] == [("POST", b"B1\nB2")]
    assert grin.asked("moved")[0].headers["Authorization"] == "Bearer token-2"


def test_a_303_asks_for_the_answer(grin: ScriptedGrin, asking: Session) -> None:
    """303 says that the body has been taken and the answer lies elsewhere."""
    grin.at("_process", redirect("/libraries/TESTLIB/done", 303))
    grin.at("done", ROW)
    asking.post("_process", url(grin, "_process"), b"B1").response.close()
    assert [(seen.method, seen.body) for seen in grin.asked("done")] == [("GET", b"")]


# --- redirects ---


@pytest.mark.quirk("redirect-elsewhere")
@pytest.mark.parametrize(
    "location",
    [
        "https://books.google.com/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "http://localhost/x",
        "ftp://127.0.0.1/x",
        "//evil.example/x",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1.evil.example/x",
        "http://user:word@{netloc}/libraries/TESTLIB/_converted",
    ],
)
def test_redirects_out_of_grin(grin: ScriptedGrin, asking: Session, location: str) -> None:
    """No host but GRIN's own gets a request, let alone the token; nor does an address with a user's name in it."""
    grin.at("_converted", redirect(location.format(netloc=grin.netloc)), ROW)
    with pytest.raises(Halt, match="which is not GRIN"):
        body(asking, grin, "_converted")
    assert len(grin.asked("_converted")) == 1


@pytest.mark.parametrize("location", ["http://[", "http://x:port/"])
def test_redirects_to_nonsense(grin: ScriptedGrin, asking: Session, location: str) -> None:
    """An address that is none is a fault like others, and no crash."""
    grin.at("_converted", redirect(location))
    with pytest.raises(StageError, match="GRIN"):
        body(asking, grin, "_converted")


def test_https_stays_https(tmp_path: Path, grin: ScriptedGrin) -> None:
    """Where GRIN is reached by https, a redirect to plain http is refused, even to an allowed host."""
    grin_settings = grin.settings(tmp_path, base_url="https://books.google.com/l", allowed_hosts=["books.google.com"])
    strict = Session(grin_settings.grin, lambda *_: None)
    may = strict._may_have_token
    assert may(session.httpx.URL("https://books.google.com/x"))
    assert not may(session.httpx.URL("http://books.google.com/x"))
    assert not may(session.httpx.URL("https://books.google.com:8443@evil.example/x"))
    strict.close()


@pytest.mark.parametrize(("hops", "good"), [(5, True), (6, False)])
def test_five_hops(grin: ScriptedGrin, asking: Session, hops: int, good: bool) -> None:
    """Five redirects in a row are followed, a sixth is an error; so circles end."""
    for number in range(hops):
        grin.at(f"h{number}", redirect(f"h{number + 1}"))
    grin.at(f"h{hops}", ROW)
    if good:
        assert body(asking, grin, "h0") == ROW.body
    else:
        with pytest.raises(Retry, match="more than 5 times"):
            body(asking, grin, "h0")
    assert len([seen for seen in grin.seen if seen.path != "/token"]) == 6


@pytest.mark.quirk("login-redirect")
@pytest.mark.quirk("401-token-rejected")
@pytest.mark.quirk("login-page-with-200")
@pytest.mark.parametrize(
    "login",
    [
        redirect("https://accounts.google.com/ServiceLogin?continue=x"),
        redirect("/accounts/ServiceLogin"),
        Reply(status=401),
        page(),
        Reply(b"\n <html>no content type"),
    ],
)
def test_logins_cost_one_renewal(grin: ScriptedGrin, asking: Session, login: Reply) -> None:
    """However GRIN asks for a login: the token is renewed once; if that does not help, the stage halts."""
    grin.at("_converted", login, ROW)
    assert body(asking, grin, "_converted") == ROW.body
    assert grin.token == 2
    grin.at("_converted", login)
    with pytest.raises(Halt, match="even for a fresh access token"):
        body(asking, grin, "_converted")
    assert grin.token == 3


def test_many_threads_share_a_renewal(grin: ScriptedGrin, asking: Session) -> None:
    """When a token is withdrawn under many requests, Google is asked once."""
    grin.at("_converted", ROW)
    body(asking, grin, "_converted")
    grin.token = 6
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: body(asking, grin, "_converted"), range(8)))
    assert (found, grin.token) == ({ROW.body}, 7)


@pytest.mark.quirk("html-lists")
def test_pages_where_pages_are_wanted(grin: ScriptedGrin, asking: Session) -> None:
    """A page of GRIN's is an answer to those who ask for one; its login page, and "unavailable", never are."""
    grin.at("p", Reply(b"<html><title>GRIN</title>hello", headers={"Content-Type": "text/html"}))
    with asking.get("p", url(grin, "p"), html_ok=True) as answer:
        assert answer.first.endswith(b"hello")
    grin.at("p", page())
    with pytest.raises(Halt, match="login page"):
        asking.get("p", url(grin, "p"), html_ok=True)
    grin.at("p", Reply(b"<html>" + b" " * 30_000 + b"Your request\nis unavailable"))
    with pytest.raises(Passing, match="unavailable"):
        asking.get("p", url(grin, "p"), html_ok=True)


# --- faults ---


@pytest.mark.quirk("queue-full-429")
def test_a_full_queue(grin: ScriptedGrin, asking: Session) -> None:
    """A 429 on `_process` is a full queue and is not asked again; elsewhere it is a passing fault."""
    grin.at("_process", Reply(status=429, headers={"Retry-After": "7"}))
    with pytest.raises(QueueFull) as caught:
        asking.persist(lambda: asking.post("_process", url(grin, "_process"), b"B1"))
    assert caught.value.delay == 7
    assert len(grin.asked("_process")) == 1
    grin.at("_converted", Reply(status=429), ROW)
    assert asking.persist(lambda: body(asking, grin, "_converted")) == ROW.body


@pytest.mark.quirk("retry-after")
@pytest.mark.parametrize(
    ("after", "ahead", "delay"),
    [("90", 0, 90), ("{date}", 120, 120), ("{date}", -50, 0), ("soon", 0, None), ("", 0, None), ("-5", 0, None)],
)
def test_retry_after(grin: ScriptedGrin, asking: Session, after: str, ahead: float, delay: float | None) -> None:
    """It is taken in seconds and as a date, and a date by the clock of the server that gave it."""

    def reply(_: Seen) -> Reply:
        hours_off = time.time() + 7 * 3600
        stamp = formatdate(hours_off + ahead, usegmt=True)
        return Reply(status=503, headers={"Retry-After": after.format(date=stamp), "Date": formatdate(hours_off)})

    grin.at("_converted", reply)
    with pytest.raises(Passing) as caught:
        body(asking, grin, "_converted")
    assert caught.value.delay == (pytest.approx(delay, abs=2) if delay is not None else None)


@pytest.mark.quirk("timeouts-in-bursts")
def test_time_outs_in_a_burst(grin: ScriptedGrin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between time-outs the waits grow, and are not the same for all."""
    monkeypatch.undo()
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    highest = []
    for attempt in (1, 3, 6):
        state.attempt_number = attempt
        drawn = [session._jittered(state) for _ in range(300)]
        highest.append(max(drawn))
        assert min(drawn) < max(drawn) / 3
    assert highest == sorted(highest)
    assert highest[-1] <= 20
    over = threading.Event()
    grin.at("_converted", Reply(b"", promised=9, then_wait=over))
    hasty = Session(grin.settings(tmp_path, idle_timeout=0.1, tries=1).grin, lambda *_: None)
    with pytest.raises(Passing, match="Timeout"):
        body(hasty, grin, "_converted")
    over.set()
    hasty.close()


# --- connections ---


def clients(asking: Session) -> object:
    """The HTTP client in use."""
    return asking._connections._pool.http


@pytest.mark.quirk("stale-connections")
@pytest.mark.parametrize(("name", "value"), [("MOST_REQUESTS", 3), ("OLDEST", 0.0)])
def test_connections_are_renewed(
    grin: ScriptedGrin, asking: Session, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    """After so many requests, or so long, others are made; an answer that is still open is read to its end."""
    grin.at("_converted", ROW)
    grin.at("large", Reply(b"x" * 3_000_000))
    first = clients(asking)
    with asking.get("large", url(grin, "large")) as answer:
        monkeypatch.setattr(connections, name, value)
        for _ in range(4):
            body(asking, grin, "_converted")
        assert clients(asking) is not first
        assert not first.is_closed  # type: ignore[attr-defined]
        assert sum(map(len, answer.chunks())) == 3_000_000
    assert first.is_closed  # type: ignore[attr-defined]


@pytest.mark.quirk("stale-connections")
def test_errors_in_a_row_renew_connections(grin: ScriptedGrin, asking: Session) -> None:
    """Five broken answers in a row, not four and a good one."""
    broken = Reply(b"3900", promised=99)
    grin.at("_converted", *[broken] * 4, ROW, *[broken] * 5, ROW)
    first = clients(asking)
    for good in [*[False] * 4, True, *[False] * 5]:
        if good:
            assert body(asking, grin, "_converted") == ROW.body
        else:
            with pytest.raises(Passing):
                body(asking, grin, "_converted")
    assert clients(asking) is first
    assert body(asking, grin, "_converted") == ROW.body
    assert clients(asking) is not first


def test_no_cookies(grin: ScriptedGrin, asking: Session) -> None:
    """What a server wants remembered is not sent back: each request stands for itself."""
    grin.at("_converted", Reply(ROW.body, headers={"Set-Cookie": "NID=1; Path=/"}))
    for _ in range(2):
        body(asking, grin, "_converted")
    assert [seen.headers.get("Cookie") for seen in grin.asked("_converted")] == [None, None]


def test_a_token_of_seconds_in_a_long_queue(
    grin: ScriptedGrin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that ends while its request waits for its turn is renewed before it is sent, not after."""
    short = Session(grin.settings(tmp_path, requests_per_second=0.7).grin, lambda *_: None)
    lives = iter([1])

    def token() -> Reply:
        grin.token += 1
        answer = {"access_token": f"token-{grin.token}", "expires_in": next(lives, 3600)}
        return Reply(json.dumps(answer).encode())

    monkeypatch.setattr(grin, "_new_token", token)
    grin.at("_converted", ROW)
    for _ in range(2):
        body(short, grin, "_converted")
    short.close()
    assert [seen.path.rpartition("/")[2] for seen in grin.seen] == ["token", "_converted", "token", "_converted"]
