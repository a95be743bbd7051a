"""What the Prometheus Operator makes of a PodMonitor, and pods as Prometheus finds them, for one that runs here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.kubernetes.workloads import Document, containers, labels, name

# Another name for each, that the configuration of Prometheus has.
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_POD = "__meta_kubernetes_pod_"


def job(monitor: Document, targets: list[dict[str, Any]]) -> dict[str, Any]:
    """A monitor as a job of Prometheus: who is kept, what each is labelled, and then what the monitor itself says."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    namespace, title = monitor["metadata"]["namespace"], name(monitor)
    return {
        "job_name": f"podMonitor/{namespace}/{title}/0",
        "honor_labels": endpoint.get("honorLabels", False),
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": targets,
        "relabel_configs": [
            *_kept(monitor, endpoint["port"]),
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_POD}container_name"], "target_label": "container"},
            {"source_labels": [f"{_POD}name"], "target_label": "pod"},
            {"target_label": "job", "replacement": f"{namespace}/{title}"},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
            *_snakes(endpoint.get("relabelings", ())),
        ],
        "metric_relabel_configs": list(_snakes(endpoint.get("metricRelabelings", ()))),
    }


def _kept(monitor: Document, port: str) -> Iterator[dict[str, Any]]:
    yield {
        "source_labels": ["__meta_kubernetes_namespace"],
        "regex": monitor["metadata"]["namespace"],
        "action": "keep",
    }
    yield {"source_labels": [f"{_POD}phase"], "regex": "(Failed|Succeeded)", "action": "drop"}
    for key, value in monitor["spec"]["selector"]["matchLabels"].items():
        label = _plain(key)
        source = [f"{_POD}label_{label}", f"{_POD}labelpresent_{label}"]
        yield {"source_labels": source, "regex": f"({re.escape(value)});true", "action": "keep"}
    yield {"source_labels": [f"{_POD}container_port_name"], "regex": port, "action": "keep"}


def targets(workload: Document, number: int, addresses: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What Prometheus finds of a workload's pod: a target a port, with all that it is told of the pod."""
    said = {
        "__meta_kubernetes_namespace": workload["metadata"]["namespace"],
        f"{_POD}name": f"{name(workload)}-5d8f-{number}",
        f"{_POD}phase": "Running",
    }
    for key, value in labels(workload).items():
        said |= {f"{_POD}label_{_plain(key)}": value, f"{_POD}labelpresent_{_plain(key)}": "true"}
    for container in containers(workload):
        for port in container.get("ports") or [{"name": "", "containerPort": 80}]:
            of_port = {f"{_POD}container_name": container["name"], f"{_POD}container_port_name": port["name"]}
            address = addresses.get(port["name"], "127.0.0.1:1")
            yield {"targets": [address], "labels": said | of_port}


def _plain(key: str) -> str:
    return re.sub(r"\W", "_", key)


def _snakes(rules: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from ({_snake(key): value for key, value in one.items()} for one in rules)


def _snake(key: str) -> str:
    return _SNAKE.sub("_", key).lower()
