"""An operator's day before a real run: cards move, a bad book is found, read, held, released and retried."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.boards import NAMES, TOKEN, Day, started
from tests.browser.conftest import Visit
from tests.helpers import until

# It lives in the page's own window: a reload would lose all of it.
WATCH = """() => {
  window.seen = {}; window.changes = 0;
  const note = () => document.querySelectorAll("#board .card").forEach((card) => {
    const path = window.seen[card.dataset.barcode] ||= [], bucket = card.closest(".bucket").dataset.bucket;
    if (path.at(-1) !== bucket) path.push(bucket);
  });
  note();
  new MutationObserver(() => { window.changes += 1; note(); }).observe(
    document.getElementById("board"), { childList: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def day(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """`grin-pipeline demo` with four books, one of them bad."""
    with started(Day(tmp_path_factory.mktemp("day"), 4, 1)) as made:
        yield made


def bad_book(day: Day) -> str:
    """One of the bad books, as soon as it lies where the bad ones end."""
    barcode = min(day.books(bad=True))
    until(lambda: day.places(barcode)[:1] and day.places(barcode)[0].endswith("/failed"), 60)
    return barcode


def story_of(page: Page, barcode: str) -> Locator:
    """A book's story, opened by a click among the failures."""
    page.locator(f'#failed a[data-barcode="{barcode}"]').click()
    expect(page.locator("dialog#story")).to_be_visible()
    return page.locator("dialog#story")


def sign(page: Page, name: str = "Anna", token: str = TOKEN, why: str = "the passphrase was mended") -> None:
    """What a person types before acting."""
    for field, text in {"name": name, "token": token, "why": why}.items():
        page.locator(f'#act [name="{field}"]').fill(text)


def test_cards_move_without_a_reload(day: Day, visit: Visit, figure: Callable[[str], None]) -> None:
    """While books come home their cards go from column to column, in one and the same document."""
    good = day.books(bad=False)
    with visit(day) as watched:
        page, loads = watched.page, []
        page.evaluate(WATCH)
        page.on("framenavigated", lambda frame: loads.append(frame.url))
        done = page.locator('#bucket-05_uploaded .card[data-state="done"]')
        expect(done).to_have_count(len(good), timeout=60_000)
        seen: dict[str, list[str]] = page.evaluate("window.seen")
        assert loads == []
    assert good <= {barcode for barcode, path in seen.items() if path[-1] == NAMES[-1]}
    # A bad archive goes back to be fetched anew; good books never go back.
    assert [seen[barcode] for barcode in good if seen[barcode] != sorted(set(seen[barcode]))] == []
    moved = {barcode: path for barcode, path in seen.items() if len(path) > 1}
    figure(f"{len(moved)} cards seen moving, the farthest through {max(map(len, moved.values()))} columns")
    assert good <= set(moved)
    assert max(map(len, moved.values())) >= 3


def test_a_bad_book_is_found_and_understood(day: Day, visit: Visit) -> None:
    """Among the failures by cause stand its reason and its cure; a click opens its whole story."""
    barcode = bad_book(day)
    failed = day.events(barcode)[-1]
    with visit(day) as watched:
        cause = watched.page.locator(".cause", has=watched.page.locator(f'[data-barcode="{barcode}"]'))
        expect(cause.locator("h3")).to_contain_text(failed["reason"].split("`")[0][:60])
        expect(cause.locator(".cure")).to_contain_text("What to do: ")
        story = story_of(watched.page, barcode)
        expect(story.locator(".why").first).to_contain_text(failed["reason"].split("`")[0][:60])
        told = story.locator(".events").inner_text()
        assert all(event["event"] in told for event in day.events(barcode) if event["event"] != "claimed")
        story.get_by_role("button", name="Close").click()
        expect(story).to_be_hidden()


def test_a_story_by_keyboard(day: Day, visit: Visit) -> None:
    """Enter on a card opens its story, Escape closes it, and the card has the focus again."""
    barcode = bad_book(day)
    with visit(day) as watched:
        card = watched.page.locator(f'.card[data-barcode="{barcode}"]')
        card.focus()
        watched.page.keyboard.press("Enter")
        expect(watched.page.locator("dialog#story h2")).to_contain_text(barcode)
        watched.page.keyboard.press("Escape")
        expect(watched.page.locator("dialog#story")).to_be_hidden()
        expect(card).to_be_focused()


def test_held_released_and_retried(day: Day, visit: Visit) -> None:
    """Each deed through the page is one rename, and a line with the person's name in the ledger and in the log."""
    barcode = bad_book(day)
    inode, place = day.tokens()[barcode][0][1], day.places(barcode)[0]
    with visit(day) as watched:
        page = watched.page
        sign(page, token=day.token.read_text().strip())
        story = story_of(page, barcode)
        deed(page, story, "Hold", f"{barcode} was failed; it is held")
        assert day.tokens()[barcode] == [(place.replace("failed", "held"), inode)]
        deed(page, story, "Release", f"{barcode} was held; it is waiting")
        until(lambda: day.tokens()[barcode] == [(place, inode)], 30)
        expect(page.locator(f'#failed a[data-barcode="{barcode}"]')).to_have_count(1)
        page.keyboard.press("Escape")
        deed(page, story_of(page, barcode), "Retry", f"{barcode} was failed; it is waiting")
    until(lambda: "failed" in day.kinds(barcode)[day.kinds(barcode).index("retried") :], 30)
    done = [event for event in day.events(barcode) if event["event"] in ("held", "released", "retried")]
    assert [event["event"] for event in done] == ["held", "released", "retried"]
    assert {event["by"] for event in done} == {"Anna (page, 127.0.0.1)"}
    told = [(line["command"], line["by"], line["why"]) for line in day.audit()]
    who = ("Anna (page, 127.0.0.1)", "the passphrase was mended")
    assert told == [("hold", *who), ("release", *who), ("retry", *who)]


def deed(page: Page, story: Locator, name: str, said: str) -> None:
    """Press a button of a story, read what has become of it, and wait until the story tells of it."""
    story.evaluate("story => story.querySelector('.head').classList.add('old')")
    story.get_by_role("button", name=name, exact=True).click()
    expect(page.locator("#said")).to_contain_text(said)
    expect(story.locator(".old")).to_have_count(0)
