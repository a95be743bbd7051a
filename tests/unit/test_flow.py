"""Books and bytes an hour by stage: summed up from heartbeat files, honest at the beginning, and over restarts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from common import board, config, durable
from common.heartbeat import Heartbeat, seen
from services.orchestrator import flow
from services.orchestrator.flow import Flow, FlowWatch
from services.orchestrator.view import View

CONFIG = """
filters:
- {name: one, class: x:Y, input_pipe: pipeline/00, output_pipe: pipeline/01}
- {name: two, class: x:Y, input_pipe: pipeline/01, output_pipe: pipeline/02}
"""
NOW = 1_000_000_000.0


class Watched:
    """A flow, and workers that tell it what they have done by their files."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "workers"
        self.flow = Flow(["one", "two"])
        self.now = NOW

    def tell(self, worker: str, books: object, size: object = 0, stage: str = "one") -> None:
        """A worker of a stage has done so much since it began."""
        Heartbeat(self.folder, worker, stage=stage, passed={"books": books, "bytes_out": size}).announce()

    def look(self, seconds: float) -> dict[str, Any]:
        """Look, so many seconds after the last time; the rates of the first stage."""
        self.now += seconds
        self.flow.note(seen(self.folder, self.now), self.now)
        return dict(self.flow.rates().get("one", {}))


@pytest.fixture
def watched(root: Path) -> Watched:
    """Nothing was looked at yet."""
    return Watched(root)


def test_what_was_before_is_no_rate(watched: Watched) -> None:
    """What a worker had done before the first look counts for nothing, and one look is no data."""
    watched.tell("w-1", 500)
    assert watched.look(0) == {}
    watched.tell("w-1", 510, 7200)
    assert watched.look(60)["books_per_hour"] == 600
    assert watched.look(0)["bytes_per_hour"] == 7200 * 60


def test_all_workers_of_a_stage_count(watched: Watched) -> None:
    """One that has begun since the last look brings all that it did; one that has left keeps what was seen."""
    watched.tell("w-1", 0)
    watched.look(0)
    watched.tell("w-1", 3)
    watched.tell("w-2", 2)
    watched.tell("w-3", 99, stage="two")
    assert watched.look(60)["books_per_hour"] == 300
    (watched.folder / "w-2.json").unlink()
    assert watched.look(60)["books_per_hour"] == 150
    assert watched.flow.rates()["two"]["books_per_hour"] == 99 * 30


def test_a_worker_that_is_overlooked_once_is_not_counted_twice(watched: Watched) -> None:
    """A file that could not be read at one look brings only what is new at the next."""
    watched.tell("w-1", 100)
    watched.look(0)
    (watched.folder / "w-1.json").rename(watched.folder / ".away")
    watched.look(60)
    (watched.folder / ".away").rename(watched.folder / "w-1.json")
    assert watched.look(60)["books_per_hour"] == 0


def test_a_stage_that_rests_shows_nothing_passing(watched: Watched) -> None:
    """Once a quarter of an hour has gone by without a book the rate is 0; the day's still knows them, then forgets."""
    watched.tell("w-1", 0)
    watched.look(0)
    watched.tell("w-1", 60)
    watched.look(60)
    for _ in range(16):
        rates = watched.look(60)
    assert rates["books_per_hour"] == 0
    assert rates["books_per_hour_day"] == pytest.approx(60 / 17 * 60, rel=0.01)
    for _ in range(24 * 7):
        rates = watched.look(599)
    assert rates["books_per_hour_day"] == 0


def test_what_nobody_watched_is_in_no_rate(watched: Watched) -> None:
    """After a night without an orchestrator neither the night nor what happened in it counts."""
    watched.tell("w-1", 0)
    watched.look(0)
    watched.tell("w-1", 5)
    watched.look(60)
    watched.tell("w-1", 5000)
    watched.look(30_000)
    watched.tell("w-1", 5010)
    rates = watched.look(60)
    assert (rates["books_per_hour"], rates["books_per_hour_day"]) == (600, 450)


def test_a_clock_that_is_set_back(watched: Watched) -> None:
    """What was seen in a time that is yet to come is forgotten, and counting goes on."""
    watched.tell("w-1", 0)
    watched.look(0)
    watched.tell("w-1", 1000)
    watched.look(60)
    watched.look(-50_000)
    watched.tell("w-1", 1001)
    assert watched.look(60)["books_per_hour_day"] == 60


def test_workers_that_do_not_tell(watched: Watched) -> None:
    """Of a stage whose workers tell nothing, or nonsense, nothing is known."""
    Heartbeat(watched.folder, "w-1", stage="one").announce()
    for number, nonsense in enumerate((-1, 2**60, "many", True, None, [1], float("nan"))):
        watched.tell(f"v-{number}", nonsense)
    watched.look(0)
    assert watched.look(60) == {}
    assert watched.flow.rates() == {}


def test_a_restart_goes_on(watched: Watched) -> None:
    """What is kept and taken again gives the same rates, and the next look goes on from there."""
    watched.tell("w-1", 0)
    watched.look(0)
    watched.tell("w-1", 10)
    before = watched.look(60)
    kept = json.loads(json.dumps(watched.flow.kept()))
    watched.flow = Flow(["one", "two"])
    watched.flow.take(kept)
    assert watched.flow.rates()["one"] == before
    watched.tell("w-1", 20)
    assert watched.look(60) == {**before, "bytes_per_hour": 0}


@pytest.fixture
def view(tmp_path: Path) -> View:
    """A prepared board of two stages."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    settings = config.load(tmp_path / "config.yaml", classes=None)
    board.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
    (settings.global_.pipeline_dir / "logs").mkdir(exist_ok=True)
    return View(settings)


def test_the_file_on_the_board(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch keeps its history on the board, and the next one finds it there."""
    monkeypatch.setattr(flow, "_LOOK_EVERY", 0)
    monkeypatch.setattr(flow, "_SHARE", 0)
    told = Heartbeat(view.root / "workers", "w-1", stage="one")
    told.announce(passed={"books": 0, "bytes_in": 0, "bytes_out": 0})
    watch = FlowWatch(view)
    assert watch.turn() == {}
    told.announce(passed={"books": 3, "bytes_in": 5, "bytes_out": 5})
    time.sleep(1.1)
    rates = watch.turn()
    assert 5000 < (rates["one"]["books_per_hour"] or 0) < 10_800
    watch.save()
    assert FlowWatch(view).flow.rates() == rates


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"at": 1e400, "workers": {}, "recent": [], "day": []}',
        b'{"at": 1, "workers": {"w": [1]}, "recent": [], "day": []}',
        b'{"at": 1, "workers": [], "recent": [], "day": []}',
        b'{"at": 1, "workers": {}, "recent": 7, "day": []}',
        b'{"at": 1, "workers": {}, "recent": [[1, "one", -5, 0, 0]], "day": []}',
        b'{"at": 1, "workers": {}, "recent": [[1, ["one"], 5, 0, 0, 0]], "day": []}',
        b'{"at": 1, "workers": {}, "recent": [[1, "one", "x", 0, 0]], "day": []}',
        b'{"at": 1, "workers": {}, "recent": [[]], "day": []}',
    ],
)
def test_a_file_of_nonsense(view: View, content: bytes) -> None:
    """What is torn or hostile counts as no history."""
    (view.root / "logs" / "flow.json").write_bytes(content)
    watch = FlowWatch(view)
    assert (watch.flow.rates(), watch.turn()) == ({}, {})


def test_a_disk_that_does_not_take_it(view: View) -> None:
    """A history that cannot be kept, or is no file, ends nothing."""
    (view.root / "logs" / "flow.json").mkdir()
    assert FlowWatch(view).turn() == {}


# --- what waits to be told ---


def test_notes_are_written_now_and_then(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first note is written at once, the next with the next news or when its time has come, never for nothing."""
    beats, written = Heartbeat(root / "workers", "w-1"), []
    write = durable.write_file
    monkeypatch.setattr(durable, "write_file", lambda *of: (written.append(json.loads(of[1])), write(*of)))
    for books in (1, 2, 2):
        beats.note(passed=books)
    assert [facts.get("passed") for facts in written] == [1]
    beats.announce(limited="x")
    beats._noted -= 2
    beats.note(passed=2)
    assert [facts["passed"] for facts in written] == [1, 2]
    beats.note(passed=3)
    assert written[-1]["passed"] == 3


def test_a_note_that_cannot_be_written(root: Path) -> None:
    """It ends nothing, and goes out as soon as it can be written."""
    beats = Heartbeat(root / "workers" / "none", "w-1")
    beats.note(passed=1)
    (root / "workers" / "none").mkdir()
    beats.note(passed=1)
    assert not beats.path.exists()
    beats._noted -= 2
    beats.note(passed=1)
    assert json.loads(beats.path.read_bytes())["passed"] == 1
