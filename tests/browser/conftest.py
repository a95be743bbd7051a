"""One browser for the session, boards to look at, and one loud line where there is no browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import chrome
from tests.browser.boards import BAD_SUM, BAD_SUM_CURE, Board, furnished, started
from tests.browser.chrome import Watched

Visit = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser; without one the tests are skipped, or fail where REQUIRE_BROWSER is set."""
    if missing := chrome.missing():
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"REQUIRE_BROWSER is set, but {missing}.")
        pytest.skip(f"NO BROWSER TESTS: {missing}.")
    with sync_playwright() as playwright:
        made = chrome.launch(playwright)
        yield made
        made.close()


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Opens a page as a fresh visitor: `with visit(board, "/")`."""

    def opened(board: Board, path: str = "/", **how: object) -> AbstractContextManager[Watched]:
        return chrome.visit(browser, board.base, path, **how)

    return opened


@pytest.fixture(scope="session")
def quiet(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board on which nothing moves by itself, with books in every state and a stage in each; for reading only."""
    yield from furnished(tmp_path_factory.mktemp("quiet"))


@pytest.fixture
def own(browser: Browser, tmp_path: Path) -> Iterator[Board]:
    """The same, anew for one test that changes it."""
    yield from furnished(tmp_path)


@pytest.fixture
def read_only(browser: Browser, tmp_path: Path) -> Iterator[Board]:
    """One failed book, and no action token."""
    board = Board(tmp_path, acts=False)
    board.put("B00POISONED", 2, "failed", reason=BAD_SUM, cure=BAD_SUM_CURE)
    with started(board, "--no-stages") as made:
        yield made
