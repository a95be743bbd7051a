"""The project's own Prometheus, as compose.yaml starts it, while the demo's books come home in two portions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.containers.project import BOOKS, LAST, POISONED, STAGES, Project, docker
from tests.monitoring.expressions import Prometheus, of_dashboards, without_data

pytestmark = pytest.mark.slow
DECRYPTORS = 4
# Between two looks of the shipped configuration, in seconds.
SCRAPE = 15


def reached(project: Project) -> Prometheus:
    """The project's Prometheus. Nothing of the host's is in its network, so for the tests it is put into one more."""
    container = f"{project.name}-prometheus-1"
    docker("network", "connect", "bridge", container)
    networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
    return Prometheus(f"http://{networks['bridge']['IPAddress']}:9090")


def barcodes(project: Project) -> list[str]:
    """The books that wait to be downloaded."""
    lines = project.order("grin-pipeline", "ls", "00_to_download", "--json").splitlines()
    return sorted(json.loads(line)["barcode"] for line in lines)


@pytest.fixture(scope="module")
def watched(project: Project) -> Iterator[tuple[Project, Prometheus]]:
    """Half of the books are home before the first look has long been past, the other half after it."""
    project.afresh("--scale", "downloader=0")
    project.until(lambda: len(barcodes(project)) == BOOKS, 60, "All books seeded")
    later = barcodes(project)[: BOOKS // 2]
    project.order("grin-pipeline", "hold", *later)
    project.order("grin-pipeline", "pause", "downloader")
    # One that was killed has told nobody that its figures have ended.
    docker("volume", "rm", "--force", f"{project.name}_prometheus")
    project.up("--scale", f"decryptor={DECRYPTORS}")
    prometheus = reached(project)
    project.until(lambda: prometheus.figure("sum(up)") == DECRYPTORS + 5, 60, "Every replica is scraped")
    project.order("grin-pipeline", "resume", "downloader")
    project.until(lambda: prometheus.figure("grin:board_tokens:done") > 0, 60, "Prometheus has seen a book done")
    project.order("grin-pipeline", "release", "--all")
    project.until_home()
    yield project, prometheus
    project.run("rm", "--stop", "--force", "prometheus", "grafana")


def test_every_expression_has_data(watched: tuple[Project, Prometheus], figure: Callable[[str], None]) -> None:
    """Nothing on either dashboard is empty, for any stage, and no recording rule is."""
    assert without_data(watched[1], 3 * SCRAPE) == []
    figure(f"{len(of_dashboards())} expressions of the dashboards have data in the compose project")


def test_every_replica_is_scraped_by_its_name(watched: tuple[Project, Prometheus]) -> None:
    """A service's name leads to all of its containers, and each is one instance of its stage."""
    _, prometheus = watched
    found = {one["metric"].get("stage"): int(one["value"][1]) for one in prometheus.ask("count by (stage) (up == 1)")}
    assert {stage: found[stage] for stage in STAGES} == {**dict.fromkeys(STAGES, 1), "decryptor": DECRYPTORS}


def test_the_figures_are_the_boards(watched: tuple[Project, Prometheus]) -> None:
    """What Prometheus knows of done and failed books is what lies on the board, and no alert fires."""
    project, prometheus = watched
    project.until(lambda: prometheus.figure("grin:board_tokens:done") == BOOKS - POISONED, 3 * SCRAPE, "All counted")
    assert prometheus.figure(f'grin_bucket_tokens{{bucket="{LAST}",state="waiting"}}') == BOOKS - POISONED
    assert prometheus.figure('sum(grin_bucket_tokens{state="failed"})') == POISONED
    assert prometheus.ask('ALERTS{alertstate="firing"}') == []


def test_few_series(watched: tuple[Project, Prometheus], figure: Callable[[str], None]) -> None:
    """All services together serve fewer than 500 time series."""
    served = watched[1].figure("sum(scrape_samples_scraped)")
    figure(f"{served:.0f} time series served by the compose project with {DECRYPTORS} decryptors")
    assert 200 < served < 500


def test_promtool_has_nothing_to_say(watched: tuple[Project, Prometheus]) -> None:
    """Of the metrics of every service, and of what Prometheus is configured with."""
    project, _ = watched
    for service, port in [*((stage, 8000) for stage in STAGES), ("orchestrator", 8080)]:
        script = f"wget -q -O - http://{service}:{port}/metrics | promtool check metrics"
        said, complaint, code = project.demo.exec_in_container(["sh", "-c", script], "prometheus")
        assert (service, said, complaint, code) == (service, "", "", 0)
    check = ("promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    assert "SUCCESS" in project.order(*check, service="prometheus")
