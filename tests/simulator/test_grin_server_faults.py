"""Each fault of the simulated GRIN does what it says, and the pipeline's client gets over those that pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
import tenacity

from common.errors import Halt, Retry
from common.grin import download, session
from common.grin.client import GrinClient
from simulator.grin.faults import Fault, Kind
from tests.simulator.grin_server import BARCODES, LIBRARY, SIZE, Served

BOOK = "HV1ABC"
ARCHIVE = f"{BOOK}.tar.gz.gpg"


@pytest.fixture
def client(grin: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GrinClient]:
    """The pipeline's client, with its waits shortened."""
    monkeypatch.setattr(session, "_jittered", tenacity.wait_random(0, 0.01))
    monkeypatch.setattr(download, "MISSING_WAITS", (0.01, 0.01))
    with GrinClient(grin.settings(grin.server.credentials_file(tmp_path / "credentials.json"))) as made:
        yield made


def test_times_and_after(grin: Served) -> None:
    """A fault lets `after` requests pass, meets `times`, and leaves other targets alone."""
    grin.server.faults.set([Fault(Kind.STATUS, BOOK, times=2, after=1, code=404)])
    assert [grin.get(ARCHIVE).status_code for _ in range(5)] == [200, 404, 404, 200, 200]
    assert grin.get("$B100.tar.gz.gpg").status_code == 200
    assert grin.server.faults.shown()[0]["seen"] == 5


def test_a_fault_for_all_spares_the_token_endpoint(grin: Served) -> None:
    """`*` means every page of the library, for as long as `times` is None; `token` has faults of its own."""
    grin.server.faults.set([Fault(Kind.STATUS, times=None, code=403), Fault(Kind.STATUS, "token", code=503)])
    person = {**grin.server.tokens.authorised_user(), "grant_type": "refresh_token"}
    assert [grin.get(name).status_code for name in ("_converted", ARCHIVE, "_process")] == [403, 403, 403]
    assert [httpx.post(grin.server.token_uri, data=person, verify=False).status_code for _ in range(2)] == [503, 200]


@pytest.mark.quirk("retry-after")
def test_retry_after(grin: Served) -> None:
    """A 429 or 503 can say when to come again."""
    grin.server.faults.set([Fault(Kind.STATUS, "_process", code=429, retry_after=7)])
    answer = grin.get("_process", barcodes=BOOK)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.quirk("login-page-with-200")
@pytest.mark.quirk("request-unavailable")
@pytest.mark.parametrize(
    ("kind", "words"), [(Kind.LOGIN_PAGE, "Sign in"), (Kind.UNAVAILABLE, "request is unavailable")]
)
def test_pages_instead_of_data(grin: Served, kind: Kind, words: str) -> None:
    """An HTML page comes with status 200 where an archive was asked for."""
    grin.server.faults.set([Fault(kind, BOOK)])
    answer = grin.get(ARCHIVE)
    assert (answer.status_code, words in answer.text) == (200, True)
    assert grin.get(ARCHIVE).content == grin.data(BOOK)


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
def test_connections_that_end_early(grin: Served, kind: Kind) -> None:
    """The connection ends after `at` bytes, in good order or with a reset, and the book is not marked as downloaded."""
    grin.server.faults.set([Fault(kind, BOOK, at=1000)])
    got = b""
    expected = httpx.RemoteProtocolError if kind is Kind.CUT else httpx.ReadError
    with grin.http.stream("GET", f"{grin.server.url}/{LIBRARY}/{ARCHIVE}") as answer, pytest.raises(expected):
        for piece in answer.iter_raw():
            got += piece
    assert grin.data(BOOK).startswith(got)
    # A reset may overtake what was sent before it.
    assert len(got) == 1000 or kind is Kind.RESET
    assert "CONVERTED" in grin.lines("_barcode_search", mode="full", barcodes=BOOK)[1]


def test_a_list_can_be_cut(grin: Served) -> None:
    """A cut list is an error of the connection, never a short list."""
    grin.server.faults.set([Fault(Kind.CUT, "_all_books", at=20)])
    with pytest.raises(httpx.RemoteProtocolError):
        grin.lines("_all_books")


def test_a_slow_drip(grin: Served) -> None:
    """The body comes at `rate` bytes a second."""
    grin.server.faults.set([Fault(Kind.DRIP, BOOK, rate=1_000_000)])
    began = time.monotonic()
    assert grin.get(ARCHIVE).content == grin.data(BOOK)
    assert 0.25 < time.monotonic() - began < 2


def test_a_stall(grin: Served) -> None:
    """Nothing comes for `seconds` after `at` bytes, then the rest."""
    grin.server.faults.set([Fault(Kind.STALL, BOOK, at=SIZE - 1, seconds=0.3)])
    began = time.monotonic()
    assert grin.get(ARCHIVE).content == grin.data(BOOK)
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("by", [5, -5])
def test_a_wrong_length(grin: Served, by: int) -> None:
    """Content-Length is wrong by so many bytes, and the connection is not used again."""
    grin.server.faults.set([Fault(Kind.WRONG_LENGTH, BOOK, by=by)])
    try:
        assert len(grin.get(ARCHIVE).content) == SIZE + by
    except httpx.RemoteProtocolError as error:
        assert by > 0, error
    # Another connection: the client may not have heard yet that this one is closed.
    url = f"{grin.server.url}/{LIBRARY}/{ARCHIVE}"
    assert httpx.get(url, headers=grin.http.headers, verify=False).content == grin.data(BOOK)


@pytest.mark.quirk("no-content-length")
@pytest.mark.parametrize(("kind", "coding"), [(Kind.NO_LENGTH, None), (Kind.CHUNKED, "chunked")])
def test_no_length(grin: Served, kind: Kind, coding: str | None) -> None:
    """Without Content-Length the body ends with its connection, or comes in chunks."""
    grin.server.faults.set([Fault(kind, BOOK)])
    answer = grin.get(ARCHIVE)
    assert "Content-Length" not in answer.headers
    assert answer.headers.get("Transfer-Encoding") == coding
    assert answer.content == grin.data(BOOK)


def test_no_etag_and_no_range(grin: Served) -> None:
    """Two faults can meet one request: no ETag, and a Range that is ignored."""
    grin.server.faults.set([Fault(Kind.NO_ETAG, BOOK), Fault(Kind.NO_RANGE, BOOK)])
    answer = grin.http.get(f"{grin.server.url}/{LIBRARY}/{ARCHIVE}", headers={"Range": "bytes=5-"})
    assert (answer.status_code, "ETag" in answer.headers, len(answer.content)) == (200, False, SIZE)


@pytest.mark.quirk("redirect-elsewhere")
def test_redirects(grin: Served) -> None:
    """A redirect leads to the same resource, or wherever `location` says."""
    grin.server.faults.set([Fault(Kind.REDIRECT, "_converted"), Fault(Kind.REDIRECT, BOOK, location="http://x.test/")])
    assert grin.get(ARCHIVE).headers["Location"] == "http://x.test/"
    answer = grin.get("_converted", format="text")
    assert answer.status_code == 302
    again = grin.http.get(httpx.URL(grin.server.url).join(answer.headers["Location"]))
    assert len(again.text.splitlines()) == len(BARCODES)


def test_tokens_end_after_some_requests(grin: Served) -> None:
    """`expire` revokes every token before the request that it meets."""
    grin.server.faults.set([Fault(Kind.EXPIRE, after=2)])
    assert [grin.get(name).status_code for name in ("_converted", "_failed", ARCHIVE, ARCHIVE)] == [200, 200, 302, 302]


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(Kind.CUT, BOOK, at=100_000), Fault(Kind.RESET, BOOK, at=50_000, after=1)],
        [Fault(Kind.CUT, BOOK, at=100_000), Fault(Kind.NO_RANGE, BOOK, times=None)],
        [Fault(Kind.CUT, BOOK, at=100_000), Fault(Kind.REBUILD, BOOK, after=1)],
        [Fault(Kind.CUT, BOOK, at=100_000), Fault(Kind.EXPIRE, BOOK, after=1)],
        [Fault(Kind.STATUS, BOOK, code=500, times=2)],
        [Fault(Kind.STATUS, BOOK, code=429, retry_after=0)],
        [Fault(Kind.STATUS, BOOK, code=401)],
        [Fault(Kind.LOGIN_PAGE, BOOK)],
        [Fault(Kind.REDIRECT, BOOK)],
        [Fault(Kind.CHUNKED, BOOK), Fault(Kind.NO_ETAG, BOOK)],
        [Fault(Kind.STATUS, "token", code=503)],
    ],
    ids=lambda faults: "+".join(f"{fault.kind}-{fault.code}" for fault in faults),
)
def test_the_real_client_gets_over_it(grin: Served, client: GrinClient, tmp_path: Path, faults: list[Fault]) -> None:
    """Faults that pass cost the client a few requests; the file is whole in the end."""
    grin.server.faults.set(faults)
    done = client.download(BOOK, tmp_path / "archive")
    assert (tmp_path / "archive").read_bytes() == grin.data(BOOK)
    assert done.size == SIZE


@pytest.mark.quirk("range-unknown")
def test_the_real_client_resumes(grin: Served, client: GrinClient, tmp_path: Path) -> None:
    """After a cut only the rest is asked for."""
    grin.server.faults.set([Fault(Kind.CUT, BOOK, at=100_000)])
    client.download(BOOK, tmp_path / "archive")
    asked = [(seen["status"], seen["range"]) for seen in grin.server.control.requests() if ARCHIVE in seen["path"]]
    assert asked == [(200, ""), (206, "bytes=100000-")]


@pytest.mark.parametrize(
    ("fault", "verdict", "words"),
    [
        (Fault(Kind.STATUS, BOOK, times=None, code=403), Halt, "403"),
        (Fault(Kind.STATUS, BOOK, times=None, code=404), Retry, "404"),
        (Fault(Kind.LOGIN_PAGE, BOOK, times=None), Halt, "login page"),
        (Fault(Kind.REDIRECT, BOOK, location="http://elsewhere.test/"), Halt, "elsewhere.test"),
        (Fault(Kind.WRONG_LENGTH, BOOK, times=None, by=5), Retry, "broke"),
    ],
)
def test_the_real_client_gives_up(
    client: GrinClient, grin: Served, tmp_path: Path, fault: Fault, verdict: type[Exception], words: str
) -> None:
    """Faults that last end in the client's verdicts."""
    grin.server.faults.set([fault])
    with pytest.raises(verdict, match=words):
        client.download(BOOK, tmp_path / "archive")


def control(grin: Served, name: str, value: Any = None) -> httpx.Response:
    """The answer of one of the simulator's own pages, which need no token."""
    url = f"{grin.server.url.removesuffix('/libraries')}/_simulator/{name}"
    return httpx.get(url, verify=False) if value is None else httpx.post(url, json=value, verify=False)


def test_faults_over_http(grin: Served) -> None:
    """Another process can set faults as JSON, and read how far they have come."""
    answer = control(grin, "faults", [{"kind": "status", "on": "_failed", "code": 500}])
    assert answer.json() == [{**asdict(Fault(Kind.STATUS, "_failed", code=500)), "seen": 0, "met": 0}]
    assert [grin.get("_failed").status_code for _ in range(2)] == [500, 200]
    assert control(grin, "faults").json()[0]["seen"] == 2
    assert control(grin, "faults", []).json() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("faults", [{"kind": "earthquake"}]),
        ("faults", [{"kind": "cut", "of": 3}]),
        ("faults", ["cut"]),
        ("faults", [{"kind": "cut", "chance": 2}]),
        ("faults", [{"kind": "cut", "chance": "often"}]),
        ("books", {"NOBODY": "NEW"}),
        ("books", {BOOK: "LOST"}),
    ],
)
def test_wrong_orders_are_refused(grin: Served, name: str, value: object) -> None:
    """Orders that make no sense are a 400 with a reason."""
    answer = control(grin, name, value)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_states_over_http(grin: Served) -> None:
    """Another process can bring books into a state."""
    assert control(grin, "books").json() == dict.fromkeys(BARCODES, "CONVERTED")
    assert control(grin, "books", {BOOK: "NEW"}).json()[BOOK] == "NEW"
    assert grin.lines("_available") == [BOOK]


def test_requests_so_far(grin: Served) -> None:
    """The log has method, path, status and time of each request of a client, and no token."""
    began = time.time()
    grin.get("_failed", format="text")
    grin.http.head(f"{grin.server.url}/{LIBRARY}/NOBODY.tar.gz.gpg")
    answer = control(grin, "requests")
    seen = [(one["method"], one["path"], one["status"]) for one in answer.json()][-2:]
    home = f"/libraries/{LIBRARY}"
    assert seen == [("GET", f"{home}/_failed?format=text", 200), ("HEAD", f"{home}/NOBODY.tar.gz.gpg", 404)]
    assert all(began - 60 < one["time"] < time.time() + 1 for one in answer.json())
    assert "Bearer" not in answer.text
    assert control(grin, "nothing").status_code == 404
