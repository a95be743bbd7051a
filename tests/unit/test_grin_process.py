"""Asking for conversions: GRIN's words, in batches that GRIN takes, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import Retry
from common.grin.client import GrinClient
from common.grin.errors import QueueFull
from common.grin.process import NO_ANSWER, Status, split
from common.settings import GrinSettings
from tests.scripted import Reply, ScriptedGrin, Seen, page


@pytest.fixture
def grin() -> Iterator[ScriptedGrin]:
    """A scripted GRIN."""
    with ScriptedGrin() as server:
        yield server


def ask(grin: ScriptedGrin, folder: Path, *barcodes: str, **more: object) -> dict[str, tuple[Status, str]]:
    """What a client makes of the answer."""
    with GrinClient(grin.settings(folder, **more)) as client:
        return {b: (answer.status, answer.text) for b, answer in client.request_conversions(barcodes).items()}


def table(*rows: str) -> Reply:
    """A text answer with its header."""
    return Reply("\n".join(["Barcode\tStatus", *rows, ""]).encode(), headers={"Content-Type": "text/plain"})


@pytest.mark.quirk("process-success")
@pytest.mark.quirk("process-already-being-converted")
@pytest.mark.quirk("process-already-available")
@pytest.mark.quirk("process-not-allowed")
@pytest.mark.quirk("process-other-error")
def test_words_of_grin(grin: ScriptedGrin, tmp_path: Path) -> None:
    """Each of GRIN's answers is understood in any case, unknown ones keep their words, a missing one is told."""
    words = ["Success", "already being CONVERTED", "Already available for download", "Not allowed to be downloaded"]
    grin.at("_process", table(*(f"B{n}\t{text}" for n, text in enumerate([*words, "Other error", "Unsuccessful"]))))
    assert ask(grin, tmp_path, *(f"B{n}" for n in range(7))) == {
        "B0": (Status.ACCEPTED, "Success"),
        "B1": (Status.IN_PROCESS, "already being CONVERTED"),
        "B2": (Status.CONVERTED, "Already available for download"),
        "B3": (Status.REFUSED, "Not allowed to be downloaded"),
        "B4": (Status.OTHER, "Other error"),
        "B5": (Status.OTHER, "Unsuccessful"),
        "B6": (Status.OTHER, NO_ANSWER),
    }


@pytest.mark.quirk("process-get-or-post")
@pytest.mark.quirk("barcodes-with-dollar-and-dash")
@pytest.mark.parametrize("method", ["get", "post"])
def test_get_and_post(grin: ScriptedGrin, tmp_path: Path, method: str) -> None:
    """By GET the barcodes are repeated, by POST they are the lines of the body; either way in text."""
    seen: list[Seen] = []

    def answer(request: Seen) -> Reply:
        seen.append(request)
        return table("$B1\tSuccess", "W-2\tSuccess")

    grin.at("_process", answer)
    found = ask(grin, tmp_path, "$B1", "w-2", process_method=method)
    assert [status for status, _ in found.values()] == [Status.ACCEPTED, Status.ACCEPTED]
    assert list(found) == ["$B1", "w-2"]
    assert seen[0].query["process_format"] == ["text"]
    assert seen[0].query.get("barcodes") == (["$B1", "w-2"] if method == "get" else None)


@pytest.mark.quirk("barcodes-a-request")
@pytest.mark.quirk("long-search-urls")
def test_batches() -> None:
    """A batch has no more than so many books, and by GET no address of 7,500 characters; nothing is lost or doubled."""
    books = [f"W1PD{number:08}-I3PD$" for number in range(1000)]
    url = "https://books.google.com/libraries/TESTLIB/_process"
    for method, batch in (("get", 100), ("get", 1000), ("post", 300)):
        settings = GrinSettings.model_validate({"process_method": method, "process_batch": batch})
        batches = list(split(books, url, settings))
        assert [book for some in batches for book in some] == books
        assert max(len(some) for some in batches) <= batch
        if method == "get":
            longest = max(len(url) + 20 + sum(len(f"&barcodes={b}") + 2 for b in some) for some in batches)
            assert (batch == 100 or longest > 7300) and longest < 7500
        else:
            assert len(batches) == 4


@pytest.mark.quirk("queue-full-429")
def test_a_full_queue(grin: ScriptedGrin, tmp_path: Path) -> None:
    """429 is QueueFull, and is not tried again within seconds."""
    grin.at("_process", Reply(b"full", 429))
    with pytest.raises(QueueFull, match="full"):
        ask(grin, tmp_path, "B1")
    assert len(grin.asked("_process")) == 1


@pytest.mark.quirk("process-repeats-are-harmless")
def test_a_lost_answer_is_asked_for_again(grin: ScriptedGrin, tmp_path: Path) -> None:
    """A request whose answer broke off is sent again; the book is then simply in the queue."""
    whole = table("B1\tSuccess")
    grin.at("_process", Reply(whole.body, promised=100), table("B1\tAlready being converted"))
    assert ask(grin, tmp_path, "B1")["B1"][0] is Status.IN_PROCESS
    assert len(grin.asked("_process")) == 2


def test_an_answer_as_a_page(grin: ScriptedGrin, tmp_path: Path) -> None:
    """A page with GRIN's table is read by its headings, by GET and by POST."""
    heading = (
        '<tr class="heading"><td><span class="hd3">Barcode</span></td><td><span class="hd3">Status</span></td></tr>'
    )
    rows = "<tr><td>B1</td><td>Success</td></tr><tr><td>B2</td><td>Not allowed to be downloaded</td></tr>"
    body = f"<html><table>{heading}<tbody>{rows}</tbody></table></html>".encode()
    grin.at("_process", Reply(body, headers={"Content-Type": "text/html"}))
    for method in ("get", "post"):
        found = ask(grin, tmp_path, "B1", "B2", process_method=method)
        assert [status for status, _ in found.values()] == [Status.ACCEPTED, Status.REFUSED]


@pytest.mark.quirk("login-page-with-200")
def test_what_is_no_answer(grin: ScriptedGrin, tmp_path: Path) -> None:
    """A text that has neither the header nor one of the books is no answer, and a login page none either."""
    grin.at("_process", Reply(b"We are sorry\n", headers={"Content-Type": "text/plain"}))
    with pytest.raises(Retry, match="no table"):
        ask(grin, tmp_path, "B1")
    grin.at("_process", page())
    raised: Any = pytest.raises(Exception, match="login page")
    with raised:
        ask(grin, tmp_path, "B1")
