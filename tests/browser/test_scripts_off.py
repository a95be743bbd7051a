"""Without scripts the page still shows the board, tells stories and acts, by links and a plain form."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.boards import BAD_SUM, Board
from tests.browser.conftest import Visit
from tests.browser.test_day import sign

BOOK = "B00POISONED"
OFF = {"java_script_enabled": False}


def test_the_board_is_read(quiet: Board, visit: Visit) -> None:
    """Columns, cards, failures by cause and workers are there, and a card leads to a book's page."""
    with visit(quiet, **OFF) as watched:
        page = watched.page
        assert page.locator("#board .bucket").count() == 6
        expect(page.locator("#failed")).to_contain_text(BAD_SUM)
        expect(page.locator("#workers")).to_contain_text("extractor-reading-room-4711-ab12")
        page.locator(f'.card[data-barcode="{BOOK}"]').click()
        page.wait_for_url(f"**/book/{BOOK}")
        expect(page.locator("main")).to_contain_text(BAD_SUM)
        page.get_by_role("link", name="The board").click()
        page.wait_for_url(f"{quiet.base}/")


def test_a_plain_form_acts(own: Board, visit: Visit) -> None:
    """A button on a book's page is a form's: the next page says what was done, and it was."""
    inode = own.tokens()[BOOK][0][1]
    with visit(own, f"/book/{BOOK}", **OFF) as watched:
        sign(watched.page, "Ben")
        watched.page.get_by_role("button", name="Hold", exact=True).click()
        expect(watched.page.locator("#said")).to_contain_text(f"{BOOK} was failed; it is held")
    assert own.tokens()[BOOK] == [("02_decrypted/held", inode)]
    assert own.events(BOOK)[-1]["by"] == "Ben (page, 127.0.0.1)"


def test_a_wrong_token_is_told(quiet: Board, visit: Visit) -> None:
    """What is refused is said on the next page, and what was typed is still there, but for the token."""
    with visit(quiet, f"/book/{BOOK}", **OFF) as watched:
        watched.allow("403")
        sign(watched.page, "Ben", "wrong")
        watched.page.get_by_role("button", name="Hold", exact=True).click()
        expect(watched.page.locator("#said")).to_contain_text("Nothing was done: that is not the action token.")
        assert watched.page.locator("[name=name]").input_value() == "Ben"
        assert watched.page.locator("[name=token]").input_value() == ""
    assert quiet.places(BOOK) == ["02_decrypted/failed"]
