"""A whole run before a simulated GRIN, and a real Prometheus that scrapes all of it, on the loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from services.orchestrator.supervisor import free_ports
from tests.e2e.conftest import Pipeline
from tests.helpers import stop, until
from tests.monitoring.expressions import Prometheus
from tests.monitoring.rules import MONITORING

# A worker or orchestrator that answers on /metrics: what it is, and where.
Targets = list[tuple[str, str]]


@dataclass
class Run:
    """A pipeline that runs, and the Prometheus beside it."""

    pipeline: Pipeline
    prometheus: Prometheus
    targets: Targets

    def settled(self, books: int, seconds: float = 120) -> None:
        """Wait until so many books are done or have failed, and Prometheus has seen it."""
        ended = 'sum(grin:board_tokens:done) + sum(grin:bucket_tokens:max{state="failed"})'
        until(lambda: self.prometheus.figure(ended) >= books, seconds)
        until(lambda: self.prometheus.figure("count(grin_queue_books)") == 4, 30)
        until(lambda: self.prometheus.figure("count(up == 1)") == len(self.targets), 30)

    def series(self) -> set[tuple[tuple[str, str], ...]]:
        """The time series that the pipeline serves, whichever worker serves them; on a busy machine a look may fail."""
        scraped = self.prometheus.ask('last_over_time({job=~"grin-.+",__name__=~"grin_.+"}[30s])')
        return {tuple(sorted((k, v) for k, v in s["metric"].items() if k != "instance")) for s in scraped}


def targets(pipeline: Pipeline, workers: int) -> Targets:
    """Everything that serves metrics, once all workers are there."""
    until(lambda: len(list((pipeline.root / "workers").glob("*.json"))) > workers, 60)
    until(lambda: len(_workers(pipeline.status())) == workers, 60)
    status = pipeline.status()
    return [*_workers(status), ("orchestrator", _address(status["orchestrators"][0]["metrics"]))]


def _workers(status: dict[str, Any]) -> Targets:
    return [(s["name"], _address(w["metrics"])) for s in status["stages"] for w in s["workers"] if w["metrics"]]


def _address(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")


def configuration(found: Targets) -> dict[str, Any]:
    """monitoring/prometheus.yml as it stands, but for where the targets are, and a look each second."""
    whole: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    whole["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    whole["rule_files"] = [str(MONITORING / name) for name in whole["rule_files"]]
    for job in whole["scrape_configs"]:
        names = job.pop("dns_sd_configs")[0]["names"]
        job["static_configs"] = [
            {"targets": [address], "labels": {"__meta_dns_name": name}} for name, address in found if name in names
        ]
    return whole


@contextmanager
def scraping(program: str, folder: Path, found: Targets) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these."""
    with serving(program, folder, configuration(found)) as prometheus:
        yield prometheus


@contextmanager
def serving(program: str, folder: Path, whole: dict[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus with this configuration."""
    config, port = folder / "prometheus.yml", next(free_ports(19090))
    config.write_text(yaml.safe_dump(whole))
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True, cwd=folder)
    try:
        until(lambda: _is_ready(port), 60)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        stop(process)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
