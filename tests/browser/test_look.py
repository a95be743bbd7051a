"""What a visitor sees: everything on the board, little to load, and nothing wrong behind the scenes."""

from __future__ import annotations

from tests.browser.boards import Board
from tests.browser.conftest import Visit


def test_the_board_shows_itself(quiet: Board, visit: Visit) -> None:
    """A column a bucket, a card a book; the page loads without an error and asks nobody but its orchestrator."""
    with visit(quiet) as watched:
        assert watched.page.locator("#board .bucket").count() == 6
        assert watched.page.locator('.card[data-barcode="B00POISONED"]').get_attribute("data-state") == "failed"
