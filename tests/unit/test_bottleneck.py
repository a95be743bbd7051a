"""What is told of a board: how long it will still take, and what limits it, from real tokens and heartbeat files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common import board, config
from common.heartbeat import Heartbeat
from services.orchestrator import render
from services.orchestrator.view import View
from tests.unit.test_board import put

STAGES = ("fetch", "open", "store")
CONFIG = "filters:\n" + "".join(
    f"- {{name: {name}, class: x:Y, input_pipe: pipeline/0{at}, output_pipe: pipeline/0{at + 1}}}\n"
    for at, name in enumerate(STAGES)
)


class Told:
    """A board of three stages, each with a worker, and an orchestrator that tells their rates."""

    def __init__(self, folder: Path) -> None:
        (folder / "config.yaml").write_text(CONFIG)
        self.settings = config.load(folder / "config.yaml", classes=None)
        self.root = self.settings.global_.pipeline_dir
        board.prepare(self.root, self.settings.bucket_paths())
        self.beats = {stage: Heartbeat(self.root / "workers", f"{stage}-w", stage=stage) for stage in STAGES}
        for beats in self.beats.values():
            beats.announce()
        self.number = 0

    def put(self, *counts: int, state: str = board.WAITING) -> None:
        """So many more tokens into each bucket, from the first on."""
        for at, count in enumerate(counts):
            for _ in range(count):
                self.number += 1
                path = board.path_of(self.root / f"0{at}", f"A{self.number}", board.WAITING)
                put(path.parent, f"A{self.number}")
                if state != board.WAITING:
                    path.rename(board.path_of(self.root / f"0{at}", f"A{self.number}", state))

    def flow(self, *rates: float, day: tuple[float, ...] = ()) -> None:
        """The orchestrator tells so many books an hour of each stage; over the day the same, or others."""
        pairs = zip(STAGES, rates, day or rates, strict=True)
        flow = {stage: {"books_per_hour": now, "books_per_hour_day": then} for stage, now, then in pairs}
        flow["open"]["bytes_per_hour_day"], flow["store"]["bytes_per_hour_day"] = 4.2e9, 42
        Heartbeat(self.root / "workers", "up", stage="orchestrator").announce(flow=flow)

    def status(self) -> dict[str, Any]:
        """What `status --json` shows."""
        return View(self.settings).status()

    def limit(self) -> tuple[str, str]:
        """The stage that limits the line, and why."""
        limit = self.status()["limit"]
        return limit["stage"], limit["why"]

    def eta(self) -> Any:
        """The range in seconds."""
        return self.status()["eta_seconds_range"]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Nothing is on the board."""
    return Told(tmp_path)


def test_an_empty_board_has_nothing_to_tell(told: Told) -> None:
    """No limit, no time to go and no flow, where there is no book and nobody who watches."""
    facts = told.status()
    assert (facts["limit"], facts["eta_seconds_range"]) == (None, [0, 0])
    assert [stage["flow"] for stage in facts["stages"]] == [None, None, None]


# --- how long ---


def test_the_range_is_of_the_slowest_stage(told: Told) -> None:
    """All that has yet to pass a stage, by its rate in either window; the slowest stage of each window counts."""
    told.put(10, 5, 1)
    told.flow(100, 15, 50, day=(100, 30, 8))
    assert told.eta() == [3600, 7200]
    assert told.status()["stages"][1]["flow"]["books_per_hour_day"] == 30


@pytest.mark.parametrize("rates", [(100, 0, 50), (100, -3, 50), (100, float("inf"), 50)])
def test_a_stage_that_has_let_none_through_makes_it_unknown(told: Told, rates: tuple[float, ...]) -> None:
    """Without a rate of some stage that has books before it, nobody knows; nonsense is no rate."""
    told.put(10)
    told.flow(*rates)
    assert told.eta() is None
    told.flow(*rates, day=(100, 10, 50))
    assert told.eta() == [3600, 3600]


def test_a_stage_that_has_finished_needs_no_rate(told: Told) -> None:
    """A stage that all books have passed is in nobody's way."""
    told.put(0, 0, 10)
    told.flow(0, 0, 20)
    assert told.eta() == [1800, 1800]


@pytest.mark.parametrize("flow", [None, [], "fast", {"fetch": 7}, {"fetch": {"books_per_hour": "x"}}])
def test_nonsense_is_no_flow(told: Told, flow: object) -> None:
    """Whatever stands in an orchestrator's file, `status` comes."""
    told.put(10)
    Heartbeat(told.root / "workers", "up", stage="orchestrator").announce(flow=flow)
    assert told.eta() is None


# --- what limits it ---


def test_the_slowest_that_never_runs_out(told: Told) -> None:
    """Named is who needs longest for what is left, and not a stage that waits for books."""
    told.put(60, 5, 1)
    told.flow(100, 30, 30)
    assert told.limit() == (
        "open",
        "open is the slowest: with 1 worker it lets 30 an hour through, and 5 books wait before it.",
    )
    told.put(0, 0, 9)
    told.flow(100, 31, 30)
    assert told.limit()[0] == "store"


def test_the_last_books_of_a_line(told: Told) -> None:
    """When no stage has enough to do any more, the one that needs longest is named all the same."""
    told.put(1)
    told.flow(0, 9, 9, day=(1.5, 9, 9))
    assert told.limit()[1].startswith(
        "fetch is the slowest: with 1 worker it lets 1.5 an hour through, and 1 book waits"
    )


def test_a_stage_that_has_let_none_through(told: Told) -> None:
    """Books wait and none has passed: that is slower than whatever has a rate."""
    told.put(60, 5)
    told.flow(100, 0, 0)
    assert (
        told.limit()[1]
        == "open is the slowest: with 1 worker it has let none through so far, and 5 books wait before it."
    )


def test_a_full_bucket(told: Told) -> None:
    """Who waits for whom: the last of the stages that are held back names the bucket, and the stage behind it."""
    told.put(10, 3, 3)
    told.flow(100, 30, 30)
    told.beats["fetch"].announce(limited="01 holds wip_limit, 3 books")
    assert told.limit() == ("open", "fetch waits for open: 01 holds wip_limit, 3 books.")
    told.beats["open"].announce(limited="02 holds wip_limit, 3 books")
    assert told.limit() == ("store", "open waits for store: 02 holds wip_limit, 3 books.")
    lines = render.notes(told.status())
    assert [line for line in lines if line.startswith("open waits")] == []
    assert "What limits the line: open waits for store: 02 holds wip_limit, 3 books." in lines


def test_a_full_disk(told: Told) -> None:
    """A limit that is no bucket's stands as the stage says it."""
    told.put(10)
    told.beats["fetch"].announce(limited="the disk has less than min_free, 5 bytes")
    assert told.limit() == ("fetch", "fetch waits, because the disk has less than min_free, 5 bytes.")


def test_halted_before_paused_before_deserted_before_limited(told: Told) -> None:
    """What nobody gets past comes first, and makes the time to go unknown; where no book is, nobody is in the way."""
    told.put(0, 2)
    told.flow(100, 30, 30)
    told.beats["fetch"].announce(halted="The disk is full.")
    told.beats["store"].announce(limited="x")
    assert told.eta() == [240, 240]
    told.beats["open"].leave()
    assert told.limit() == ("open", "open has no worker, and 2 books wait before it.")
    (told.root / "paused" / "store").touch()
    assert told.limit() == ("store", "store is paused; 2 books have yet to pass it.")
    told.beats["store"].announce(halted="No login.")
    assert told.limit() == ("store", "store has halted; 2 books have yet to pass it.")
    assert told.eta() is None


def test_books_for_later(told: Told) -> None:
    """When all that is left waits for its next attempt, that is said, and not who is slow."""
    told.put(1, 2, state=board.DEFERRED)
    told.flow(100, 30, 30)
    assert told.limit() == (
        "open",
        "3 books wait for a later attempt and nothing else is left, most of it before open.",
    )
    told.put(1)
    assert told.limit()[0] == "fetch"


# --- as a person reads it ---


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (11_160, 14_400, "3.1 to 4 h"),
        (3000, 9000, "50 min to 2.5 h"),
        (432, 438, "about 7.3 min"),
        (420, 420, "about 7 min"),
    ],
)
def test_ranges(low: int, high: int, text: str) -> None:
    """The unit is said once where it is the same."""
    assert render.span_between(low, high) == text


def test_the_sentences(told: Told) -> None:
    """Pace, range and limit stand below the table; unknown is called unknown."""
    told.put(10, 5, 1)
    told.flow(100, 3, 50, day=(100, 5, 8))
    facts = told.status() | {"books_per_hour": 40.0}
    assert "40 books an hour, 3 to 5 h to go." in render.notes(facts)
    assert any(line.startswith("What limits the line: open is the slowest") for line in render.notes(facts))
    shown = [line.split() for line in render.as_text(render.status(facts)).splitlines()]
    assert ["open", "3", "unknown", "5", "4.2", "GB"] in shown
    assert ["store", "50", "unknown", "8", "42", "bytes"] in shown
    facts["eta_seconds_range"] = None
    assert "40 books an hour, time to go not known yet." in render.notes(facts)
