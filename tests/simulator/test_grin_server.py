"""The simulated GRIN: login and archives, as the real one's clients see them."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from common.errors import Halt
from common.grin.client import GrinClient
from simulator.grin.faults import Fault, Kind
from tests.simulator.grin_server import BARCODES, LIBRARY, SIZE, Served, served

ARCHIVE = "HV1ABC.tar.gz.gpg"


@pytest.mark.quirk("service-account")
@pytest.mark.quirk("authorised-user")
@pytest.mark.parametrize("kind", ["credentials_file", "service_account_file"])
def test_the_real_client_logs_in_and_downloads(grin: Served, tmp_path: Path, kind: str) -> None:
    """The pipeline's client gets its token with either kind of credentials, reads lists and fetches archives whole."""
    credentials = getattr(grin.server, kind)(tmp_path / "credentials.json")
    assert credentials.stat().st_mode & 0o777 == 0o600
    with GrinClient(grin.settings(credentials)) as client:
        assert list(client.barcodes("converted")) == sorted(BARCODES)
        done = client.download("$B100", tmp_path / "archive")
    assert (done.size, (tmp_path / "archive").read_bytes()) == (SIZE, grin.data("$B100"))
    assert re.fullmatch('"[^"]+"', done.etag)


def test_a_key_of_somebody_else_gets_no_token(grin: Served, books: Path, tmp_path: Path) -> None:
    """The signature of a service account's assertion is verified."""
    with served(books) as other:
        foreign = other.server.service_account_file(tmp_path / "foreign.json")
    with GrinClient(grin.settings(foreign)) as client, pytest.raises(Halt, match="invalid_grant"):
        list(client.barcodes("converted"))


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"refresh_token": "withdrawn"}, 400, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "no.such.thing"},
            400,
            "invalid_grant",
        ),
    ],
)
def test_refused_token_requests(grin: Served, change: dict[str, str], status: int, error: str) -> None:
    """Wrong credentials get OAuth's error codes."""
    form = {**grin.server.tokens.authorised_user(), "grant_type": "refresh_token", **change}
    answer = httpx.post(grin.server.token_uri, data=form, verify=False)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.quirk("login-redirect")
def test_without_a_token_everything_leads_to_the_login_page(grin: Served) -> None:
    """No token, a made-up one and a revoked one: 302 to a ServiceLogin page that is 200 and HTML."""
    grin.server.tokens.revoke_all()
    for headers in ({}, {"Authorization": "Bearer made-up"}, dict(grin.http.headers)):
        answer = httpx.get(f"{grin.server.url}/{LIBRARY}/_converted?format=text", headers=headers, verify=False)
        assert answer.status_code == 302
        assert "accounts.google.com/ServiceLogin" in answer.headers["Location"]
    page = httpx.get(httpx.URL(grin.server.url).join(answer.headers["Location"]), verify=False)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.quirk("tokens-expire")
def test_tokens_expire(books: Path) -> None:
    """An access token holds for its lifetime."""
    with served(books, token_lifetime=0.3) as grin:
        assert grin.get("", format="text", result_count=1).status_code == 200
        time.sleep(0.35)
        assert grin.get("", format="text", result_count=1).status_code == 302


@pytest.mark.quirk("404-no-such-page")
def test_the_librarys_code_is_case_sensitive(grin: Served) -> None:
    """Another spelling of the directory, and a page that does not exist, are 404."""
    assert grin.http.get(f"{grin.server.url}/testlib/_converted").status_code == 404
    assert grin.get("_nonsense").status_code == 404


@pytest.mark.quirk("barcodes-with-dollar-and-dash")
@pytest.mark.quirk("query-is-ignored")
def test_names_of_archives(grin: Served) -> None:
    """The library's prefix is accepted, a dollar comes encoded or not, other parameters are ignored, others are 404."""
    for name in (f"{LIBRARY}_$B100.tar.gz.gpg", "%24B100.tar.gz.gpg", "$B100.tar.gz.gpg?format=text&mode=all"):
        assert grin.http.get(f"{grin.server.url}/{LIBRARY}/{name}").content == grin.data("$B100")
    assert grin.get("NOBODY.tar.gz.gpg").status_code == 404
    assert grin.get("../books/HV1ABC.tar.gz.gpg").status_code == 404


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=100-", 100, SIZE), ("bytes=5-9", 5, 10), ("bytes=-7", SIZE - 7, SIZE), ("bytes=9-999999999", 9, SIZE)],
)
def test_ranges(grin: Served, asked: str, start: int, stop: int) -> None:
    """A range is a 206 with just these bytes."""
    answer = grin.http.get(f"{grin.server.url}/{LIBRARY}/{ARCHIVE}", headers={"Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{SIZE}")
    assert answer.content == grin.data("HV1ABC")[start:stop]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": f"bytes={SIZE}-"}, 416),
        ({"Range": "bytes=100-", "If-Range": '"another"'}, 200),
        ({"Range": "bytes=0-1,5-6"}, 200),
        ({"Range": "bytes=-"}, 200),
    ],
)
def test_ranges_that_are_not_served(grin: Served, headers: dict[str, str], status: int) -> None:
    """Past the end is a 416; another build and ranges that are none get the whole archive."""
    answer = grin.http.get(f"{grin.server.url}/{LIBRARY}/{ARCHIVE}", headers=headers)
    assert (answer.status_code, len(answer.content)) == (status, SIZE if status == 200 else 0)


def test_many_clients_at_once(grin: Served) -> None:
    """Sixteen clients on connections of their own all get true bytes."""

    def fetch(number: int) -> bool:
        name = BARCODES[number % len(BARCODES)]
        return httpx.get(
            f"{grin.server.url}/{LIBRARY}/{name}.tar.gz.gpg", headers=grin.http.headers, verify=False
        ).content == grin.data(name)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(fetch, range(48)))


def test_leaving_does_not_wait_for_clients(books: Path) -> None:
    """The server ends at once, whatever its connections are doing."""
    stall = Fault(Kind.STALL, "HV1ABC", at=1000, seconds=600)
    with httpx.Client(timeout=10, verify=False) as http:
        with served(books, stall) as grin:
            idle = http.get(f"{grin.server.url}/{LIBRARY}/_converted")
            with grin.http.stream("GET", f"{grin.server.url}/{LIBRARY}/{ARCHIVE}") as answer:
                next(answer.iter_raw())
            began = time.monotonic()
        assert idle.status_code == 302
    assert time.monotonic() - began < 2
