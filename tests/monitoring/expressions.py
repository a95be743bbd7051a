"""Every expression of the dashboards and of the recording rules, and whether a Prometheus has data for it.

Used by whoever has one that has seen a real run: `without_data(Prometheus("http://127.0.0.1:9090"))`.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.monitoring.rules import MONITORING, rules

STAGES = ("downloader", "decryptor", "extractor", "modifier", "uploader")
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
# What Grafana would put in.
_INTERVALS = {"$__rate_interval": "30s", "$__interval": "15s", "$__range": "1h"}


@dataclass(frozen=True)
class Expression:
    """Where it stands, and what Prometheus is asked."""

    where: str
    text: str


class Prometheus:
    """Asked over its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """What an expression is now: a sample a series."""
        answer = httpx.post(f"{self.url}/api/v1/query", data={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        assert answer["data"]["resultType"] == "vector", expression
        return list(answer["data"]["result"])

    def figure(self, expression: str) -> float:
        """The one figure that an expression is; 0 when it is none."""
        return sum(float(sample["value"][1]) for sample in self.ask(expression))

    def has(self, expression: str) -> bool:
        """Whether at least one series has a figure that is a number."""
        return any(not math.isnan(float(sample["value"][1])) for sample in self.ask(expression))


def of_dashboards() -> list[Expression]:
    """What every panel and every variable asks for, once for each stage where it asks for one."""
    found = []
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                found += _filled(f"{path.name}, {panel['title']}, {target['refId']}", target["expr"])
        for variable in dashboard["templating"]["list"]:
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            found.append(Expression(f"{path.name}, variable {variable['name']}", f'count({metric}{{{label}!=""}})'))
    return found


def of_rules() -> list[Expression]:
    """What every recording rule has recorded."""
    return [Expression(f"rule {name}", name) for name in dict.fromkeys(rule["record"] for rule in rules("record"))]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those of folded rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _filled(where: str, text: str) -> Iterator[Expression]:
    for name, value in _INTERVALS.items():
        text = text.replace(name, value)
    text = text.replace("$bucket", ".+")
    for stage in STAGES if "$stage" in text else ("",):
        yield Expression(f"{where}, {stage}".rstrip(", "), text.replace("$stage", stage))


def without_data(prometheus: Prometheus, seconds: float = 0.0) -> list[Expression]:
    """The expressions that are empty, although so many seconds were given to them."""
    left, end = of_dashboards() + of_rules(), time.monotonic() + seconds
    while left := [expression for expression in left if not prometheus.has(expression.text)]:
        if time.monotonic() > end:
            break
        time.sleep(1)
    return left
