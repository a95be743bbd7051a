"""Conversions in the simulated GRIN: asked for, refused, done, failed, downloaded and pushed out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from simulator.grin.entry import State
from simulator.grin.faults import Fault, Kind
from simulator.grin.holdings import Limits
from tests.simulator.grin_server import BARCODES, DATED, LIBRARY, SIZE, Served, served

AT_ONCE = Limits(conversion_seconds=0)
ARCHIVE = "HV1ABC.tar.gz.gpg"


@pytest.mark.quirk("process-success")
@pytest.mark.quirk("process-already-being-converted")
@pytest.mark.quirk("process-already-available")
@pytest.mark.quirk("process-not-allowed")
@pytest.mark.quirk("process-other-error")
@pytest.mark.quirk("process-repeats-are-harmless")
@pytest.mark.quirk("state-new")
@pytest.mark.quirk("state-not-available")
def test_statuses_of_process(mixed: Served) -> None:
    """Each state gets its answer; a book that is accepted once is being converted after that."""
    expected = {
        "$B100": "Success",
        "HV1ABC": "Success",
        DATED: "Already available for download",
        "39000000000026": "Not allowed to be downloaded",
        "W1PD159424-I3PD77": "Already being converted",
        "NOBODY": "Other error",
    }
    assert mixed.process(*expected) == expected
    assert mixed.process("$B100") == {"$B100": "Already being converted"}
    assert mixed.lines("_available") == []


@pytest.mark.quirk("process-get-or-post")
@pytest.mark.parametrize("how", ["repeated", "commas", "body", "form"])
def test_shapes_of_process(mixed: Served, how: str) -> None:
    """Barcodes come repeated, in one value, as the lines of a body, or as a form."""
    url, wanted = f"{mixed.server.url}/{LIBRARY}/_process", ["$B100", "HV1ABC"]
    answer = {
        "repeated": lambda: mixed.http.get(url, params={"barcodes": wanted}),
        "commas": lambda: mixed.http.post(url, params={"barcodes": ",".join(wanted)}),
        "body": lambda: mixed.http.post(url, content="\n".join(wanted)),
        "form": lambda: mixed.http.post(url, data={"barcodes": wanted}),
    }[how]()
    assert answer.text.splitlines()[1:] == ["$B100\tSuccess", "HV1ABC\tSuccess"]


def test_process_as_a_page(mixed: Served) -> None:
    """process_format=html gives a table."""
    assert "<td>$B100</td><td>Success</td>" in mixed.get("_process", barcodes="$B100", process_format="html").text


@pytest.mark.quirk("queue-full-429")
def test_a_full_queue_answers_429(books: Path) -> None:
    """What does not fit is refused whole, and nothing of it is queued."""
    limits = Limits(conversion_seconds=3600, queue_limit=2)
    with served(books, states=dict.fromkeys(BARCODES, State.NEW), limits=limits) as grin:
        assert grin.get("_process", barcodes=list(BARCODES[:3])).status_code == 429
        assert grin.lines("_in_process") == []
        assert set(grin.process(*BARCODES[:2]).values()) == {"Success"}
        assert grin.get("_process", barcodes=BARCODES[2]).status_code == 429


@pytest.mark.quirk("etag-is-the-build")
@pytest.mark.quirk("state-in-process")
@pytest.mark.quirk("state-converted")
def test_a_conversion_ends_in_the_pool(books: Path) -> None:
    """A requested book is in process for the time of a conversion, then its archive can be had, with a new ETag."""
    with served(books, limits=Limits(conversion_seconds=0.3)) as grin:
        before = grin.get(ARCHIVE).headers["ETag"]
        grin.server.holdings.put("HV1ABC", State.NEW)
        assert grin.get(ARCHIVE).status_code == 404
        grin.process("HV1ABC")
        assert (grin.lines("_in_process"), grin.get(ARCHIVE).status_code) == (["HV1ABC"], 404)
        time.sleep(0.35)
        assert grin.get(ARCHIVE).status_code == 200
        assert grin.get(ARCHIVE).headers["ETag"] != before
        assert grin.lines("_in_process") == []


@pytest.mark.quirk("failed-conversions")
def test_a_conversion_can_fail(books: Path) -> None:
    """A failed conversion is listed with date and reasons; a second request can succeed."""
    fault = Fault(Kind.FAIL_CONVERSION, "HV1ABC")
    with served(books, fault, states={"HV1ABC": State.NEW}, limits=AT_ONCE) as grin:
        grin.process("HV1ABC")
        values = grin.lines("_failed", mode="all")[0].split("\t")
        assert values[0] == "HV1ABC"
        assert all(values[4:8])
        assert grin.process("HV1ABC") == {"HV1ABC": "Success"}
        assert grin.lines("_failed") == []
        assert ARCHIVE in grin.lines("_converted")


@pytest.mark.quirk("pool-drops-its-oldest")
def test_the_pool_drops_its_oldest(books: Path) -> None:
    """A new conversion pushes the oldest archives out; books once downloaded are available as such."""
    limits = Limits(conversion_seconds=0, converted_pool=4)
    with served(books, states={"HV1ABC": State.NEW}, limits=limits) as grin:
        grin.get("$B100.tar.gz.gpg")
        grin.process("HV1ABC")
        assert grin.lines("_converted") == [
            f"{barcode}.tar.gz.gpg" for barcode in (*BARCODES[1:3], BARCODES[4], BARCODES[3])
        ]
        assert grin.lines("_available", book_state="PREVIOUSLY_DOWNLOADED") == ["$B100"]
        assert grin.get("$B100.tar.gz.gpg").status_code == 404


@pytest.mark.quirk("download-sets-the-date")
@pytest.mark.quirk("head-like-get")
def test_a_download_is_noted_and_a_head_is_not(grin: Served) -> None:
    """GET marks the book as downloaded and leaves it in the pool; HEAD tells the same headers and marks nothing."""
    url = f"{grin.server.url}/{LIBRARY}/{ARCHIVE}"
    head = grin.http.head(url)
    assert (head.headers["Content-Length"], head.content) == (str(SIZE), b"")
    assert "CONVERTED" in grin.lines("_barcode_search", mode="full", barcodes="HV1ABC")[1]
    got = grin.http.get(url)
    assert got.content == grin.data("HV1ABC")
    assert got.headers["ETag"] == head.headers["ETag"]
    deadline = time.monotonic() + 5
    while "PREVIOUSLY_DOWNLOADED" not in grin.lines("_barcode_search", mode="full", barcodes="HV1ABC")[1]:
        assert time.monotonic() < deadline
    assert ARCHIVE in grin.lines("_converted", book_state="PREVIOUSLY_DOWNLOADED")
