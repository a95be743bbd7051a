"""A real Prometheus scrapes a real run: nothing on the dashboards is empty, and books add no time series."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.conftest import Pipeline, serving
from tests.helpers import stop
from tests.monitoring.expressions import of_dashboards, of_rules, without_data
from tests.monitoring.rules import rules
from tests.monitoring.running import Run, scraping, targets

pytestmark = pytest.mark.slow

BOOKS, POISONED, FEW = 50, 3, 5
DECRYPTORS = 4
Series = set[tuple[tuple[str, str], ...]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, prometheus_program: str) -> Iterator[Run]:
    """Five good books come home, with one worker a stage but four decryptors, and a Prometheus looks on."""
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "run").mkdir()
    with serving(folder, BOOKS, "--poisoned", str(POISONED), "--pages", "4:5") as grin:
        pipeline = Pipeline(folder / "run", grin)
        pipeline.filters[1]["workers"] = DECRYPTORS
        pipeline.write()
        good = sorted(set(grin.books()) - grin.poisoned())
        (folder / "few").write_text("\n".join(good[:FEW]))
        up = pipeline.up("--barcodes-file", str(folder / "few"))
        try:
            found = targets(pipeline, DECRYPTORS + 4)
            with scraping(prometheus_program, folder, found) as prometheus:
                one = Run(pipeline, prometheus, found)
                one.settled(FEW)
                yield one
        finally:
            stop(up, 60)


@pytest.fixture(scope="module")
def few(run: Run) -> Series:
    """What five books have made of time series."""
    return run.series()


@pytest.fixture(scope="module")
def whole(run: Run, few: Series) -> Run:
    """The same run, after fifty books of which three are bad."""
    run.pipeline.seed(set(run.pipeline.grin.books()) - set(run.pipeline.tokens()))
    run.settled(BOOKS)
    return run


def test_books_add_no_series(whole: Run, few: Series, figure: Callable[[str], None]) -> None:
    """After fifty books there are the same time series as after five, and fewer than 500 with all that is recorded."""
    assert whole.series() == few
    served = whole.prometheus.figure("sum(scrape_samples_scraped)")
    everything = whole.prometheus.figure('count({__name__!=""})')
    figure(f"{served:.0f} time series served by 8 workers and the orchestrator, {everything:.0f} with what is recorded")
    assert 200 < served < everything < 500


def test_nothing_is_empty(whole: Run, figure: Callable[[str], None]) -> None:
    """Every expression of both dashboards, and every recording rule, has data."""
    assert without_data(whole.prometheus, 30) == []
    figure(f"{len(of_dashboards())} expressions of dashboards and {len(of_rules())} recorded figures have data")


def test_the_figures_are_right(whole: Run) -> None:
    """What is recorded is what the board says: so many done, failed and left, and four decryptors that did it all."""
    ask = whole.prometheus.figure
    assert ask("grin:board_tokens:done") == BOOKS - POISONED
    assert ask('sum(grin:bucket_tokens:max{state="failed"})') == POISONED
    assert (ask("grin:board_tokens:left"), ask("grin:board_eta_seconds")) == (0, 0)
    assert ask("grin:board_tokens:done_per_hour") > 0
    assert ask('grin:stage_workers:max{stage="decryptor"}') == DECRYPTORS
    assert ask('count(count by (instance) (grin_stage_tokens_total{stage="decryptor"}))') == DECRYPTORS
    assert ask('sum(grin_stage_tokens_total{stage="uploader",outcome="done"})') == BOOKS - POISONED
    assert ask('sum(grin_stage_tokens_total{outcome="deferred"})') > 0
    assert whole.prometheus.ask('{exported_stage!=""}') == []


def test_no_alert_of_a_run_that_is_well(whole: Run) -> None:
    """Three bad books of fifty, and a board where nothing is left to do, alarm nobody; each rule could be evaluated."""
    assert whole.prometheus.ask('ALERTS{alertstate="firing"}') == []
    groups = httpx.get(f"{whole.prometheus.url}/api/v1/rules").json()["data"]["groups"]
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for group in groups for rule in group["rules"]}
    assert health == dict.fromkeys(
        [r.get("alert") or r["record"] for kind in ("alert", "record") for r in rules(kind)], ("ok", None)
    )


def test_metrics_are_as_prometheus_wants_them(whole: Run, promtool: str) -> None:
    """promtool has nothing to say about what any worker or the orchestrator serves."""
    for name, address in whole.targets:
        text = httpx.get(f"http://{address}/metrics").text
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (name, done.returncode, done.stdout + done.stderr) == (name, 0, "")


def test_an_empty_expression_is_found(whole: Run) -> None:
    """What has no series, or none but NaN, counts as empty: the walker would notice."""
    assert not whole.prometheus.has("grin_no_such_metric")
    assert not whole.prometheus.has("0 * grin_workers / 0")
    assert whole.prometheus.has("grin_workers")
