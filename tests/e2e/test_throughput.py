"""Throughput of a real line: rates a stage, a range of time to go and the limit, while it runs and after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.helpers import Line, stop, until

STAGES = """
    from common.stage import Stage

    class Quick(Stage):
        def process(self, book, work):
            return {"bytes_in": 10, "bytes_out": 1000}

    class Slow(Stage):
        def process(self, book, work):
            time.sleep(0.5)
            return {"bytes_in": 1000, "bytes_out": 2000}
"""


def test_rates_of_a_line(tmp_path: Path) -> None:
    """Within seconds `status` tells each stage's pace, the time to go and the limit; a restart knows it still."""
    line = Line(tmp_path, STAGES).stage("quick", "Quick", 0, wip_limit=3).stage("slow", "Slow", 1)
    line.seed(f"A{number}" for number in range(60))
    seen: dict[str, Any] = {}

    def tells() -> bool:
        seen.update(line.status())
        return all(stage["flow"] and stage["flow"]["books_per_hour"] for stage in seen["stages"])

    up = line.up()
    until(tells)
    # Two a second at the most, in each of two windows; what the worker has not told yet makes it less.
    quick, slow = (stage["flow"] for stage in seen["stages"])
    assert 0 < slow["books_per_hour"] <= 7200
    assert 1990 < slow["bytes_per_hour_day"] / slow["books_per_hour_day"] < 2010
    assert 990 < quick["bytes_per_hour"] / quick["books_per_hour"] < 1010
    low, high = seen["eta_seconds_range"]
    assert 0.5 * seen["left"] - 1 <= low <= high
    assert seen["limit"]["stage"] == "slow"
    assert stop(up) == 0
    (line.root / "paused" / "slow").touch()
    up = line.up()
    # Nothing passes the paused stage any more: without its history it would tell no rate but 0.
    until(tells)
    assert seen["limit"]["why"].startswith("slow is paused; ")
    assert seen["eta_seconds_range"] is None
    assert stop(up) == 0
