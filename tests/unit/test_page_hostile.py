"""What strangers, hostile files and a stop in the middle can do to the page: nothing that is not said."""

from __future__ import annotations

import json
import socket
import threading
import time

import httpx
import pytest

from common import board
from common.errors import ConfigError
from services.orchestrator.page.app import Page
from services.orchestrator.page.server import PageServer
from tests.operators import Bench
from tests.sites import HTML, JSON, TOKEN, Site, bench, site

__all__ = ["bench", "site"]


@pytest.mark.parametrize("path", ["/", "/status.json", "/book/A1", "/events", "/board.js", "/act"])
def test_a_foreign_name_is_not_answered(site: Site, path: str) -> None:
    """By a name of its own a foreign page could read the board; scrapers may call it as they like."""
    for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "["):
        answer = site.http.get(path, headers={"Host": host} | HTML)
        assert (answer.status_code, "board.hosts" in answer.text) == (421, True), host
    assert site.http.get("/metrics", headers={"Host": "orchestrator.grin.svc"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8080", "orchestrator", "[::1]:8080", "192.0.2.7", socket.gethostname()])
def test_our_own_names_are_answered(site: Site, host: str) -> None:
    """Addresses, names without a dot, this machine's."""
    assert site.http.get("/status.json", headers={"Host": host}).status_code == 200


def test_the_address_in_the_audit_line_is_the_connection_s(site: Site) -> None:
    """What a client says of where it comes from is not believed."""
    site.bench.put("A1")
    form = {"do": "hold A1", "token": TOKEN, "name": "Ada"}
    site.http.post("/act", headers={"X-Forwarded-For": "dean@library", "Forwarded": "for=dean"}, data=form)
    assert site.audit()[-1]["by"] == "Ada (page, 127.0.0.1)"


@pytest.mark.parametrize("origin", ["http://[", "//127.0.0.1", "", "http://127.0.0.1:1", "data:x"])
def test_a_strange_origin_is_refused_in_a_sentence(site: Site, origin: str) -> None:
    """Whatever it is, it is no fault of the page's."""
    site.bench.put("A1")
    answer = site.act("hold A1", Origin=origin)
    assert (answer.status_code, site.bench.places("A1")) == (403, ["00_b/waiting"])


def test_what_changed_nothing_is_not_done(site: Site) -> None:
    """A script can tell: 409, done is false, and why."""
    site.bench.put("A1", "held")
    for do in ("hold A1", "hold NOBODY", "resume one"):
        answer = site.act(do)
        assert (answer.status_code, answer.json()["done"], answer.json()["changed"]) == (409, False, 0), do
        assert answer.json()["said"]


def test_a_form_in_pieces_is_refused(site: Site) -> None:
    """Without a length, or with one that is not kept to, nothing is read."""
    pieces = iter([b"do=hold+A1&", b"x" * 200_000])
    assert site.http.post("/act", content=pieces).status_code == 413


def test_json_has_a_word_for_everything(site: Site) -> None:
    """Infinities and halves of characters on the disk leave JSON that any reader takes."""
    site.bench.put("A1")
    path = site.bench.ledger.path("A1")
    path.write_bytes(path.read_bytes() + b'{"event": "x", "a": NaN, "b": -1e999, "c": "\\ud800", "d": ["\\u202e"]}\n')
    answer = site.http.get("/book/A1", headers=JSON)
    event = json.loads(answer.content, parse_constant=pytest.fail)["events"][-1]
    assert (event["a"], event["b"]) == (None, None)
    assert site.http.get("/book/A1", headers=HTML).status_code == 200


def test_a_story_without_end_is_cut(site: Site) -> None:
    """Of megabytes of events as many are shown as a person may read; the command tells all."""
    site.bench.put("A1")
    for _ in range(30):
        site.bench.ledger.append("A1", "x", facts={f"fact{n}": "y" * 3_000 for n in range(60)})
    page = site.http.get("/book/A1", headers=HTML).text
    assert len(page) < 3_000_000
    assert "older events" in page


def test_a_reason_without_end_fits_a_card(site: Site) -> None:
    """A reason of megabytes makes the board no larger, and is in no button."""
    site.bench.put("A1", "failed", reason="x" * 3_000_000)
    page = site.http.get("/", headers=HTML).text
    assert len(page) < 20_000
    assert "retry-reason x" not in page


def test_states_that_a_bucket_does_not_have(site: Site) -> None:
    """A list is asked for by a state that there is: done only where the line ends."""
    assert site.http.get("/bucket/01_b?state=done").status_code == 404
    assert "there are waiting, working" in site.http.get("/bucket/01_b?state=Failed").text
    assert site.http.get("/bucket/02_b?state=done", headers=HTML).status_code == 200


def test_a_token_that_is_made_later_is_known(bench: Bench) -> None:
    """The page that only showed has its form at the next look."""
    site = Site(bench, "", {"action_token_file": "token"})
    try:
        assert 'id="act"' not in site.http.get("/", headers=HTML).text
        (bench.line.folder / "token").write_text(TOKEN + "\n")
        assert 'id="act"' in site.http.get("/", headers=HTML).text
    finally:
        site.close()


def test_a_token_that_is_easy_to_guess(bench: Bench) -> None:
    """It is told at the start."""
    with pytest.raises(ConfigError, match="easy to guess"):
        Site(bench, "secret")


def test_an_address_that_is_not_ours(site: Site) -> None:
    """Where the page cannot listen, the setting is named, not the disk."""
    page: Page = site.server._page
    with pytest.raises(
        ConfigError, match=r"cannot listen at board.listen, 192.0.2.1:0: .*Name an address of this machine"
    ):
        PageServer("192.0.2.1", 0, page)


def test_no_more_live_pages_than_can_be(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes too late is told so; a look at the head of the stream counts for nothing; who leaves makes room."""
    monkeypatch.setattr("services.orchestrator.page.live._MOST", 3)
    assert {site.http.head("/events").status_code for _ in range(5)} == {200}
    clients = [httpx.Client(base_url=site.http.base_url) for _ in range(4)]
    streams = [client.stream("GET", "/events") for client in clients]
    assert [stream.__enter__().status_code for stream in streams] == [200, 200, 200, 503]
    for client in clients:
        client.close()
    end = time.monotonic() + 10
    while site.http.stream("GET", "/events").__enter__().status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_stop_in_the_middle_of_a_large_deed(site: Site) -> None:
    """What has moved has moved, the line in the operators' log says how many, and so does the answer."""
    barcodes = [f"B{number:04}" for number in range(3_000)]
    for barcode in barcodes:
        (site.bench.buckets[0] / "failed" / f"{barcode}.json").write_text(json.dumps({"barcode": barcode}))
        site.bench.ledger.append(barcode, "failed", stage="one", reason="torn")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(site.act("retry-reason torn")))
    asking.start()
    waiting = site.bench.buckets[0]
    end = time.monotonic() + 20
    while not any(name.suffix == ".json" for name in waiting.iterdir()):
        assert time.monotonic() < end
    site.server.close()
    asking.join(20)
    moved = sum(1 for path in waiting.iterdir() if path.suffix == ".json")
    left = sum(1 for _ in (waiting / board.FAILED).iterdir())
    assert 0 < moved < 3_000
    assert moved + left == 3_000
    assert site.audit()[-1]["moved"] == moved
    assert "stopping" in " ".join(answers[0].json()["said"])


def test_a_board_that_was_moved_away(site: Site) -> None:
    """Nothing is done to what lies in its place, and a sentence says why."""

    def gone() -> None:
        raise OSError("the board's folder is another one")

    site.bench.put("A1")
    site.server._page.require = gone
    answer = site.act("hold A1")
    assert (answer.status_code, site.bench.places("A1")) == (503, ["00_b/waiting"])
    assert "another one" in answer.json()["said"][0]
