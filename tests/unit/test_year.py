"""The simulated year: the page says what it prints, and it answers sensibly at the edges."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.bench import year, year_inputs, year_model, year_operations
from tests.bench.year_model import CONVERSIONS, Case, Grin, Result, Year

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "scale.md"
FEW = 50_000


def _run(**options: object) -> Result:
    return Year(replace(Case(1, books=FEW), **options)).run()  # type: ignore[arg-type]


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes wrong."""
    monkeypatch.setattr(year_inputs, "OUTAGES", {})


def test_the_page_has_what_the_simulation_prints() -> None:
    """Each table of the page is the one that is printed now, under its title."""
    text = PAGE.read_text()
    for title, lines in year.tables().items():
        assert f"## {title}\n" in text
        assert "\n".join(lines) in text, f"{title}: print it with `make year`"


def test_the_page_has_the_figures_of_its_sentences() -> None:
    """What stands in no table, too: the requests' wall, what has been put in, the prices."""
    text = PAGE.read_text()
    wall = year_inputs.REQUESTS_A_SECOND / year_inputs.REQUESTS_A_BOOK * year_inputs.DAY
    moved = (year_inputs.NODE_CPUS, year_inputs.LINK_MB_A_SECOND, year_inputs.STORED_GB)
    nodes, link, stored = (f"{figure:.0f}" for figure in moved)
    for said in (f"{wall:,.0f} books a day", f"{nodes} CPUs", f"{link} MB a second", f"({stored} GB)"):
        assert said in text
    for price in (year_inputs.CPU_HOUR, year_inputs.GB_HOUR):
        assert str(price) in text


def test_what_is_put_in_is_what_is_configured() -> None:
    """The limits and the line's settings are those of config.yaml."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert config["grin"]["converted_pool"] == year_inputs.CONVERTED_POOL
    assert config["grin"]["queue_limit"] == year_inputs.QUEUE_LIMIT
    assert config["grin"]["requests_per_second"] == year_inputs.REQUESTS_A_SECOND
    assert config["seed"]["keep"] == year_inputs.KEEP
    assert tuple(row["wip_limit"] for row in config["filters"] if "wip_limit" in row) == year_inputs.WIP


def test_without_a_node_nothing_comes_home() -> None:
    """No book, and no end."""
    result = _run(nodes=0)
    assert (result.home_after_a_year, result.days) == (0.0, math.inf)


def test_the_same_seed_is_the_same_year() -> None:
    """All figures are the same; another seed has other troubles."""
    assert _run() == _run()
    assert _run() != _run(seed=2)


@pytest.mark.usefixtures("calm")
def test_twice_the_quota_is_half_the_time() -> None:
    """Where GRIN bounds, its conversions decide."""
    once, twice = _run(), _run(quota=2 * year_inputs.CONVERSIONS_A_DAY)
    assert next(iter(once.bounds)) == CONVERSIONS
    assert once.days / twice.days == pytest.approx(2, rel=0.02)
    assert once.days == pytest.approx(FEW / year_inputs.CONVERSIONS_A_DAY, rel=0.02)


@pytest.mark.usefixtures("calm")
def test_more_nodes_do_not_help_where_grin_bounds() -> None:
    """Fifty nodes need as long as one, and cost fifty times as much of them."""
    one, fifty = _run(), _run(nodes=50)
    assert fifty.days == pytest.approx(one.days, rel=0.01)
    assert fifty.usd_nodes == pytest.approx(50 * one.usd_nodes, rel=0.01)


def test_a_second_node_helps_where_nodes_bound() -> None:
    """With all books converted, two nodes take half as long."""
    one, two = _run(lifted=True, layout="files"), _run(lifted=True, layout="files", nodes=2)
    assert next(iter(one.bounds)) in ("workers", "CPU")
    assert one.days / two.days == pytest.approx(2, rel=0.05)


def test_a_volume_with_few_operations_bounds() -> None:
    """Many nodes on the slowest volume wait for it, and no longer with one file a book."""
    files = _run(lifted=True, nodes=50, layout="files", volume="Filestore, basic HDD, 1 TiB")
    tar = _run(lifted=True, nodes=50, layout="tar", volume="Filestore, basic HDD, 1 TiB")
    assert next(iter(files.bounds)).startswith("the volume's")
    assert tar.days < files.days / 2


def test_nothing_is_used_beyond_what_there_is() -> None:
    """No share of a resource is above one, books differ in size by chance alone."""
    for nodes in (1, 50):
        for lifted in (False, True):
            assert max(_run(nodes=nodes, lifted=lifted).used.values()) < 1.03


def test_all_books_come_home_once() -> None:
    """What was lost from the pool is asked for again, and none is counted twice."""
    year_of_trouble = Year(Case(1, books=FEW))
    year_of_trouble.run()
    assert year_of_trouble.home == pytest.approx(FEW)
    assert year_of_trouble.grin.unasked + year_of_trouble.grin.queued + year_of_trouble.grin.ready < 1e-3


def test_what_nobody_fetches_leaves_the_pool() -> None:
    """A pool that is full loses its oldest archives, and they wait to be asked for."""
    grin = Grin(Case(1, books=100_000))
    grin.unasked, grin.queued = 0.0, 10_000.0
    for _ in range(48):
        grin.convert()
    assert grin.ready <= year_inputs.CONVERTED_POOL
    assert grin.lost == grin.unasked == pytest.approx(5_000, abs=300)


def test_buckets_keep_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be uploaded, the line fills up as far as the WIP limits go, and drains after."""
    shut = {hour: {"store"} for hour in range(10, 20)}
    monkeypatch.setattr(year_model, "troubles", lambda dice: shut)
    one = Year(Case(1, books=10_000))
    levels = []
    while one.home < 9_999 and one.hours < 100:
        one._hour(shut.get(int(one.hours), set()))
        one.hours += 1
        levels.append(list(one.levels))
    assert levels[19] == pytest.approx(year_inputs.WIP)
    assert sum(levels[-1]) < 1


def test_calls_on_the_volume_are_counted_for_their_stage() -> None:
    """By kind and stage, children's too; interrupted ones once, refused ones as looks, other folders' not at all."""
    trace = """\
7 execve("/bin/python", ["python", "-m", "common.run", "extractor"], 0x7ff /* 9 vars */) = 0
7 openat(5</v/processing>, "a", O_WRONLY|O_CREAT|O_EXCL, 0666 <unfinished ...>
8 openat(AT_FDCWD</>, "/v/pipeline/t", O_RDONLY) = 4</v/pipeline/t>
7 <... openat resumed>) = 6</v/processing/a>
7 clone(child_stack=NULL, flags=SIGCHLD) = 9
9 write(6</v/processing/a>, "x", 1) = 1
9 fsync(6</v/processing/a>) = 0
7 rename("/v/pipeline/t", "/v/pipeline/u") = -1 ENOENT (No such file or directory)
7 rename("/v/pipeline/t", "/v/pipeline/u") = 0
7 rename("/v/tmp/t", "/v/tmp/u") = 0
"""
    found = year_operations.counted(iter(trace.splitlines()), Path("/v"))
    mine = {kind: count for (stage, kind), count in found.items() if stage == "extractor"}
    assert mine == {"creates": 1, "written": 1, "syncs": 1, "looks": 1, "changes": 1}
    assert found["up", "looks"] == 1
