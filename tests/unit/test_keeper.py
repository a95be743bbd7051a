"""The orchestrator's loop with GRIN: what it keeps filled, what it notices, and that it never ends of an error."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from common import board, listing
from common.config import Settings
from common.grin.client import GrinClient
from common.grin.process import Answered, Status
from common.ledger import Ledger
from services.orchestrator.asked import Asked
from services.orchestrator.keeper import Keeper
from services.orchestrator.pool_pace import PoolPace
from services.orchestrator.up import prepare
from simulator.grin.entry import State
from tests.helpers import Line, stop, until
from tests.libraries import Site, serving
from tests.scripted import Reply, ScriptedGrin


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A library of 400 books, about 12 of them converted."""
    with serving(tmp_path, 400) as made:
        yield made


@contextmanager
def keeping(settings: Settings, *, fills: bool = True) -> Iterator[Keeper]:
    """A board, and a keeper at work."""
    prepare(settings)
    keeper = Keeper(settings, fills=fills)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


def said(keeper: Keeper) -> list[str]:
    """All that it has to say now."""
    found = []
    while not keeper.says.empty():
        found.append(keeper.says.get())
    return found


def ledger_of(settings: Settings) -> Ledger:
    """The board's ledger."""
    return Ledger(settings.global_.pipeline_dir / "ledger")


def waiting(settings: Settings) -> set[str]:
    """The books that wait in the first bucket."""
    return set(listing.barcodes(settings.bucket_paths()[0]))


@pytest.mark.quirk("state-converted")
def test_the_oldest_conversions_first(site: Site) -> None:
    """The first bucket is filled up to seed.keep with the oldest conversions, and again when books have gone on."""
    settings = site.settings(seed={"keep": 4, "every": 60})
    with GrinClient(settings) as client:
        dated = sorted(client.entries("converted"), key=lambda entry: entry.converted or datetime.max)  # noqa: DTZ901
    oldest = [entry.barcode for entry in dated]
    first, second = settings.bucket_paths()
    with keeping(settings) as keeper:
        until(lambda: len(waiting(settings)) == 4)
        assert waiting(settings) == set(oldest[:4])
        for barcode in oldest[:3]:
            (first / f"{barcode}.json").rename(second / f"{barcode}.json")
        until(lambda: len(waiting(settings)) == 4)
        assert waiting(settings) == set(oldest[3:7])
        until(lambda: "available" in keeper.books)
        truth = {
            name: len(site.truth(*State, where=place))
            for name, place in (("in_process", "queue"), ("converted", "pool"))
        }
        assert {name: keeper.books[name] for name in truth} == truth


@pytest.mark.quirk("request-unavailable")
def test_a_list_that_fails_is_no_empty_list(site: Site) -> None:
    """An error is told once in a sentence, its list has no figure, and when it is over that is told as well."""
    url = f"{site.server.url.removesuffix('/libraries')}/_simulator/faults"
    fault = {"kind": "status", "on": "_converted", "code": 500, "times": None}
    httpx.post(url, json=[fault], verify=False)
    with keeping(site.settings({"tries": 1}, {"every": 0.2, "keep": 4})) as keeper:
        until(lambda: sum("_converted" in r["path"] for r in site.control("requests").json()) > 3)
        assert "converted" not in keeper.books
        assert keeper.trouble
        told = said(keeper)
        assert len(told) == 1
        assert "GRIN answers 500" in told[0]
        httpx.post(url, json=[], verify=False)
        until(lambda: keeper.books.get("converted"))
        until(lambda: not keeper.trouble)
        assert said(keeper) == ["GRIN's lists can be read again."]


def test_without_credentials(site: Site) -> None:
    """Where there are none the keeper says what to do, and goes on looking for them."""
    settings = site.settings(seed={"every": 0.2})
    (site.folder / "credentials.json").unlink()
    with keeping(settings) as keeper:
        until(lambda: not keeper.says.empty())
        assert "credentials" in said(keeper)[0]
        site.server.credentials_file(site.folder / "credentials.json")
        until(lambda: keeper.books.get("converted"))


@pytest.mark.quirk("404-after-listing")
def test_failed_for_want_of_an_archive(site: Site) -> None:
    """A book that had failed with 404 is tried again once it is converted; one that failed otherwise is not."""
    settings = site.settings(seed={"keep": 1, "every": 0.3})
    prepare(settings)
    lying = site.truth(*State, where="pool")[:2]
    absent = site.truth(State.NEW)[0]
    first, ledger = settings.bucket_paths()[0], ledger_of(settings)
    board.Seeder(settings.global_.pipeline_dir, ledger, "s").seed_all([*lying, absent], first, "p", "d")
    reason = "GRIN has no converted archive of this book now (404)."
    for barcode, why in zip([*lying, absent], [reason, "It is cursed.", reason], strict=True):
        ledger.append(barcode, "failed", stage="downloader", reason=why)
        (first / f"{barcode}.json").rename(first / "failed" / f"{barcode}.json")
    with keeping(settings) as keeper:
        until(lambda: lying[0] in waiting(settings))
        until(lambda: keeper.books.get("available"))
        assert set(listing.barcodes(first, board.FAILED)) == {lying[1], absent}
        event = ledger.read(lying[0])[-1]
        assert (event["event"], event["why"]) == ("retried", "GRIN has its archive now")
        # Failing again, it is not tried again for the same conversion.
        (first / f"{lying[0]}.json").rename(first / "failed" / f"{lying[0]}.json")
        looks = sum("_converted" in r["path"] for r in site.control("requests").json())
        until(lambda: sum("_converted" in r["path"] for r in site.control("requests").json()) > looks + 2)
        assert lying[0] not in waiting(settings)


@pytest.mark.quirk("new-versions")
@pytest.mark.parametrize("what", ["ignore", "report", "bring"])
def test_new_versions(site: Site, what: str) -> None:
    """A delivered book that was converted more than a day after our download is told, brought, or left alone."""
    settings = site.settings(seed={"keep": 1, "every": 0.3, "new_versions": what})
    prepare(settings)
    with GrinClient(settings) as client:
        newer, same = [(e.barcode, e.converted) for e in client.entries("converted") if e.converted][:2]
    last = settings.bucket_paths()[-1]
    for (barcode, converted), before in ((newer, 30), (same, 20)):
        assert converted is not None
        deliver(settings, barcode, converted - timedelta(hours=before), last)
    with keeping(settings, fills=False) as keeper:
        until(lambda: "available" in keeper.books)
        told = [sentence for sentence in said(keeper) if "anew" in sentence]
        assert keeper.new_versions == len(told) == (what != "ignore")
        assert not told or newer[0] in told[0]
        assert waiting(settings) == ({newer[0]} if what == "bring" else set())


def test_a_new_version_of_a_book_that_is_on_its_way(site: Site) -> None:
    """What cannot be told before the book is home is told once it is, by the same keeper."""
    settings = site.settings(seed={"keep": 1, "every": 0.2})
    prepare(settings)
    with GrinClient(settings) as client:
        barcode, converted = next((e.barcode, e.converted) for e in client.entries("converted") if e.converted)
    deliver(settings, barcode, converted - timedelta(hours=30), settings.bucket_paths()[-1])
    path = ledger_of(settings).path(barcode)
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with keeping(settings, fills=False) as keeper:
        until(lambda: sum("_converted" in r["path"] for r in site.control("requests").json()) > 3)
        assert keeper.new_versions == 0
        path.write_text(whole)
        until(lambda: keeper.new_versions == 1)
        looks = sum("_converted" in r["path"] for r in site.control("requests").json())
        until(lambda: sum("_converted" in r["path"] for r in site.control("requests").json()) > looks + 2)
        assert keeper.new_versions == 1


def deliver(settings: Settings, barcode: str, fetched: datetime, last: Path) -> None:
    """Put a book into the last bucket as if it had been fetched then."""
    ledger = ledger_of(settings)
    board.Seeder(settings.global_.pipeline_dir, ledger, "s").seed_all([barcode], last, "p", "d")
    done = {"time": fetched.replace(tzinfo=UTC).isoformat(), "event": "done", "stage": "downloader"}
    files = [{"name": "x", "key": f"{barcode}/x", "size": 1, "sha256": "0"}]
    with ledger.path(barcode).open("a") as file:
        file.write(json.dumps(done) + "\n")
        file.write(json.dumps({**done, "stage": "uploader", "facts": {"files": files}}) + "\n")


def test_stops_although_a_request_hangs(tmp_path: Path) -> None:
    """However long GRIN is silent, the keeper is left within two seconds."""
    silent = threading.Event()
    with ScriptedGrin() as grin:
        grin.at("_in_process", Reply(b"A1\n", promised=100, then_wait=silent))
        with keeping(grin.settings(tmp_path, idle_timeout=60)):
            until(lambda: grin.asked("_in_process"))
            began = time.monotonic()
        assert time.monotonic() - began < 2
        silent.set()


def test_up_ends_although_a_request_hangs(tmp_path: Path) -> None:
    """`up` beats, serves and ends by SIGTERM as ever while GRIN is silent."""
    silent = threading.Event()
    with ScriptedGrin() as grin:
        grin.at("_in_process", Reply(b"A1\n", promised=100, then_wait=silent))
        line = Line(tmp_path, "")
        settings = grin.settings(tmp_path)
        wanted = {"base_url": settings.grin.base_url, "token_uri": settings.grin.token_uri, "idle_timeout": 60}
        pipes = {"input_pipe": "pipeline/00_b", "output_pipe": "pipeline/01_b"}
        whole = {
            "global": {"library": "TESTLIB", **line.common},
            "grin": {**wanted, "credentials_file": "credentials.json"},
            "filters": [{"name": "downloader", "class": "Downloader", **pipes}],
            "board": {"listen": "127.0.0.1:0"},
        }
        line.config.write_text(yaml.safe_dump(whole))
        up = line.up("--no-stages")
        until(lambda: grin.asked("_in_process"))
        until(lambda: line.status()["orchestrators"][0]["heartbeat_age"] < 1)
        began = time.monotonic()
        assert stop(up) == 0
        assert time.monotonic() - began < 3
        silent.set()


@pytest.mark.quirk("conversions-a-day")
def test_asks_for_conversions_round_by_round(site: Site) -> None:
    """With seed.convert each round asks for what has room; what is fetched meanwhile makes more room."""
    grin: dict[str, Any] = {"converted_pool": 50, "process_batch": 10}
    with keeping(site.settings(grin, {"convert": True, "every": 0.3, "keep": 1})) as keeper:
        until(lambda: keeper.asked_for)
        queue = site.queue()
        assert queue["now"] + queue["pool"] == 50
        keeper.pace.note(100)
        keeper.pace.note(125)
        until(lambda: site.queue()["now"] + queue["pool"] == 75)
        assert any("Asked GRIN to convert" in sentence for sentence in said(keeper))


@pytest.mark.quirk("pool-drops-its-oldest")
def test_an_archive_that_was_pushed_out(site: Site) -> None:
    """A book whose archive goes before it is fetched is asked for again at once, though it was asked for lately."""
    settings = site.settings(seed={"convert": True, "every": 0.3, "keep": 1})
    prepare(settings)
    book = site.truth(State.NEW)[0]
    Asked(settings).record({book: Answered(Status.ACCEPTED, "Success")})
    ledger, first = ledger_of(settings), settings.bucket_paths()[0]
    board.Seeder(settings.global_.pipeline_dir, ledger, "s").seed_all([book], first, "p", "d")
    url = f"{site.server.url.removesuffix('/libraries')}/_simulator/books"
    httpx.post(url, json={book: "CONVERTED"}, verify=False)
    with keeping(settings, fills=False) as keeper:
        until(lambda: keeper.books.get("available"))
        assert site.asked_for()[book] == 0
        httpx.post(url, json={book: "NEW"}, verify=False)
        until(lambda: site.asked_for()[book] == 1)


def test_pace() -> None:
    """Books brought home in a day are those between the first count and the last, and never less than none."""
    pace = PoolPace()
    assert pace.in_a_day() == 0
    for behind in (10, 12, 17):
        pace.note(behind)
    assert pace.in_a_day() == 7
    pace.note(3)
    assert pace.in_a_day() == 0


def test_a_look_that_failed_is_soon_made_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the credentials are there, nobody waits for the next look of the usual rhythm."""
    monkeypatch.setattr("services.orchestrator.keeper._AGAIN", 0.1)
    settings = site.settings(seed={"every": 3600})
    credentials = settings.grin.credentials_file
    assert credentials is not None
    hidden = credentials.rename(credentials.with_suffix(".hidden"))
    with keeping(settings) as keeper:
        until(lambda: keeper.trouble)
        hidden.rename(credentials)
        until(lambda: keeper.books.get("converted") and not keeper.trouble, 20)
        assert "GRIN's lists can be read again." in said(keeper)


def test_a_look_that_keeps_failing_is_made_ever_less_often(site: Site) -> None:
    """From ten seconds on each pause is twice the one before, and never longer than the usual one."""
    keeper = Keeper(site.settings(seed={"every": 300}), fills=False)
    keeper.trouble = "GRIN is away."
    assert [keeper._pause() for _ in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    keeper.trouble = ""
    assert [keeper._pause() for _ in range(2)] == [300, 300]
