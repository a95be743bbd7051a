"""The bench of the board: it runs, it cleans up after itself, and it can tell kept from lost and once from twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from common import board
from tests.bench import board_fill, board_report, rivals
from tests.bench.board_fill import Filled, room_for
from tests.bench.board_forked import Timing, together
from tests.bench.board_kill import Fate, fate
from tests.bench.board_moves import measure
from tests.bench.board_results import Beside, Case, Results
from tests.helpers import until

BENCH = [sys.executable, "-m", "tests.bench.board"]


@pytest.fixture
def libraries() -> None:
    """Skip loudly where the libraries are not installed; fail there when REQUIRE_ENGINE is set."""
    try:
        rivals.versions()
    except metadata.PackageNotFoundError as error:
        reason = f"{error.name} is missing: pip install -r tests/bench/requirements.txt"
        (pytest.fail if os.environ.get("REQUIRE_ENGINE") else pytest.skip)(reason)


def test_the_whole_bench_at_a_tiny_size(tmp_path: Path, libraries: None) -> None:
    """Every case is measured at every size, the libraries beside it, and nothing of it stays on the disk."""
    told, home = tmp_path / "told.json", tmp_path / "home"
    sizes = ["--sizes", "40,80", "--rival-sizes", "40", "--workers", "1,2", "--moves", "20", "--rounds", "1"]
    more = ["--parts", "ours,rivals", "--json", str(told), "--folder", str(home)]
    done = subprocess.run([*BENCH, *sizes, *more], capture_output=True, text=True, check=True)
    found = json.loads(told.read_text())
    cases = {(row["kind"], row["workers"], row["fsync"]) for row in found["ours"]}
    assert len(cases) == 12
    assert len(found["ours"]) == len(cases) * len(["control", 40, 80])
    assert set(found["half_drained"]) == {"40", "80"}
    assert {row["name"] for row in found["beside"][0]["theirs"]} == {one.name for one in rivals.RIVALS}
    assert "durable moves, 1 worker" in done.stdout
    assert list(home.iterdir()) == []


def test_an_interrupted_bench_leaves_nothing(tmp_path: Path, libraries: None) -> None:
    """Ctrl-C in the midst of it removes the boards as well."""
    command = [*BENCH, "--sizes", "2000", "--moves", "100000", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as bench:
        until(lambda: list(tmp_path.glob("board-*/board2000/pipeline/01_waiting/*.json")), 60)
        bench.send_signal(signal.SIGINT)
        assert bench.wait(60) != 0
    assert list(tmp_path.iterdir()) == []


def test_a_size_without_room_is_left_out_and_told(tmp_path: Path) -> None:
    """A board that does not fit on the disk is not begun."""
    assert [bool(why) for _, why in room_for([1, 10**12], tmp_path)] == [False, True]


# --- kept or lost ---


class Hasty(rivals.Board):
    """Our board, which takes a worker for dead sooner than the bench does."""

    reap_after = 1.0


class NoReaper(Hasty):
    """Our board without what brings a dead worker's claims back."""

    recovery = ""


class Eager(Hasty):
    """Our board with a reaper that does not ask whether the worker lives."""

    recovery = "taking every claim back"

    def recover(self) -> None:
        """Take back what anybody holds."""
        for name in os.listdir(self.source / "working"):
            barcode, _, rest = name.removesuffix(".json").partition("~")
            worker, _, number = rest.rpartition(".")
            board.put_back(board.Claim(self.source, barcode, worker, int(number), inode=1))


def test_a_killed_workers_message_comes_back_on_our_board(tmp_path: Path) -> None:
    """The claim of a killed worker is delivered once more, exactly once, and that of a living one to nobody else."""
    ours = fate(Hasty, tmp_path)
    assert (ours.kept, ours.deliveries, ours.others_lost, ours.taken_from_the_living) == (True, 1, 0, "")


def test_the_kill_check_sees_a_message_that_stays_lost(tmp_path: Path) -> None:
    """Without the reaper the check says that the message does not come back."""
    ours = fate(NoReaper, tmp_path)
    assert (ours.kept, ours.deliveries, ours.others_lost) == (False, 0, 0)


def test_the_kill_check_sees_what_is_taken_from_a_living_worker(tmp_path: Path) -> None:
    """A recovery that takes from the living is told."""
    assert fate(Eager, tmp_path).taken_from_the_living == Eager.recovery


@pytest.mark.parametrize(("library", "kept"), [(rivals.PersistFile, True), (rivals.Huey, False)])
def test_the_kill_check_tells_kept_from_lost(
    library: type[rivals.Contender], kept: bool, tmp_path: Path, libraries: None
) -> None:
    """A library that acknowledges keeps the message of a killed worker; one that removes it at once loses it."""
    assert fate(library, tmp_path).kept is kept


# --- once or twice ---


def test_a_step_made_twice_is_counted(tmp_path: Path) -> None:
    """Two workers that both had the same token in hand are seen."""

    def same(_number: int) -> Iterator[str]:
        yield ""
        while True:
            yield "32101000000001"

    timing = together(same, 2, 8)
    assert (timing.count, timing.doubled, timing.troubles) == (8, 7, ())


def test_a_worker_that_raises_is_told(tmp_path: Path) -> None:
    """An error before the start ends the measurement in place of hanging it."""

    def broken(number: int) -> Iterator[str]:
        if number:
            raise OSError("no such disk")
        yield ""
        yield "32101000000001"

    timing = together(broken, 2, 8)
    assert len(timing.troubles) == 1
    assert "no such disk" in timing.troubles[0]


def test_a_measured_board_is_as_it_should_be(tmp_path: Path) -> None:
    """After claims nothing is held any more; after moves so many tokens lie in the next bucket, with their ledger."""
    filled = Filled(tmp_path, 40)
    filled.prepare()
    filled.fill()
    measure(filled, "claim", 2, 20, fsync=False)
    assert len(list(filled.source.glob("*.json"))) == 40
    measure(filled, "move", 2, 20, fsync=True)
    moved = [path.stem for path in filled.target.glob("*.json")]
    assert len(moved) == 20
    lines = {(filled.pipeline / "ledger" / name[-3:] / f"{name}.jsonl").read_text().count("\n") for name in moved}
    assert lines == {3}


def test_a_fill_in_two_processes_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many tokens are wanted two processes share the filling, and no book is there twice or missing."""
    monkeypatch.setattr(board_fill, "_MANY", 10)
    filled = Filled(tmp_path, 41)
    filled.prepare()
    filled.fill()
    assert sorted(path.stem for path in filled.source.glob("*.json")) == [f"32101{number:09}" for number in range(41)]


# --- the verdict ---


def timing(rate: int) -> Timing:
    """A pass at so many steps a second."""
    return Timing(count=rate, seconds=1.0, cpu=0.5, doubled=0, troubles=(), complete=True)


@pytest.mark.parametrize(
    ("kept", "syncs", "answer"),
    [
        (True, (1.0, 2.0), "yes (finished moves, as durable: dirq QueueSimple 1.10)"),
        (True, None, "yes (finished moves, as durable: dirq QueueSimple 1.10)"),
        (True, (0.0, 0.0), "no (finished moves, as durable: dirq QueueSimple 0.50)"),
        (False, (0.0, 0.0), "not measured"),
    ],
)
def test_the_verdict_compares_equal_durability(kept: bool, syncs: tuple[float, float] | None, answer: str) -> None:
    """A library that syncs meets our durable moves, one that does not meets those without fsync, a loser none."""
    name = rivals.Dirq.name
    cases = {Case("move", 1, True): 110, Case("move", 1, False): 50, Case("bare", 1, True): 999}
    beside = Beside(40, theirs={name: {1: [timing(100)]}}, ours={case: [timing(rate)] for case, rate in cases.items()})
    fates = {name: Fate(kept, "", 0.0, int(kept), 0, "")}
    results = Results([40], beside={40: beside}, syncs={name: syncs}, fates=fates)
    assert list(board_report.verdict(results))[-1].endswith(f"through a kill: {answer}")


def test_flatness_is_told_as_missed_when_a_larger_board_is_slower() -> None:
    """An aim is called met only when the slowest size meets it."""
    sizes = {size: [timing(rate)] for size, rate in {0: 1_000, 40: 1_000, 80: 880}.items()}
    told = list(board_report.aims(Results([40, 80], ours={Case("move", 1, True): sizes})))
    assert [line.rpartition("aim ")[2].split(" (")[0] for line in told] == ["500/s: met", "0.90: MISSED"]
