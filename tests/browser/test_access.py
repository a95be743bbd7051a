"""For everybody: axe finds nothing, the keyboard reaches everything, a phone shows it all."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import chrome
from tests.browser.boards import Board
from tests.browser.conftest import Visit
from tests.browser.test_day import story_of

BOOK = "B00POISONED"
SIGHTS = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "phone": chrome.PHONE}
PATHS = ("/", f"/book/{BOOK}", "/bucket/01_incoming?state=failed")
# Where the focus is, and whether one sees it.
FOCUSED = """() => {
  const it = document.activeElement, style = getComputedStyle(it);
  return [it.outerHTML.slice(0, 200), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""
REACHABLE = """(root) => [...document.querySelector(root).querySelectorAll("a[href], button, input, [tabindex='0']")]
  .filter((it) => it.checkVisibility() && it.type !== "hidden").map((it) => it.outerHTML.slice(0, 200))"""


def violations(page: Page) -> list[str]:
    """What axe has against a page, with the first place of each."""
    page.evaluate(chrome.AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((found) => found.violations)")
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found]


def tabbed(page: Page, most: int) -> list[tuple[str, bool]]:
    """What has the focus now and after each press of Tab, until it leaves the page, and whether that can be seen."""
    found: list[tuple[str, bool]] = []
    for number in range(most):
        html, seen = page.evaluate(FOCUSED)
        if not html.startswith("<body"):
            found.append((html, seen))
        elif number:
            break
        page.keyboard.press("Tab")
    return found


@pytest.mark.parametrize("sight", SIGHTS)
def test_axe_finds_nothing(quiet: Board, visit: Visit, sight: str) -> None:
    """Board, book and list, light and dark and on a phone, with books in every state: no violation."""
    found = {}
    for path in PATHS:
        with visit(quiet, path, bypass_csp=True, **SIGHTS[sight]) as watched:
            found[path] = violations(watched.page)
    assert [fault for faults in found.values() for fault in faults] == []


def test_axe_finds_nothing_in_an_open_story(quiet: Board, visit: Visit) -> None:
    """Nor while a story is open over the board."""
    with visit(quiet, bypass_csp=True) as watched:
        story_of(watched.page, BOOK)
        assert violations(watched.page) == []


@pytest.mark.parametrize("path", PATHS)
def test_a_phone_shows_it_all(quiet: Board, visit: Visit, path: str) -> None:
    """On a phone nothing is wider than the screen: only tables scroll, within themselves."""
    with visit(quiet, path, **chrome.PHONE) as watched:
        width, screen = watched.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert (width, screen) == (390, 390)


def test_every_action_by_keyboard(quiet: Board, visit: Visit) -> None:
    """Tab reaches every link, button and field of the board, and one sees where the focus is."""
    with visit(quiet) as watched:
        expect(watched.page.locator("#live")).to_have_text("live")
        wanted: list[str] = watched.page.evaluate(REACHABLE, "body")
        reached = tabbed(watched.page, len(wanted) + 10)
    assert set(wanted) <= {html for html, _ in reached}
    assert [html for html, seen in reached if not seen] == []


def test_a_story_keeps_the_keyboard(quiet: Board, visit: Visit) -> None:
    """In an open story Tab reaches everything in it and nothing behind it; Escape closes it."""
    with visit(quiet) as watched:
        story_of(watched.page, BOOK)
        wanted: list[str] = watched.page.evaluate(REACHABLE, "dialog#story")
        reached = {html for html, _ in tabbed(watched.page, len(wanted) + 3)}
        assert len(wanted) >= 7
        assert set(wanted) <= reached
        assert not any('class="card' in html for html in reached)
        watched.page.keyboard.press("Escape")
        expect(watched.page.locator("dialog#story")).to_be_hidden()
