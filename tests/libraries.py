"""Simulated libraries that are only in GRIN's lists, and boards before them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from common.config import Settings, load
from simulator.grin.clock import Limits
from simulator.grin.entry import State
from simulator.server import GrinServer, Options

NEVER = 10_000_000.0
MIX = {
    State.NEW: 0.6,
    State.CONVERTED: 0.03,
    State.IN_PROCESS: 0.03,
    State.NOT_AVAILABLE_FOR_DOWNLOAD: 0.01,
    State.FAILED: 0.01,
}


@dataclass
class Site:
    """A simulated library and a board before it."""

    folder: Path
    server: GrinServer

    def settings(self, grin: dict[str, Any] | None = None, seed: dict[str, Any] | None = None) -> Settings:
        """The configuration as it is loaded from its file."""
        address = {"base_url": self.server.url, "token_uri": self.server.token_uri, "requests_per_second": 5000}
        pipes = {"input_pipe": "pipeline/00_first", "output_pipe": "pipeline/01_second"}
        whole = {
            "global": {"library": "TESTLIB"},
            "grin": {**address, "credentials_file": "credentials.json", **(grin or {})},
            "seed": seed or {},
            "filters": [{"name": "downloader", "class": "Downloader", **pipes}],
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(whole))
        self.server.credentials_file(self.folder / "credentials.json")
        return load(self.folder / "config.yaml", classes=None)

    def control(self, name: str) -> httpx.Response:
        """One of the simulator's own pages."""
        return httpx.get(f"{self.server.url.removesuffix('/libraries')}/_simulator/{name}", verify=False, timeout=60)

    def truth(self, *states: State, where: str = "none") -> list[str]:
        """The books that are truly in these states."""
        wanted = "&".join(f"state={state}" for state in states)
        return [row.split("\t")[0] for row in self.control(f"truth?where={where}&{wanted}").text.splitlines()]

    def queue(self) -> dict[str, Any]:
        """The simulator's count of its queue, and of what was asked."""
        return dict(self.control("queue").json())

    def asked_for(self) -> Counter[str]:
        """How often each book was asked for, by what the simulator saw."""
        paths = (request["path"] for request in self.control("requests").json() if "_process" in request["path"])
        return Counter(barcode for path in paths for barcode in httpx.URL(path).params.get_list("barcodes"))


class serving:  # noqa: N801 - used like a function
    """A library of so many books, before which nothing was asked for."""

    def __init__(self, folder: Path, books: int, *, queue: int = 50_000) -> None:
        (folder / "library" / "books").mkdir(parents=True)
        (folder / "library" / "archives").mkdir()
        limits = Limits(conversion_seconds=NEVER, queue_limit=queue)
        options = Options(limits=limits, inventory=books, mix=MIX, seed=11)
        self.site = Site(folder, GrinServer(folder / "library", "TESTLIB", options=options))

    def __enter__(self) -> Site:
        self.site.server.__enter__()
        return self.site

    def __exit__(self, *_: object) -> None:
        self.site.server.__exit__()
