"""Makes the pictures of the page in docs/images: `make screenshots`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import chrome
from tests.browser.boards import Board, furnish, started

FOLDER = Path(__file__).parents[2] / "docs" / "images"
DESK = {"viewport": {"width": 1360, "height": 850}}
BOOK = "B00POISONED"


def keep(page: Page, name: str) -> None:
    """The picture of what is on the screen."""
    expect(page.locator("#live")).to_have_text("live")
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    # It has few colours, and a palette makes it a third of the size.
    picture.quantize(128, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
    print(f"{FOLDER / name}.png")


def desk(browser: Browser, base: str) -> None:
    """The board by day and by night, its failures, and a story."""
    for colours in ("light", "dark"):
        with chrome.visit(browser, base, color_scheme=colours, **DESK) as watched:
            keep(watched.page, f"board-{colours}")
    with chrome.visit(browser, base, color_scheme="light", **DESK) as watched:
        watched.page.evaluate("document.getElementById('failed').scrollIntoView()")
        keep(watched.page, "board-failed")
        watched.page.evaluate("scrollTo(0, 0)")
        watched.page.locator(f'.card[data-barcode="{BOOK}"]').click()
        expect(watched.page.locator("dialog#story .events")).to_be_visible()
        keep(watched.page, "board-story")


def phone(browser: Browser, base: str) -> None:
    """The board on a phone."""
    with chrome.visit(browser, base, color_scheme="light", **chrome.PHONE) as watched:
        keep(watched.page, "board-phone")


def main() -> int:
    """Make all of them."""
    if chrome.CHROMIUM is None:
        print("There is no chromium: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = chrome.launch(playwright)
        with started(furnish(Board(Path(folder))), "--no-stages") as board:
            desk(browser, board.base)
            phone(browser, board.base)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
