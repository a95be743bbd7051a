"""Bad weather at GRIN: every fault at once, tokens that hardly live. All books come home whole, none fails, none twice.

`WEATHER_BOOKS=500` and `WEATHER_SECONDS=600` in the environment make these runs as large as they were meant.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Grin, Pipeline, serving
from tests.e2e.test_pipeline import assert_all_home
from tests.helpers import stop, until

BOOKS = int(os.environ.get("WEATHER_BOOKS", "14"))
SECONDS = float(os.environ.get("WEATHER_SECONDS", "8"))


def told_of(grin: Grin, what: str) -> list[dict[str, object]]:
    """What the simulator tells of itself: its `requests` so far, or its `faults` and how often each was met."""
    host = grin.told["base_url"].removesuffix("/libraries")
    with urllib.request.urlopen(f"{host}/_simulator/{what}") as answer:
        found: list[dict[str, object]] = json.load(answer)
        return found


@pytest.mark.slow
def test_every_fault_at_five_per_cent(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Each kind of fault meets one request in twenty: every book is delivered whole, and once."""
    (tmp_path / "grin").mkdir()
    with serving(tmp_path / "grin", BOOKS, "--pages", "4:5", "--every-fault", "0.05") as grin:
        line = Pipeline(tmp_path, grin, reap_after=5)
        for row in line.filters:
            row.update(attempts=30, redos=10, workers=2)
        line.write()
        assert line.drain("--patience", "60", timeout=60 + 4 * BOOKS) == 0, line.log()[-3000:]
        assert_all_home(line)
        kinds = {barcode: Counter(line.kinds(barcode)) for barcode in grin.books()}
        asked = told_of(grin, "requests")
        met = sum(int(str(fault["met"])) for fault in told_of(grin, "faults"))
    assert {counts["registered"] for counts in kinds.values()} == {1}
    bad = [one for one in asked if one["status"] not in (200, 206)]
    # That the weather was bad: without this a run in sunshine would pass.
    assert met >= BOOKS / 4
    figure(
        f"{BOOKS} books, {len(asked)} requests, {met} faults, {len(bad)} requests refused or led astray; all home whole"
    )


@pytest.mark.slow
@pytest.mark.quirk("tokens-expire")
def test_tokens_that_live_for_seconds(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Through a run many times longer than a token's life no book fails, and none needs a second attempt."""
    life, rate = (5, 1.0) if SECONDS > 60 else (2, 2.0)
    books = int(SECONDS * rate * 0.9)
    (tmp_path / "grin").mkdir()
    with serving(tmp_path / "grin", books, "--pages", "4:5", "--token-lifetime", str(life)) as grin:
        line = Pipeline(tmp_path, grin)
        line.rate = rate
        line.write()
        assert line.drain(timeout=120 + 3 * SECONDS) == 0, line.log()[-3000:]
        assert_all_home(line)
        asked = told_of(grin, "requests")
    told = [float(str(one["time"])) for one in asked]
    tokens = sum("/token" in str(one["path"]) for one in asked)
    assert {line.kinds(barcode).count("attempt") for barcode in grin.books()} == {5}
    assert max(told) - min(told) > 3 * life
    assert tokens >= (max(told) - min(told)) / life - 1
    figure(f"{books} books in {max(told) - min(told):.0f} s, tokens of {life} s: {tokens} renewed, no book failed")


@pytest.mark.slow
@pytest.mark.quirk("five-requests-a-second")
def test_the_rate_of_a_whole_pipeline(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Four downloaders and the orchestrator's own loop together never ask more than allowed, in any second."""
    rate, books = 10, 24
    (tmp_path / "grin").mkdir()
    with serving(tmp_path / "grin", books, "--pages", "4:4") as grin:
        line = Pipeline(tmp_path, grin)
        line.rate = float(rate)
        line.filters[0]["workers"] = 4
        line.more = {"seed": {"from": "converted", "every": 0.5}}
        line.write()
        process = line.up()
        until(lambda: len(list(line.bucket(5).glob("*.json"))) == books, 120)
        assert stop(process) == 0
        asked = sorted(told_of(grin, "requests"), key=lambda one: float(str(one["time"])))
    times = [float(str(one["time"])) for one in asked if "/token" not in str(one["path"])]
    busiest = max(sum(begin <= time < begin + 1 for time in times) for begin in times)
    names = Counter("archive" if ".gpg" in str(one["path"]) else "list" for one in asked)
    assert busiest <= rate
    # All of them asked, and that the limit was felt: half a second's lists and forty archives want more than it.
    assert names["archive"] == books
    assert names["list"] > 10
    assert busiest >= rate * 0.7
    figure(f"{len(times)} requests of 4 downloaders and the orchestrator: {busiest} in the busiest second of {rate}")
