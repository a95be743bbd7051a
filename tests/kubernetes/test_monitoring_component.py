"""Figures, alerts and dashboards for the Prometheus Operator: what is watched, and how a real Prometheus labels it."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Gauge

from common.health import HealthServer
from common.metrics import Metrics, StageMetrics
from tests.deploy.compose_file import ROOT
from tests.helpers import until
from tests.kubernetes.operated import job, targets
from tests.kubernetes.player.reading import matches
from tests.kubernetes.prometheus_rule import TARGET, text
from tests.kubernetes.rendered import of_kind, rendered
from tests.kubernetes.workloads import Document, component, labels, name, workloads
from tests.monitoring.conftest import prometheus_program, promtool  # noqa: F401 - as the tests of the rules have it
from tests.monitoring.expressions import DASHBOARDS, STAGES, Prometheus, of_dashboards
from tests.monitoring.rules import RULE_FILES, rules, told
from tests.monitoring.running import serving

PRODUCTION = ROOT / "k8s" / "overlays" / "production"
REPLICAS = {"decryptor": 2}
# Monitors with a mistake each, and what it does to the labels.
WEAK = {
    "no stage": lambda endpoint: endpoint["relabelings"].pop(1),
    "no job": lambda endpoint: endpoint["relabelings"].pop(0),
    "no honour": lambda endpoint: endpoint.pop("honorLabels"),
    "no drop": lambda endpoint: endpoint.pop("metricRelabelings"),
    "another port": lambda endpoint: endpoint.update(port="board"),
}


@cache
def _documents() -> list[Document]:
    return rendered(PRODUCTION)


def _monitors() -> dict[str, Document]:
    return {name(one): one for one in of_kind(_documents(), "PodMonitor")}


def test_the_rules_are_the_same() -> None:
    """The Operator's rules are those of monitoring/rules; `python -m tests.kubernetes.prometheus_rule` writes them."""
    assert TARGET.read_text() == text()
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    (rule,) = of_kind(_documents(), "PrometheusRule")
    assert sorted(rule["spec"]["groups"], key=str) == sorted(groups, key=str)


def test_prometheus_takes_the_rules_as_rendered(promtool: str, tmp_path: Path) -> None:  # noqa: F811
    """What kustomize makes of them is still what Prometheus reads."""
    (rule,) = of_kind(_documents(), "PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    code, said = told(promtool, "check", "rules", tmp_path / "rules.yml")
    assert code == 0, said


def test_dashboards_come_with_it() -> None:
    """Grafana finds the dashboards as they are, in the line's namespace; the rules are there once only."""
    maps = [one for one in of_kind(_documents(), "ConfigMap") if not name(one).startswith("grin-pipeline-")]
    (dashboards,) = maps
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboards["metadata"]["namespace"] == "grin-pipeline"
    assert dashboards["data"] == {path.name: path.read_text() for path in DASHBOARDS}


def test_every_pod_of_the_line_is_watched_by_one_monitor() -> None:
    """Stages by one, the orchestrator by the other, nobody else; each at a port that its pod has."""
    for workload in workloads(_documents()):
        watched = [one for one in _monitors().values() if matches(one["spec"]["selector"], labels(workload))]
        assert len(watched) == (component(workload) in {"stage", "orchestrator"})
        for monitor in watched:
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            ports = [port["name"] for port in workload["spec"]["template"]["spec"]["containers"][0]["ports"]]
            assert endpoint["port"] in ports
            assert monitor["metadata"]["namespace"] == workload["metadata"]["namespace"]


def test_the_jobs_are_those_that_the_rules_know() -> None:
    """Whatever rules and dashboards ask of a job, some monitor names it so."""
    texts = [rule["expr"] for kind in ("alert", "record") for rule in rules(kind)]
    texts += [expression.text for expression in of_dashboards()]
    asked = {found for one in texts for found in re.findall(r'job="([^"]+)"', one)}
    named = {
        relabeling["replacement"]
        for monitor in _monitors().values()
        for relabeling in monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
        if relabeling["targetLabel"] == "job"
    }
    assert asked
    assert asked <= named == {"grin-stages", "grin-orchestrator"}


def test_compose_drops_the_same() -> None:
    """What Prometheus in the compose project takes from no worker is what it does not here."""
    whole = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    there = {one["job_name"]: one.get("metric_relabel_configs") for one in whole["scrape_configs"]}
    here = {title: job(monitor, [])["metric_relabel_configs"] or None for title, monitor in _monitors().items()}
    assert there == here


@contextmanager
def _serves(metrics: Metrics) -> Iterator[str]:
    server = HealthServer("127.0.0.1", 0, metrics.registry, {})
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.close()


def _stage(stage: str) -> StageMetrics:
    """A worker's figures, and what one that somebody has taken over would say of the board."""
    metrics = StageMetrics(stage)
    metrics["grin_requests_total"].labels("download", "200").inc()
    forged = Gauge("grin_bucket_tokens", "Forged.", ("bucket", "state", "job"), registry=metrics.registry)
    forged.labels("02_decrypted", "waiting", "grin-orchestrator").set(1_000_000)
    return metrics


def _orchestrator() -> Metrics:
    metrics = Metrics("orchestrator")
    for state in ("waiting", "working", "deferred"):
        metrics["grin_bucket_tokens"].labels("01_incoming", state).set(4)
    return metrics


def _strangers() -> Iterator[Document]:
    """Somebody else's pod with a port of that name, and a worker of another board, in another namespace."""
    worker = next(one for one in workloads(_documents()) if name(one) == "decryptor")
    other, web = copy.deepcopy(worker), copy.deepcopy(worker)
    other["metadata"]["namespace"] = "grin-hvd"
    web["spec"]["template"]["metadata"]["labels"] = {"app.kubernetes.io/name": "decryptor"}
    yield from (other, web)


@contextmanager
def _pods() -> Iterator[list[dict[str, Any]]]:
    """Every pod of the line with what it serves, and strangers; each port of each is a target."""
    with ExitStack() as stack:
        found = []
        for workload in (*workloads(_documents()), *_strangers()):
            orchestrates = name(workload) == "orchestrator"
            for number in range(REPLICAS.get(name(workload), 1)):
                address = stack.enter_context(_serves(_orchestrator() if orchestrates else _stage(name(workload))))
                found += targets(workload, number, {"board" if orchestrates else "metrics": address})
        yield found


def _weakened(mistake: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The stages' monitor with a mistake, as a job whose figures are known by a label."""
    monitor = copy.deepcopy(_monitors()["grin-stages"])
    WEAK[mistake](monitor["spec"]["podMetricsEndpoints"][0])
    made = job(monitor, found)
    made["job_name"] = f"weak/{mistake}"
    # Beside the right ones, and not taken for them.
    made["relabel_configs"] += [
        {"target_label": "weak", "replacement": mistake},
        {"source_labels": ["job"], "target_label": "job", "replacement": "weak-$1"},
    ]
    return made


@pytest.fixture(scope="module")
def prometheus(prometheus_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:  # noqa: F811
    """One that scrapes what the monitors select, as the Operator would tell it, with the rules as rendered."""
    folder = tmp_path_factory.mktemp("operated")
    (rule,) = of_kind(_documents(), "PrometheusRule")
    (folder / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    with _pods() as found:
        whole = {
            "global": {"evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules.yml")],
            "scrape_configs": [
                *(job(monitor, found) for monitor in _monitors().values()),
                *(_weakened(mistake, found) for mistake in WEAK),
            ],
        }
        with serving(prometheus_program, folder, whole) as prometheus:
            until(lambda: prometheus.figure('count(up{weak=""} == 1)') == len(STAGES) + 2, 60)
            until(lambda: prometheus.figure('grin:stage_workers:max{stage="decryptor"}') == 2, 30)
            until(lambda: prometheus.figure('count by (weak) (up{weak="no honour"})') == len(STAGES) + 1, 30)
            yield prometheus


def _labelled(prometheus: Prometheus, metric: str, weak: str = "") -> Counter[tuple[str, str]]:
    """How many series a metric has of each job and stage."""
    found = prometheus.ask(f'{metric}{{weak="{weak}"}}')
    return Counter((one["metric"]["job"], one["metric"].get("stage", "")) for one in found)


WORKERS = {("grin-stages", stage): REPLICAS.get(stage, 1) for stage in STAGES}


def test_targets_have_their_job_and_stage(prometheus: Prometheus) -> None:
    """Each pod of the line is scraped once, by the job that rules know, with its stage; strangers are not."""
    assert _labelled(prometheus, "up") == WORKERS | {("grin-orchestrator", ""): 1}
    pods = [one["metric"]["pod"] for one in prometheus.ask('up{weak=""}')]
    assert len(set(pods)) == len(pods)


@pytest.mark.parametrize("metric", ["grin_stage_wip_limited", "grin_requests_total"])
def test_metrics_have_their_stage(prometheus: Prometheus, metric: str) -> None:
    """A metric keeps the stage that it says, and one that says none has its pod's; none has two."""
    assert _labelled(prometheus, metric) == WORKERS
    assert not prometheus.ask(f'{metric}{{weak="",exported_stage!=""}}')


def test_the_orchestrators_figures_are_nobodys(prometheus: Prometheus) -> None:
    """The board's figures keep their own labels and get no stage; what a worker says of the board is not taken."""
    (found,) = prometheus.ask('grin_bucket_tokens{state="waiting",weak=""}')
    assert found["value"][1] == "4"
    assert prometheus.ask('grin_bucket_tokens{weak="no drop"} == 1000000')
    assert (found["metric"]["bucket"], found["metric"]["job"]) == ("01_incoming", "grin-orchestrator")
    assert "stage" not in found["metric"]


def test_the_rules_work_on_them(prometheus: Prometheus) -> None:
    """By these labels the recording rules find how many workers a stage has, and what is in its line."""
    assert prometheus.figure('grin:stage_tokens:in_line{stage="decryptor"}') == 12

    def workers() -> dict[str, float]:
        return {one["metric"]["stage"]: float(one["value"][1]) for one in prometheus.ask("grin:stage_workers:max")}

    # A scrape of a busy machine may take its second.
    until(lambda: workers() == {stage: REPLICAS.get(stage, 1) for stage in STAGES}, 30)


def test_a_wrong_monitor_is_noticed(prometheus: Prometheus) -> None:
    """Without one of its lines, jobs, stages or targets are others than those that the rules know."""
    assert _labelled(prometheus, "up", "no stage") == {("weak-grin-stages", ""): len(STAGES) + 1}
    assert {job_ for job_, _ in _labelled(prometheus, "up", "no job")} == {"weak-grin-pipeline/grin-stages"}
    assert prometheus.ask('grin_stage_wip_limited{weak="no honour",exported_stage="decryptor"}')
    assert not prometheus.ask('up{weak="another port"}')
