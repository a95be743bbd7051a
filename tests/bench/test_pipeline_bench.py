"""The pipeline's bench itself: does it run, and does it say the truth?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench import pipeline, report
from tests.bench.costs import Cost, run
from tests.bench.report import SAME_BEST, SAME_PLAIN, Seen, ours


@pytest.mark.slow
def test_the_bench_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two tiny books go through the shells, the whole pipeline and the stages one by one."""
    pipeline.main(["--quick", "--brief", "--layout", "tar", "--folder", str(tmp_path)])
    told = capsys.readouterr().out
    assert "2 book(s)" in told
    assert "pipeline, layout: tar" in told


def test_a_program_costs_its_time_and_its_children_s(tmp_path: Path) -> None:
    """CPU of a child counts, waiting does not; memory is that of all of them together."""
    busy = "import time; held = bytearray(40_000_000)\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys, time; time.sleep(0.3); subprocess.run([sys.executable, '-c', {busy!r}])"
    cost = run([sys.executable, "-c", code], tmp_path / "log")
    assert 0.3 <= cost.cpu < 1.5
    assert cost.wall >= 0.6
    assert 40 < cost.memory < 120


def test_a_program_that_fails_ends_the_bench_with_its_words(tmp_path: Path) -> None:
    """No figure comes of a run that did not do the work."""
    with pytest.raises(SystemExit, match="no such book"):
        run([sys.executable, "-c", "raise SystemExit('no such book')"], tmp_path / "log")


def costs(*cpu: float, wall: float = 1.0) -> list[Cost]:
    """A round each with so many CPU seconds."""
    return [Cost(seconds, 0.0, wall, 10.0) for seconds in cpu]


def seen(files: list[Cost]) -> Seen:
    """Rounds in which the shells took one second and two."""
    return Seen(1, 4, 1.0, {SAME_BEST: costs(1, 1, 1), SAME_PLAIN: costs(2, 2, 2), ours("files"): files})


def test_ratios_are_of_each_round() -> None:
    """A slow round is slow for both, and says nothing of the ratio."""
    assert report.ratios(costs(2, 8), costs(1, 4), "cpu") == [2, 2]


@pytest.mark.parametrize(("cpu", "verdicts"), [(0.8, ["met", "met"]), (1.0, ["met", "MISSED"]), (1.2, ["MISSED"] * 2)])
def test_an_aim_is_met_by_the_median(cpu: float, verdicts: list[str]) -> None:
    """At most 1.15 of the best shell and 0.45 of the plain one; one bad round of three does not matter."""
    told = [line for line in report.aims(seen(costs(cpu, 9, cpu)), None) if line.startswith("cpu")]
    assert [line.rpartition(": ")[2] for line in told] == verdicts


def test_the_stage_with_the_most_memory_is_judged() -> None:
    """120 MB with the large book, whatever the orchestrator has."""
    big = Seen(1, 4, 300.0, apart={"files": [{"up": Cost(1, 1, 1, 500.0), "modifier": Cost(1, 1, 1, 121.0)}]})
    told = list(report.aims(seen(costs(1, 1, 1)), big))
    assert told[-1] == "memory of a stage, layout: files: 121 MB (modifier), at most 120: MISSED"


def test_noise_is_the_worst_row() -> None:
    """How far the rounds of one way lie apart, of their median."""
    assert "cpu 50%" in report.noise(seen(costs(1.0, 0.8, 1.3)))
