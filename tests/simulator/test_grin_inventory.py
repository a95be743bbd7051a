"""A library of very many made-up books at the simulated GRIN: barcodes, states, lists, conversions, memory."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.grin.clock import Pace
from simulator.grin.entry import State
from simulator.grin.faults import Fault, Kind
from simulator.grin.holdings import Limits
from simulator.grin.mix import parse_mix, shares
from simulator.grin.numbers import MOST, Numbers
from simulator.ondemand import Binder
from simulator.records import BookRecord
from simulator.server import Options
from tests.simulator.grin_server import BARCODES, LIBRARY, SLOW, Served, make_books, serving

FOURTEEN = re.compile(r"3\d{13}")
SHAPES = re.compile(r"3\d{13}|HV[0-9A-Z]{4}|\$B\d{6}|W1PD\d{6}-I\dPD\d{2}")
ROWS = int(os.environ.get("SIMULATOR_ROWS", "50000"))


def luhn(barcode: str) -> int:
    """The check sum of a barcode, 0 for a good one."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(barcode)))
    return sum(value // 10 + value % 10 for value in doubled) % 10


def test_barcodes_are_different_and_lead_back_to_their_numbers() -> None:
    """Each number has a barcode of a shape that libraries use, fourteen digits with a true check digit mostly."""
    numbers = Numbers(5000, seed=3)
    barcodes = [numbers.barcode(number) for number in range(5000)]
    assert len(set(barcodes)) == 5000
    assert all(SHAPES.fullmatch(barcode) for barcode in barcodes)
    assert [numbers.number(barcode) for barcode in barcodes] == list(range(5000))
    long = [barcode for barcode in barcodes if FOURTEEN.fullmatch(barcode)]
    assert len(long) == 5000 * 22 // 25
    assert not any(map(luhn, long))
    assert {barcode[:2] for barcode in barcodes if not FOURTEEN.fullmatch(barcode)} == {"HV", "$B", "W1"}


def test_other_barcodes_have_no_number() -> None:
    """A barcode of another seed, past the end, in lower case or made up is nobody's."""
    numbers = Numbers(100, seed=3)
    strange = [
        Numbers(100, seed=4).barcode(8),
        Numbers(101, seed=3).barcode(100),
        "",
        "HV",
        "HV!",
        "$Bxx",
        "W1PD-I1PD77",
    ]
    strange += [numbers.barcode(7).lower(), numbers.barcode(0) + "0", "39000000000018"]
    assert [numbers.number(barcode) for barcode in strange] == [None] * len(strange)


def test_the_last_of_ten_million_has_its_own_barcode() -> None:
    """The largest inventory still has different barcodes at both of its ends; a larger one is refused."""
    numbers = Numbers(MOST, seed=1)
    for number in (*range(25), *range(MOST - 25, MOST)):
        assert numbers.number(numbers.barcode(number)) == number
    with pytest.raises(ValueError, match=str(MOST)):
        Numbers(MOST + 1, seed=1)


def test_a_mix_names_some_states_and_the_others_share_the_rest() -> None:
    """The states that are not named keep their proportions to each other."""
    mix = shares(parse_mix("NEW=0.7,FAILED=0.1"))
    assert (mix[State.NEW], mix[State.FAILED], sum(mix.values())) == pytest.approx((0.7, 0.1, 1))
    assert mix[State.PREVIOUSLY_DOWNLOADED] / mix[State.CHECKED_IN] == pytest.approx(91_673 / 6970)
    assert shares(parse_mix("NEW=2,FAILED=2"))[State.NEW] == 0.5
    for wrong in ("LOST=0.1", "NEW", "NEW=-1", "NEW=nan", "NEW=inf"):
        with pytest.raises(ValueError, match=r"."):
            parse_mix(wrong)


@pytest.mark.parametrize("seed", [1, 2])
def test_states_have_their_shares_and_their_limits(tmp_path: Path, seed: int) -> None:
    """States come in the shares of real libraries; the pool and the queue hold no more than they may."""
    limits = Limits(conversion_seconds=3600, converted_pool=300, queue_limit=100)
    with serving(tmp_path, Options(limits=limits, inventory=20_000, seed=seed)) as grin:
        counts = Counter(line.split("\t")[1] for line in grin.control("truth").text.splitlines())
        assert (counts["CONVERTED"], counts["IN_PROCESS"], sum(counts.values())) == (300, 100, 20_000)
        assert 0.85 < counts["PREVIOUSLY_DOWNLOADED"] / 20_000 < 0.93
        assert len(grin.lines("_converted")) == 300
        assert len(grin.lines("_in_process")) == 100
        assert len(grin.lines("_failed")) == counts["FAILED"] > 0


def test_the_same_seed_gives_the_same_library(tmp_path: Path) -> None:
    """Two servers of one seed tell the same, one of another seed tells something else."""
    told = []
    for seed in (1, 1, 2):
        with serving(tmp_path, Options(limits=SLOW, inventory=500, seed=seed)) as grin:
            told.append(grin.lines("_all_books", mode="all"))
    assert told[0] == told[1] != told[2]


def test_available_but_not_converted_to_the_book(tmp_path: Path) -> None:
    """The list of available books is just what the truth says can be asked for and is not in the pool."""
    with serving(tmp_path, Options(limits=SLOW, inventory=5000, mix=parse_mix("NEW=0.5,CONVERTED=0.2"))) as grin:
        rows = grin.control("truth?state=NEW&state=PREVIOUSLY_DOWNLOADED&where=none").text.splitlines()
        expected = {row.split("\t")[0] for row in rows}
        assert set(grin.lines("_available")) == expected
        assert 3000 < len(expected) < 4500
        pool = grin.control("truth?where=pool").text.splitlines()
        assert {f"{row.split()[0]}.tar.gz.gpg" for row in pool} == set(grin.lines("_converted"))
        assert grin.control("truth?state=LOST").status_code == 400


@pytest.mark.quirk("pool-drops-its-oldest")
def test_made_up_books_are_converted_and_pushed_out(tmp_path: Path) -> None:
    """A made-up book goes through the queue into the pool, has its dates then, and leaves for a newer one."""
    limits = Limits(conversion_seconds=0, converted_pool=2)
    with serving(tmp_path, Options(limits=limits, inventory=40, mix={State.NEW: 1})) as grin:
        first, second, third = grin.lines("_available")[:3]
        assert grin.process(first, second) == {first: "Success", second: "Success"}
        rows = [row.split("\t") for row in grin.lines("_converted", mode="all")]
        assert [row[0] for row in rows] == [f"{first}.tar.gz.gpg", f"{second}.tar.gz.gpg"]
        assert rows[0][2][:10] == time.strftime("%Y/%m/%d", time.gmtime())
        grin.process(third)
        assert grin.lines("_converted") == [f"{second}.tar.gz.gpg", f"{third}.tar.gz.gpg"]
        assert first in grin.lines("_available")


def test_archives_of_made_up_books(tmp_path: Path) -> None:
    """All of them share one archive, under an ETag of their own, if there is one; else they are listed and 404."""
    (tmp_path / "shared").write_bytes(os.urandom(5000))
    for archive, status in ((tmp_path / "shared", 200), (None, 404)):
        options = Options(limits=SLOW, inventory=50, mix={State.CONVERTED: 1}, archive=archive)
        with serving(tmp_path, options) as grin:
            answers = [grin.get(name) for name in grin.lines("_converted")[:3]]
        assert {answer.status_code for answer in answers} == {status}
        assert len({answer.headers.get("ETag") for answer in answers}) == (3 if archive else 1)
    assert status == 404


def test_archives_made_on_demand(tmp_path: Path) -> None:
    """With a passphrase a made-up book is made when it is fetched: its own METS and pages, then the same bytes."""
    maker = Binder(tmp_path / "on-demand", LIBRARY, 1, (4, 5), "a long enough passphrase")
    options = Options(limits=SLOW, inventory=50, mix={State.CONVERTED: 1}, maker=maker)
    with serving(tmp_path, options) as grin:
        names = grin.lines("_converted")[:2]
        first, second, again = (grin.get(name) for name in (*names, names[0]))
    barcode = names[0].removesuffix(".tar.gz.gpg")
    record = BookRecord.read(tmp_path / "on-demand" / "books" / f"{barcode}.json")
    assert f"{LIBRARY}_{barcode}.xml" in record.members
    assert (record.gpg.size, record.gpg.md5) == (len(first.content), hashlib.md5(first.content).hexdigest())
    assert (again.content, again.headers["ETag"]) == (first.content, first.headers["ETag"])
    assert second.content != first.content
    assert not (tmp_path / "books").exists()


def test_real_and_made_up_books_together(tmp_path: Path) -> None:
    """A folder's books come first in the lists, and all can be set and searched."""
    with serving(make_books(tmp_path / "library"), Options(limits=SLOW, inventory=30)) as grin:
        everything = grin.lines("_all_books")
        assert (everything[: len(BARCODES)], len(everything)) == (list(BARCODES), len(BARCODES) + 30)
        made_up = everything[-1]
        assert grin.control("books", {made_up: "FAILED"}).json() == {made_up: "FAILED"}
        assert made_up in grin.lines("_failed")
        assert len(grin.lines("_barcode_search", mode="full", barcodes=f"{made_up} {BARCODES[0]} NOBODY")) == 3


@pytest.mark.quirk("conversions-a-day")
def test_a_full_queue_drains_in_ten_days(tmp_path: Path) -> None:
    """At 5,000 a day, a day in a tenth of a second, a queue of 50,000 is empty after ten days and not before."""
    speed = 864_000
    limits = Limits(0, conversions_per_day=5000)
    options = Options(limits=limits, inventory=60_000, mix={State.NEW: 1}, speed=speed)
    with serving(tmp_path, options) as grin:
        began = time.monotonic()
        everything = grin.lines("_available")
        for start in range(0, 50_000, 400):
            grin.get("_process", barcodes=",".join(everything[start : start + 400]))
        while (told := grin.control("queue").json())["now"]:
            time.sleep(0.02)
        days = (time.monotonic() - began) * speed / 86_400
        assert told["accepted"] == told["asked"] == 50_000
        assert told["requests"] == 125
        assert days > 9
        assert len(grin.lines("_converted")) == 5000


@pytest.mark.parametrize("limits", [Limits(60, conversions_per_day=5000), Limits(60, daily_quota=5000)])
def test_no_day_ends_more_conversions_than_it_may(limits: Limits) -> None:
    """Whatever is asked for at once, each day ends 5,000 of them, in the order of the requests."""
    pace = Pace(limits)
    ends = [pace.end(0) for _ in range(50_000)]
    assert ends == sorted(ends)
    days = Counter(int(end // 86_400) for end in ends)
    assert max(days.values()) <= 5001
    assert set(days) in (set(range(10)), set(range(11)))


@pytest.mark.quirk("queue-limit")
def test_the_queue_tells_what_was_asked_again(tmp_path: Path) -> None:
    """The queue's page has its most, its full answers, and the refused books that were asked for more than once."""
    limits = Limits(conversion_seconds=3600, queue_limit=2)
    options = Options(limits=limits, inventory=40, mix={State.NEW: 0.5, State.NOT_AVAILABLE_FOR_DOWNLOAD: 0.5})
    with serving(tmp_path, options) as grin:
        new = grin.lines("_available")
        refused = grin.control("truth?state=NOT_AVAILABLE_FOR_DOWNLOAD").text.split("\t")[0]
        grin.process(*new[:1], refused, "NOBODY")
        grin.process(refused, new[0])
        grin.process(new[1])
        assert grin.get("_process", barcodes=new[2]).status_code == 429
        told = grin.control("queue").json()
    assert (told["now"], told["most"], told["limit"], told["full"]) == (2, 2, 2, 1)
    assert (told["requests"], told["asked"], told["accepted"]) == (4, 7, 2)
    assert (told["refused"], told["refused_again"]) == (2, {refused: 2})


def test_conversions_fail_for_made_up_books(tmp_path: Path) -> None:
    """A conversion of a made-up book can fail, and be asked for again."""
    fault = Fault(Kind.FAIL_CONVERSION, times=1)
    options = Options(limits=Limits(0), inventory=10, mix={State.NEW: 1}, faults=[fault])
    with serving(tmp_path, options) as grin:
        barcode = grin.lines("_available")[0]
        grin.process(barcode)
        assert grin.lines("_failed") == [barcode]
        assert grin.process(barcode) == {barcode: "Success"}
        assert grin.lines("_failed") == []


def streamed(grin: Served, name: str, **params: str) -> float:
    """Rows a second of a list that has all rows."""
    began, rows = time.monotonic(), 0
    with grin.http.stream("GET", f"{grin.server.url}/{grin.server.library}/{name}", params=params) as answer:
        for piece in answer.iter_bytes():
            rows += piece.count(b"\n")
    assert rows == ROWS
    return rows / (time.monotonic() - began)


def test_memory_and_speed(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """A list of very many books is streamed, and its library is small (SIMULATOR_ROWS=1000000 for the full size)."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with serving(tmp_path, Options(limits=SLOW, inventory=ROWS)) as grin:
        started = time.monotonic() - began
        plain = streamed(grin, "_all_books", format="text")
        full = streamed(grin, "_all_books", format="text", mode="all")
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    figure(f"{ROWS} books: started in {started:.2f} s, {plain:.0f} and {full:.0f} rows/s, {more:.0f} MB more")
    assert more < 100 + ROWS / 5000
    assert full > 20_000
