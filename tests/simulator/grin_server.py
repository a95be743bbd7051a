"""A small library on disk, its server, and a client that has a token."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from common.settings import Settings
from simulator.grin.entry import State
from simulator.grin.faults import Fault
from simulator.grin.holdings import Limits
from simulator.server import GrinServer, Options

LIBRARY = "TESTLIB"
BARCODES = ("$B100", "39000000000018", "39000000000026", "HV1ABC", "W1PD159424-I3PD77")
SIZE = 300_000
DATED = "39000000000018"
MIXED = {
    "$B100": State.NEW,
    "39000000000026": State.NOT_AVAILABLE_FOR_DOWNLOAD,
    "HV1ABC": State.FAILED,
    "W1PD159424-I3PD77": State.IN_PROCESS,
}
SLOW = Limits(conversion_seconds=3600)


def make_books(folder: Path) -> Path:
    """A library folder with a few books of random bytes that look encrypted."""
    for name in ("books", "archives"):
        (folder / name).mkdir(parents=True)
    for barcode in BARCODES:
        record: dict[str, Any] = {"barcode": barcode, "library": LIBRARY, "pages": 3, "title": f"Title of {barcode}"}
        if barcode == DATED:
            record["dates"] = {"scanned": "2009-02-03T12:00:00", "converted": "2026-01-02T03:04:00"}
        (folder / "books" / f"{barcode}.json").write_text(json.dumps(record))
        (folder / "archives" / f"{barcode}.tar.gz.gpg").write_bytes(b"\x8c" + os.urandom(SIZE - 1))
    return folder


@dataclass
class Served:
    """A running server, and an HTTP client that sends a good token and follows no redirect."""

    folder: Path
    server: GrinServer
    http: httpx.Client

    def get(self, resource: str, **params: str | int | list[str]) -> httpx.Response:
        """The answer of one of the library's resources."""
        return self.http.get(f"{self.server.url}/{LIBRARY}/{resource}", params=params or None)

    def lines(self, name: str, **params: str | int | list[str]) -> list[str]:
        """The lines of a text list."""
        answer = self.get(name, format="text", **params)
        assert answer.status_code == 200
        return answer.text.splitlines()

    def control(self, name: str, value: Any = None) -> httpx.Response:
        """The answer of one of the simulator's own pages, which need no token."""
        url = f"{self.server.url.removesuffix('/libraries')}/_simulator/{name}"
        return httpx.get(url, verify=False) if value is None else httpx.post(url, json=value, verify=False)

    def process(self, *barcodes: str) -> dict[str, str]:
        """GRIN's status for each barcode whose conversion is asked for."""
        answer = self.get("_process", process_format="text", barcodes=list(barcodes))
        heading, *rows = answer.text.splitlines()
        assert (answer.status_code, heading) == (200, "Barcode\tStatus")
        return dict(row.split("\t") for row in rows)

    def data(self, barcode: str) -> bytes:
        """What lies in a book's archive."""
        return (self.folder / "archives" / f"{barcode}.tar.gz.gpg").read_bytes()

    def settings(self, credentials: Path) -> Settings:
        """Settings of the pipeline's own client for this server."""
        return client_settings(self.server.url, self.server.token_uri, credentials)


def client_settings(base_url: str, token_uri: str, credentials: Path) -> Settings:
    """Settings of the pipeline's own client, at a high rate."""
    addresses = {"base_url": base_url, "token_uri": token_uri, "credentials_file": credentials}
    grin = {**addresses, "requests_per_second": 1000, "idle_timeout": 5}
    return Settings.model_validate({"global": {"library": LIBRARY}, "grin": grin})


@contextmanager
def served(
    folder: Path,
    *faults: Fault,
    states: dict[str, State] | None = None,
    limits: Limits | None = None,
    token_lifetime: float = 3600,
) -> Iterator[Served]:
    """Serve a library folder."""
    with serving(folder, Options(states or {}, (), limits or Limits(), token_lifetime, faults=faults)) as made:
        yield made


@contextmanager
def serving(folder: Path, options: Options) -> Iterator[Served]:
    """Serve a library folder, which may be empty."""
    # verify=False, here and in the tests: loading certificates, which nothing uses, takes longer than a test.
    with GrinServer(folder, LIBRARY, options=options) as server, httpx.Client(timeout=10, verify=False) as http:
        http.headers["Authorization"] = f"Bearer {access_token(server)}"
        yield Served(folder, server, http)


def access_token(server: GrinServer) -> str:
    """A token had with the server's own credentials."""
    person = server.tokens.authorised_user()
    answer = httpx.post(server.token_uri, data={**person, "grant_type": "refresh_token"}, verify=False)
    return str(answer.json()["access_token"])
