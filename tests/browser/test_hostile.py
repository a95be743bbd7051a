"""Whatever reasons, workers, people and strangers are called: it is shown as it is written, and never run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from common import audit
from tests.browser.boards import Board, started
from tests.browser.conftest import Visit

# Each would leave its mark on the window.
RUNS = (
    "<script>window.ran='script'</script>",
    "<img src=x onerror=\"window.ran='img'\">",
    "<svg onload=\"window.ran='svg'\">",
    "</code></p><iframe srcdoc=\"<script>parent.ran='frame'</script>\"></iframe>",
    '"onmouseover="window.ran=\'attribute\'" x="',
    "'-(window.ran='quote')-'",
    "`<b onclick=\"window.ran='code'\">`",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.ran='link'",
)
STEERS = "\x1b[2J\x07\x00\x08\u202egnp.exe\u2066\u200b\u2028\ud800"
LONG = "<i>very</i> long " * 640
BOOKS = [f"H{number}" for number in range(len(RUNS))]
SEEN = "() => [window.ran, document.scripts.length, document.querySelectorAll('img, iframe, svg, i, [onload]').length]"


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """Everything on it that anybody could have named is named with malice."""
    board = Board(tmp_path_factory.mktemp("hostile"))
    for number, (barcode, text) in enumerate(zip(BOOKS, RUNS, strict=True)):
        board.put(
            barcode, number % 5, ("failed", "deferred", "held")[number % 3], reason=text, cure=text, by=text, why=text
        )
        board.ledger.append(barcode, text, stage=text, reason=text, cure=text, facts={text: text, "size": text})
        board.ledger.append(barcode, "failed", stage="extractor", attempt=text, reason=text, cure=text)
    board.put("STEERS", 1, "failed", reason=STEERS, cure=STEERS)
    board.put("LONG", 1, "failed", reason=LONG, cure=LONG, detail=LONG)
    for number, text in enumerate(RUNS):
        worker = board.worker("extractor", "extractor-" + text.replace("/", "%"), version=text, host=text)
        board.put(f"W{number}", 2, "working", worker=worker)
    board.worker("modifier", "modifier-1", halted=RUNS[0], cure=RUNS[1])
    audit.pause(board.root, "uploader", RUNS[0], RUNS[1] + STEERS)
    for name in (RUNS[1], RUNS[2], '"><script>', "A\u202eB", "x" * 200):
        (board.bucket(0) / f"{name}.json").write_text("{}")
    with started(board, "--no-stages") as made:
        yield made


def assert_harmless(page: Page, own_scripts: int) -> None:
    """No word of it has become an element, and none has run."""
    page.mouse.move(200, 300)
    assert page.evaluate(SEEN) == [None, own_scripts, 0]
    assert page.get_by_text("\u202e").count() == 0


def test_the_board_only_shows_it(hostile: Board, visit: Visit) -> None:
    """On the board all of it is text, cut to a bearable length, also when events have replaced it."""
    with visit(hostile) as watched:
        page = watched.page
        expect(page.locator("#live")).to_have_text("live")
        hostile.put("NEWS", 1, "failed", reason=RUNS[0] + " new", cure=RUNS[1])
        expect(page.locator('#failed [data-barcode="NEWS"]')).to_have_count(1)
        expect(page.locator("#failed")).to_contain_text(RUNS[1])
        expect(page.locator("#workers")).to_contain_text(RUNS[2])
        expect(page.locator('[data-stage="modifier"]')).to_contain_text(RUNS[0])
        assert_harmless(page, 1)
        assert max(len(text) for text in page.locator(".card").all_inner_texts()) < 300
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("barcode", ["H0", "H1", "H3", "H6", "STEERS", "LONG"])
def test_a_story_only_shows_it(hostile: Board, visit: Visit, barcode: str) -> None:
    """In a story, over the board and on its own page, all of it is text."""
    with visit(hostile) as watched:
        watched.page.locator(f'#board [data-barcode="{barcode}"]').click()
        expect(watched.page.locator("dialog#story .events")).to_be_visible()
        assert_harmless(watched.page, 1)
        watched.page.goto(f"/book/{barcode}")
        expect(watched.page.locator("main")).to_contain_text(
            {"STEERS": "\\x1b[2J", "LONG": "<i>very</i>"}.get(barcode, "ran=")
        )
        assert_harmless(watched.page, 1)
        assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_strangers_are_listed(hostile: Board, visit: Visit) -> None:
    """Files that are no tokens are listed by their names, which do nothing."""
    with visit(hostile, "/bucket/00_to_download") as watched:
        expect(watched.page.locator("main")).to_contain_text(RUNS[1])
        assert_harmless(watched.page, 0)


def test_what_a_person_types_comes_back_as_text(hostile: Board, visit: Visit) -> None:
    """A name or a why that is HTML stays what it is, in the form, in the answer and in the ledger."""
    with visit(hostile, "/book/H0", java_script_enabled=False) as watched:
        watched.allow("403")
        for field in ("name", "why"):
            watched.page.locator(f"#act [name={field}]").fill(f'"><script>{field}</script>')
        watched.page.locator("#act [name=token]").fill(RUNS[0])
        watched.page.get_by_role("button", name="Hold", exact=True).click()
        expect(watched.page.locator("#said")).to_contain_text("Nothing was done")
        assert watched.page.locator("#act [name=why]").input_value() == '"><script>why</script>'
        assert_harmless(watched.page, 1)


@pytest.mark.parametrize(
    "path", ["/", "/book/H0", "/bucket/00_to_download", "/book/nobody", "/nowhere", "/status.json"]
)
def test_every_answer_forbids_scripts_of_others(hostile: Board, visit: Visit, path: str) -> None:
    """A policy goes with every page: should something slip through, it would still not run."""
    with visit(hostile, "") as watched:
        answer = watched.page.request.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_mark_would_be_seen(hostile: Board, browser: Browser) -> None:
    """The twin: the same texts, put into a page unescaped and without a policy, run and are noticed."""
    page = browser.new_page()
    page.set_content(f"<p>{json.dumps(RUNS[1])[1:-1].replace(chr(92), '')}</p>")
    page.wait_for_function("window.ran === 'img'")
    with pytest.raises(AssertionError):
        assert_harmless(page, 0)
    page.close()
