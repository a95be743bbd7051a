"""What must not be done is not done, and the page says why: nothing on disk changes, not a byte."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.boards import TOKEN, Board
from tests.browser.conftest import Visit
from tests.browser.test_day import deed, sign, story_of

BOOK = "B00POISONED"


def on_disk(board: Board) -> dict[str, tuple[int, bytes]]:
    """Every file of the board but heartbeats and the orchestrator's own log: its inode and its bytes."""
    files = [path for path in board.root.rglob("*") if path.is_file() and path.parent.name != "workers"]
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in files if path.name != "orchestrator.jsonl"}


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [
        ("Anna", "wrong", "Nothing was done: that is not the action token."),
        ("Anna", TOKEN + "x", "Nothing was done: that is not the action token."),
        ("  ", TOKEN, "Nothing was done: say who you are"),
    ],
    ids=["wrong-token", "nearly-the-token", "blank-name"],
)
def test_a_deed_that_is_refused(quiet: Board, visit: Visit, name: str, token: str, said: str) -> None:
    """With a wrong token, or without a name, a button changes nothing, and the page says so."""
    before = on_disk(quiet)
    with visit(quiet) as watched:
        watched.allow("the server responded with a status of 40")
        sign(watched.page, name, token)
        story_of(watched.page, BOOK).get_by_role("button", name="Hold", exact=True).click()
        expect(watched.page.locator("#said")).to_contain_text(said)
    assert on_disk(quiet) == before


def test_an_empty_field_is_asked_for(quiet: Board, visit: Visit) -> None:
    """Without a name or a token the browser asks for it, and nothing is sent."""
    before = on_disk(quiet)
    with visit(quiet) as watched:
        story_of(watched.page, BOOK).get_by_role("button", name="Hold", exact=True).click()
        expect(watched.page.locator('#act [name="name"]')).to_be_focused()
        assert not [url for url in watched.asked if url.endswith("/act")]
    assert on_disk(quiet) == before


FORM = """<form method="post" action="{base}/act"><input name="do" value="hold {book}"><input name="name" value="Anna">
<input name="token" value="{token}"><button>Win a prize</button></form>"""


def test_a_form_of_another_site(quiet: Board, visit: Visit) -> None:
    """A page from anywhere else cannot act, even if it knew the token: where the form came from is looked at."""
    before = on_disk(quiet)
    with visit(quiet) as watched:
        watched.allow("evil.example")
        watched.allow("403")
        watched.page.route(
            "http://evil.example/*",
            lambda route: route.fulfill(
                body=FORM.format(base=quiet.base, book=BOOK, token=TOKEN), content_type="text/html"
            ),
        )
        watched.page.goto("http://evil.example/prize")
        watched.page.get_by_role("button").click()
        expect(watched.page.locator("body")).to_contain_text(
            "Nothing was done: the request did not come from this page"
        )
    assert on_disk(quiet) == before


def asked_by_address(page: Page) -> int:
    """What a link or an image could send."""
    answer = page.goto(f"/act?do=hold+{BOOK}&name=Anna&token={TOKEN}")
    assert answer is not None
    return answer.status


def test_an_address_does_nothing(quiet: Board, visit: Visit) -> None:
    """GET never acts, whatever it says: it is no method of that address."""
    before = on_disk(quiet)
    with visit(quiet) as watched:
        watched.allow("405")
        assert asked_by_address(watched.page) == 405
    assert on_disk(quiet) == before


def test_without_a_token_the_page_only_shows(read_only: Board, visit: Visit) -> None:
    """Where no action token is set there is no button that acts, and the page says how to set one."""
    with visit(read_only) as watched:
        assert watched.page.locator("[name=do]").count() == 0
        expect(watched.page.locator("body")).to_contain_text("board.action_token_file")
        watched.page.locator(f'.card[data-barcode="{BOOK}"]').click()
        expect(watched.page.locator("dialog#story")).to_contain_text(BOOK)
        assert watched.page.locator("[name=do]").count() == 0


def test_drop_asks_twice(own: Board, visit: Visit) -> None:
    """Drop does nothing until the box beside it is ticked; then the book is off the board."""
    with visit(own) as watched:
        watched.allow("400")
        sign(watched.page)
        story = story_of(watched.page, BOOK)
        deed(watched.page, story, "Drop", "Nothing was dropped: tick the box")
        assert own.places(BOOK) == ["02_decrypted/failed"]
        story.locator("[name=sure]").check()
        deed(watched.page, story, "Drop", f"{BOOK} was failed; it is dropped now.")
    assert own.places(BOOK) == []
    assert (own.root / "dropped" / f"{BOOK}.json").exists()
