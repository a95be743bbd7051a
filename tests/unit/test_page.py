"""The board's page over real HTTP: what it shows, what it does, and what it refuses."""

from __future__ import annotations

import json

import pytest

from tests.operators import Bench
from tests.sites import HTML, JSON, TOKEN, Site, bench, site

__all__ = ["bench", "site"]


def test_the_page_shows_every_bucket_and_every_state(site: Site) -> None:
    """A card stands in its bucket with its state in a word, a failed one with its reason and among the causes."""
    for state in ("waiting", "working", "deferred", "failed", "held"):
        site.bench.put(f"B-{state}", state, 1, reason="The archive is torn." if state == "failed" else "")
    page = site.http.get("/", headers=HTML).text
    for state in ("waiting", "working", "deferred", "failed", "held"):
        assert f'data-barcode="B-{state}" data-state="{state}"' in page
    assert page.count("The archive is torn.") == 2


def test_many_tokens_are_a_stack(site: Site) -> None:
    """Of forty waiting books a few have cards; the others are one stack with their number."""
    for number in range(40):
        site.bench.put(f"B{number:02}")
    page = site.http.get("/", headers=HTML).text
    assert page.count('data-state="waiting"') == 13
    assert 'data-state="waiting" data-count="28"' in page


def test_a_text_client_gets_text(site: Site) -> None:
    """Whoever asks for no HTML gets the table of `status`; who asks for JSON its members."""
    assert site.http.get("/").text.startswith("Board ")
    assert site.http.get("/", headers=JSON).json() == site.http.get("/status.json").json()
    assert "grin_bucket_tokens{" in site.http.get("/metrics").text
    assert [site.http.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 503]


def test_a_books_story_is_a_page(site: Site) -> None:
    """It tells where the book is, why, what to do and each event; an unknown one is told to be unknown."""
    site.bench.put("A1", "failed", reason="No key fits.")
    page = site.http.get("/book/A1", headers=HTML)
    assert page.status_code == 200
    assert "No key fits." in page.text
    assert "registered" in page.text
    unknown = site.http.get("/book/A2", headers=HTML)
    assert unknown.status_code == 404
    assert "never seeded" in unknown.text
    assert site.http.get("/book/A1", headers=JSON).json()["places"][0]["state"] == "failed"


def test_a_book_is_found_by_its_barcode(site: Site) -> None:
    """The search leads to the book's page; what is no barcode is said to be none."""
    found = site.http.get("/book", params={"barcode": " A1 "}, follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, "book/A1")
    assert "is no barcode" in site.http.get("/book", params={"barcode": "a b"}).text


def test_a_bucket_is_a_page(site: Site) -> None:
    """A stack leads to the list of its books, of one state or of all; a bucket that is not there is said so."""
    site.bench.put("A1", "failed", reason="No key fits.")
    site.bench.put("A2")
    assert "A1" not in site.http.get("/bucket/00_b?state=waiting", headers=HTML).text
    assert "No key fits." in site.http.get("/bucket/00_b", headers=HTML).text
    assert "There is no such bucket; there are 00_b" in site.http.get("/bucket/nope").text


@pytest.mark.parametrize(
    ("do", "state", "after", "event"),
    [
        ("hold A1", "waiting", "00_b/held", "held"),
        ("release A1", "held", "00_b/waiting", "released"),
        ("retry A1", "failed", "00_b/waiting", "retried"),
        ("retry-reason key", "failed", "00_b/waiting", "retried"),
    ],
)
def test_a_deed_moves_the_token_and_says_who(site: Site, do: str, state: str, after: str, event: str) -> None:
    """One rename of the same inode, a line in the ledger and one in the operators' log, with the name and the why."""
    site.bench.put("A1", state, reason="No key fits." if state == "failed" else "")
    answer = site.act(do, why="seen on paper")
    assert answer.status_code == 200, answer.text
    assert site.bench.places("A1") == [after]
    assert site.bench.inode("A1") == site.bench.inodes["A1"]
    told = site.bench.ledger.read("A1")[-1]
    assert (told["event"], told["by"], told["why"]) == (event, "Ada L. (page, 127.0.0.1)", "seen on paper")
    assert site.audit()[-1]["by"] == "Ada L. (page, 127.0.0.1)"


def test_a_drop_needs_the_tick(site: Site) -> None:
    """Without the box ticked for that book nothing is dropped; with it the book is off the board."""
    site.bench.put("A1")
    assert "tick the box" in site.act("drop A1").json()["said"][0]
    assert "tick the box" in site.act("drop A1", sure="A2").json()["said"][0]
    assert site.bench.places("A1") == ["00_b/waiting"]
    assert site.act("drop A1", sure="A1").json()["done"]
    assert site.bench.places("A1") == ["dropped"]


def test_a_stage_is_paused_and_resumed(site: Site) -> None:
    """The pause is a file with the name of who paused it; an empty name means all stages."""
    assert site.act("pause one").status_code == 200
    assert json.loads((site.bench.root / "paused" / "one").read_text())["by"] == "Ada L. (page, 127.0.0.1)"
    site.act("pause ")
    assert sorted(p.name for p in (site.bench.root / "paused").iterdir()) == ["one", "two"]
    site.act("resume ")
    assert list((site.bench.root / "paused").iterdir()) == []


REFUSED = [
    ("hold A1", {"token": "wrong"}, 403, "not the action token"),
    ("hold A1", {"token": ""}, 403, "not the action token"),
    ("hold A1", {"token": "löt-mè"}, 403, "not the action token"),
    ("hold A1", {"Origin": "http://evil.example"}, 403, "did not come from this page"),
    ("hold A1", {"Origin": "null"}, 403, "did not come from this page"),
    ("hold A1", {"name": " \t"}, 400, "say who you are"),
    ("hold ../A1", {}, 400, "barcode"),
    ("explode A1", {}, 400, "there is no such action"),
    ("pause nothing", {}, 400, "There is no stage nothing"),
    ("retry-reason  ", {}, 400, "no such action"),
    ("", {}, 400, "no such action"),
]


@pytest.mark.parametrize(("do", "more", "code", "sentence"), REFUSED)
def test_what_may_not_be_is_refused(site: Site, do: str, more: dict[str, str], code: int, sentence: str) -> None:
    """Nothing moves, nothing is recorded, and a sentence says why."""
    site.bench.put("A1")
    answer = site.act(do, **more)
    assert (answer.status_code, answer.json()["done"]) == (code, False)
    assert sentence in answer.json()["said"][0]
    assert site.bench.places("A1") == ["00_b/waiting"]
    assert site.audit() == []
    assert not list((site.bench.root / "paused").iterdir())


def test_a_look_at_the_address_of_deeds_does_nothing(site: Site) -> None:
    """GET is refused, and so is a form of a megabyte."""
    site.bench.put("A1")
    query = {"do": "hold A1", "token": TOKEN, "name": "Ada"}
    assert site.http.get("/act", params=query).status_code == 405
    assert site.http.post("/act", data=query | {"why": "x" * 1_000_000}).status_code == 413
    assert site.bench.places("A1") == ["00_b/waiting"]


def test_without_a_token_the_page_only_shows(bench: Bench) -> None:
    """No button, no form; a request that acts all the same is refused with what to set."""
    site = Site(bench, "")
    try:
        bench.put("A1")
        page = site.http.get("/", headers=HTML).text
        assert "<button form" not in page
        answer = site.act("hold A1")
        assert answer.status_code == 403
        assert "board.action_token_file" in answer.json()["said"][0]
        assert bench.places("A1") == ["00_b/waiting"]
    finally:
        site.close()


def test_a_form_without_scripts_is_answered_by_the_page(site: Site) -> None:
    """The board says what was done and keeps the name; the token is in no answer."""
    site.bench.put("A1")
    form = {"do": "hold A1", "token": TOKEN, "name": 'Ada "the" <b>', "page": "book"}
    origin = {"Origin": f"http://127.0.0.1:{site.server.port}"}
    answer = site.http.post("/act", headers=HTML | origin, data=form)
    assert "A1 was waiting; it is held in 00_b now." in answer.text
    assert 'value="Ada &#34;the&#34; &lt;b&gt;"' in answer.text
    assert '<main id="book"' in answer.text
    assert TOKEN not in answer.text


def test_what_is_hostile_is_only_shown(site: Site) -> None:
    """Tags are escaped, control characters made visible, ten kilobytes cut short on the board, whole in the story."""
    evil = "<script>alert(1)</script>\x1b[2J\u202egnp" + "x" * 10_000
    site.bench.put("A1", "failed", reason=evil)
    for path in ("/", "/book/A1", "/bucket/00_b"):
        page = site.http.get(path, headers=HTML)
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert len(site.http.get("/", headers=HTML).text) < 20_000
    assert "x" * 10_000 in site.http.get("/book/A1", headers=HTML).text


def test_live_pieces_are_sent_when_something_changes(site: Site) -> None:
    """The first event has every piece; when a token moves, the next has both buckets, and not those that stayed."""
    site.bench.put("A1")
    with site.http.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        first = json.loads(next(lines).removeprefix("data: "))
        assert {"figures", "bucket-00_b", "bucket-01_b", "bucket-02_b", "failed", "workers", "table"} <= first.keys()
        (site.bench.buckets[0] / "A1.json").rename(site.bench.buckets[1] / "A1.json")
        assert next(lines) == ""
        second = json.loads(next(lines).removeprefix("data: "))
        assert 'data-barcode="A1"' in second["bucket-01_b"]
        assert 'data-barcode="A1"' not in second["bucket-00_b"]
        assert "bucket-02_b" not in second
