"""A soak in a size for every day: nothing that any process holds grows; `make soak` has the full one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.board.storm import harness
from tests.board.storm.gauges import Life
from tests.board.storm.soak import Soak


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if possible: a soak is about what processes hold."""
    with harness.in_memory(tmp_path) as place:
        yield place


@pytest.mark.slow
def test_nothing_grows(folder: Path, figure: Callable[[str], None]) -> None:
    """Thousands of books through three stages under `up`, with kills: memory, descriptors and files stay flat."""
    verdict, figures = Soak(folder, books=3_000, kills=2).run()
    assert verdict.wrong() == []
    worst = {gauge: max(f.drift for f in figures if f.gauge == gauge) for gauge in ("memory", "descriptors", "files")}
    lives = {one.name.partition("-")[0] for one in figures}
    figure(f"{verdict.books} books, {len(figures)} gauges, the worst: {worst}")
    assert lives == {"orchestrator", "s0", "s1", "s2", "the board"}
    assert [one.line() for one in figures if one.grows] == []


@pytest.mark.slow
def test_a_leak_is_noticed(folder: Path) -> None:
    """A stage that keeps memory, descriptors and temporary files is noticed in each of these, and no other stage is."""
    verdict, figures = Soak(folder, books=1_200, kills=0, leaks=True).run()
    grown = {(one.name.partition("-")[0], one.gauge) for one in figures if one.grows}
    assert grown == {("s0", "memory"), ("s0", "descriptors"), ("the board", "files")}
    assert verdict.lost == verdict.doubled == 0
    assert any("Left over" in sentence for sentence in verdict.wrong())


@pytest.mark.parametrize(("late", "grows"), [(100, False), (104, False), (106, True)])
def test_drift(late: int, grows: bool) -> None:
    """What grows by 5 % after the first tenth of a life is seen; growth within the first tenth, and peaks, are not."""
    series = [10] * 10 + [100] * 80 + [late] * 10
    series[55] = 9_999
    (memory,) = Life("w", memory=series).figures()
    assert memory.grows is grows
