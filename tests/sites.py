"""A board of the tests, served as `up` serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from common import config
from services.orchestrator.collector import registry
from services.orchestrator.page.app import Page
from services.orchestrator.page.server import PageServer
from services.orchestrator.view import View
from tests.operators import Bench

TOKEN = "let-me-in-2026"
HTML, JSON = {"Accept": "text/html"}, {"Accept": "application/json"}


class Site:
    """A bench's board, served."""

    def __init__(self, bench: Bench, token: str = TOKEN, more: dict[str, str] | None = None) -> None:
        self.bench = bench
        path = bench.line.config
        whole = yaml.safe_load(path.read_text()) | {"board": {"action_token": token} if token else more or {}}
        path.write_text(yaml.safe_dump(whole))
        view = View(config.load(path, classes=None))
        checks = {"/healthz": lambda: (True, "well"), "/readyz": lambda: (False, "not yet")}
        self.server = PageServer("127.0.0.1", 0, Page(view, lambda: (view.status(), 0.0), registry(view), checks))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.server.port}", timeout=10)

    def act(self, do: str, **more: str) -> httpx.Response:
        """What a button sends, with the right token and a name unless told otherwise."""
        headers = {"Accept": "application/json"} | {k: more.pop(k) for k in ("Origin",) if k in more}
        return self.http.post("/act", headers=headers, data={"do": do, "token": TOKEN, "name": "Ada L."} | more)

    def close(self) -> None:
        """Stop serving."""
        self.http.close()
        self.server.close()

    def audit(self) -> list[dict[str, object]]:
        """The operators' log."""
        path = self.bench.root / "logs" / "operators.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A board of two stages."""
    return Bench(tmp_path)


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    """Its page."""
    made = Site(bench)
    yield made
    made.close()
