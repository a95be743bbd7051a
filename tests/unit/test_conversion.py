"""What is asked for, within which limits, before a simulated library; CONVERT_BOOKS makes it as large as one likes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from common import board
from common.config import Settings
from common.grin.client import GrinClient
from common.ledger import Ledger
from services.orchestrator.asked import Asked
from services.orchestrator.conversion import Conversion, Report, alone, whole_round
from services.orchestrator.up import prepare
from simulator.grin.entry import State
from tests import warm
from tests.helpers import GRIN_PIPELINE, measured
from tests.libraries import Site, serving
from tests.scripted import Reply, ScriptedGrin, Seen

BOOKS = int(os.environ.get("CONVERT_BOOKS", "3000"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A small library in the lists only, whose conversions never end."""
    with serving(tmp_path, 300) as made:
        yield made


def convert(settings: Settings, *, limit: int | None = None, dry_run: bool = False, **more: Any) -> Report:
    """One round of a person."""
    names, again = more.pop("names", None), more.pop("again", False)
    fill, downloaded = more.pop("fill_queue", False), more.pop("downloaded", 0)
    with GrinClient(settings) as client:
        conversion = Conversion(settings, client, Asked(settings, dry_run=dry_run), downloaded=downloaded)
        conversion.look(fill_queue=fill)
        return whole_round(conversion, names, limit, again=again, dry_run=dry_run)


@pytest.mark.quirk("queue-limit")
@pytest.mark.quirk("state-new")
@pytest.mark.quirk("state-previously-downloaded")
@pytest.mark.quirk("state-checked-in")
@pytest.mark.quirk("state-not-available")
def test_a_whole_library(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """`convert` chooses right to the book, never passes the queue's limit, and asks refused books exactly once."""
    limit = BOOKS // 6
    with serving(tmp_path, BOOKS, queue=limit) as site:
        refused = site.truth(State.NOT_AVAILABLE_FOR_DOWNLOAD)
        (tmp_path / "wishes").write_text("\n".join(refused))
        site.settings({"queue_limit": limit}, {"from": "converted", "barcodes_file": "wishes"})
        right = {*site.truth(State.NEW, State.PREVIOUSLY_DOWNLOADED, State.FAILED), *refused}
        room = limit - site.queue()["now"]
        dry, seconds, peak = command(site, "--dry-run", "--fill-queue")
        assert (dry["would_ask"], dry["no_room"], dry["asked"]) == (room, len(right) - room, 0)
        assert site.queue()["requests"] == 0
        made = {"config.yaml", "credentials.json", "library", "wishes"}
        assert {path.name for path in tmp_path.iterdir()} == made
        figure(f"--dry-run, {BOOKS:,} books: {seconds:.1f} s, {peak:.0f} MB")
        first, seconds, peak = command(site, "--fill-queue")
        figure(f"convert, {first['asked']:,} asked for: {seconds:.1f} s, {peak:.0f} MB")
        assert first["answers"]["accepted"] == room
        assert first["answers"]["refused"] == len(refused)
        for _ in range(2):
            more, _, _ = command(site, "--fill-queue")
            assert (more["asked"], more["not_asked"]["refused"]) == (0, len(refused))
        queue, asked = site.queue(), site.asked_for()
        assert (queue["most"], queue["full"], queue["refused_again"]) == (limit, 0, {})
        assert set(asked.values()) == {1}
        assert set(asked) <= right
        assert set(asked) >= set(refused)
        # What is left is everything else, and nothing more.
        left = {*site.truth(State.NEW, State.PREVIOUSLY_DOWNLOADED, State.FAILED)}
        assert left == right - set(asked)
        assert more["no_room"] == len(left)


def command(site: Site, *more: str) -> tuple[dict[str, Any], float, float]:
    """`convert --json` as a process: its object, seconds, and the most memory that it had, in MB."""
    began = time.monotonic()
    done, peak = measured([*GRIN_PIPELINE, "convert", "--json", "--config", str(site.folder / "config.yaml"), *more])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), time.monotonic() - began, peak


@pytest.mark.quirk("pool-drops-its-oldest")
def test_room_in_the_pool(site: Site) -> None:
    """What is queued, lies in the pool for us and is asked for fits into the pool with what we fetch in a day."""
    settings = site.settings({"converted_pool": 40})
    queued, lying = len(site.truth(*State, where="queue")), len(site.truth(*State, where="pool"))
    assert queued
    assert lying
    assert convert(settings).asked["accepted"] == 40 - queued - lying
    assert convert(settings).asked.total() == 0
    assert convert(settings, downloaded=15).asked["accepted"] == 15
    assert convert(settings, fill_queue=True, limit=7).asked["accepted"] == 7


def test_lists_that_lag(tmp_path: Path) -> None:
    """What GRIN has taken and lists nowhere yet is queued all the same: no round asks for the same room again."""
    available = [f"390000000{number:05d}" for number in range(90)]

    def take(seen: Seen) -> Reply:
        rows = [f"{barcode}\tSuccess" for barcode in seen.query["barcodes"]]
        return Reply("\n".join(["Barcode\tStatus", *rows, ""]).encode())

    with ScriptedGrin() as grin:
        for name in ("_in_process", "_converted", "_failed"):
            grin.at(name, Reply(b"", headers={"Content-Type": "text/plain"}))
        grin.at("_available", Reply("\n".join([*available, ""]).encode()))
        grin.at("_process", take)
        settings = grin.settings(tmp_path, converted_pool=30, queue_limit=50)
        assert [convert(settings).asked["accepted"] for _ in range(3)] == [30, 0, 0]
        assert [convert(settings, fill_queue=True).asked["accepted"] for _ in range(2)] == [20, 0]


def test_delivered_books_leave_room(site: Site) -> None:
    """A converted book that was brought home takes no room any more; one that waits for its download does."""
    settings = site.settings({"converted_pool": 40})
    lying = site.truth(*State, where="pool")
    before = convert(settings, dry_run=True).would
    prepare(settings)
    seeder = board.Seeder(settings.global_.pipeline_dir, Ledger(settings.global_.pipeline_dir / "ledger"), "s")
    first, second = settings.bucket_paths()
    seeder.seed_all(lying[:1], first, "p", "d")
    assert convert(settings, dry_run=True).would == before
    (first / f"{lying[0]}.json").rename(second / f"{lying[0]}.json")
    assert convert(settings, dry_run=True).would == before + 1


@pytest.mark.quirk("queue-full-429")
def test_a_full_queue_ends_the_round(tmp_path: Path) -> None:
    """Where others fill the queue faster than it can be counted, 429 ends the round, and no book has failed."""
    with serving(tmp_path, 300, queue=50) as site:
        settings = site.settings({"process_batch": 20})
        before = site.queue()["now"]
        report = convert(settings)
        assert report.asked["accepted"] == site.queue()["now"] - before == (50 - before) // 20 * 20
        assert "429" in report.ended
        assert site.queue()["full"] == 1
        assert report.left == len(site.truth(State.NEW, State.PREVIOUSLY_DOWNLOADED, State.FAILED))


@pytest.mark.quirk("state-in-process")
@pytest.mark.quirk("state-converted")
def test_named_books(site: Site) -> None:
    """Named books are asked for, each once; what is queued, converted or on the board is told and left alone."""
    settings = site.settings()
    queued, lying = site.truth(*State, where="queue")[0], site.truth(*State, where="pool")[0]
    new, other = site.truth(State.NEW)[:2]
    report = convert(settings, names=[new, new, queued, lying, "UNKNOWN"])
    assert dict(report.asked) == {"accepted": 1, "other": 1}
    assert dict(report.others) == {"in process": 1, "converted": 1}
    assert dict(report.words) == {"Other error": 1}
    assert convert(settings, names=["UNKNOWN"]).others["answered otherwise"] == 1
    assert convert(settings, names=["UNKNOWN"], again=True).asked["other"] == 1
    prepare(settings)
    Ledger(settings.global_.pipeline_dir / "ledger").register(other, bucket="01_second", token="t")
    assert convert(settings, names=[other]).others["known here"] == 1
    assert convert(settings, names=[other], again=True).asked["accepted"] == 1


def test_what_the_line_waits_for_comes_first(site: Site) -> None:
    """A book on the board whose archive has gone is asked for before all others; then the user's list."""
    new = site.truth(State.NEW)
    stuck, failed, other, wish = new[-4:]
    (site.folder / "wishes").write_text(wish)
    settings = site.settings(seed={"from": "converted", "barcodes_file": "wishes"})
    prepare(settings)
    ledger, first = Ledger(settings.global_.pipeline_dir / "ledger"), settings.bucket_paths()[0]
    board.Seeder(settings.global_.pipeline_dir, ledger, "s").seed_all([stuck, failed, other], first, "p", "d")
    for barcode, why in ((failed, "GRIN has no converted archive of this book now (404)."), (other, "It is cursed.")):
        ledger.append(barcode, "failed", stage="downloader", reason=why)
        (first / f"{barcode}.json").rename(first / "failed" / f"{barcode}.json")
    assert convert(settings, limit=3).asked["accepted"] == 3
    assert set(site.asked_for()) == {stuck, failed, wish}
    assert convert(settings, limit=1).others["known here"] == 1
    assert site.asked_for()[other] == 0


def test_a_list_that_is_all(site: Site) -> None:
    """Where only a file is to be brought home, nothing else is asked for."""
    new = site.truth(State.NEW)
    (site.folder / "mine").write_text("\n".join(new[:5]))
    report = convert(site.settings(seed={"from": "mine"}))
    assert report.asked.total() == 5
    assert set(site.asked_for()) == set(new[:5])


@pytest.mark.quirk("list-filters")
def test_available_by_states(site: Site) -> None:
    """With available_from: states the list of all books tells, by NEW and PREVIOUSLY_DOWNLOADED."""
    by_list = convert(site.settings(), dry_run=True)
    by_states = convert(site.settings({"available_from": "states"}), dry_run=True)
    assert by_states.would + by_states.left == by_list.would + by_list.left
    asked = [r["path"] for r in site.control("requests").json() if "book_state" in r["path"]]
    assert [httpx.URL(path).params["book_state"] for path in asked] == ["NEW", "PREVIOUSLY_DOWNLOADED"]


def test_one_at_a_time(site: Site) -> None:
    """A second process that would ask for conversions says who has the turn and leaves, with nothing done."""
    settings = site.settings()
    prepare(settings)
    whole = [*GRIN_PIPELINE, "convert", "--config", str(settings.path)]
    with alone(settings):
        second = subprocess.run(whole, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert second.returncode == 1
    assert f"Process {os.getpid()} on " in second.stderr
    assert site.queue()["requests"] == 0


def test_what_a_person_reads(site: Site) -> None:
    """The figures stand in sentences; a bad call says why, and nothing is made."""
    site.settings()

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return warm.run(["convert", "--config", str(site.folder / "config.yaml"), *more], dict(os.environ))

    bad = run("../x")
    assert (bad.returncode, "is no barcode" in bad.stderr) == (2, True)
    assert not (site.folder / "pipeline").exists()
    told = run("--limit", "5")
    assert told.returncode == 0
    assert "Asked GRIN to convert 5 books: 5 accepted." in told.stdout
    assert "without --limit" in told.stdout
    unknown = run("UNKNOWN")
    assert (unknown.returncode, '"Other error"' in unknown.stdout) == (1, True)
