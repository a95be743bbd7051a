"""A headless Chromium that is on this machine already, and a page that notes whatever a visitor would call broken."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(__file__).parents[2] / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
# It is to ask for nothing but the page: no updates, no lists, no first-run page.
_QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_QUIET += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


def missing() -> str:
    """What keeps these tests from running; nothing where all is there."""
    if CHROMIUM is None:
        return "there is no chromium (apt-get install chromium)"
    return "" if AXE.exists() else "there is no axe-core (make .venv/axe/.complete)"


def launch(playwright: Playwright) -> Browser:
    """The browser; as root it cannot have a sandbox."""
    alone = ["--no-sandbox"] if os.getuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET + alone)


class Watched:
    """A page and what went wrong on it: errors, warnings, failed requests, requests to anybody else."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self._allowed: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)

    def allow(self, part: str) -> None:
        """What this test brings about itself is no fault of the page."""
        self._allowed.append(part)

    def faults(self) -> list[str]:
        """All that is not allowed."""
        return [fault for fault in self.wrong if not any(part in fault for part in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)
        if urlsplit(request.url).netloc != urlsplit(self.base).netloc:
            self.wrong.append(f"request to another host: {request.url}")

    def _failed(self, request: Request) -> None:
        # What is under way when a visitor goes on to another page is aborted, the stream always.
        if "ABORTED" not in (request.failure or ""):
            self.wrong.append(f"request failed: {request.method} {request.url}: {request.failure}")


@contextmanager
def visit(browser: Browser, base: str, path: str = "/", **how: Any) -> Iterator[Watched]:
    """A page of a fresh visitor; leaving it fails when anything was wrong on it."""
    context: BrowserContext = browser.new_context(base_url=base, **how)
    try:
        watched = Watched(context.new_page(), base)
        watched.page.set_default_timeout(15_000)
        if path:
            watched.page.goto(path, wait_until="load")
        yield watched
        assert not watched.faults(), watched.faults()
    finally:
        context.close()
