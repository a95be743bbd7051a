"""The dashboards as files: what Grafana needs to show them, and what a person needs to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.expressions import DASHBOARDS, panels
from tests.monitoring.rules import MONITORING

GRAFANA = MONITORING / "grafana"
Dashboard = dict[str, Any]
each = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def read(path: Path) -> Dashboard:
    """A dashboard."""
    return dict(json.loads(path.read_text()))


def shown(path: Path) -> list[dict[str, Any]]:
    """Its panels but for the rows' headings."""
    return [panel for panel in panels(read(path)) if panel["type"] != "row"]


def test_both_are_provisioned() -> None:
    """Grafana finds the two where compose.yaml puts them, and the data source by the name that they use."""
    assert [path.stem for path in DASHBOARDS] == ["board", "stage"]
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "grin-pipeline.yml").read_text())["providers"][
        0
    ]
    grafana = yaml.safe_load((MONITORING.parent / "compose.yaml").read_text())["services"]["grafana"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert (source["uid"], source["type"], source["url"]) == ("prometheus", "prometheus", "http://prometheus:9090")
    scraped = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def test_the_depth_of_the_buckets_comes_first() -> None:
    """What one sees first is a panel for each bucket, side by side, with its books by state over time."""
    first = read(GRAFANA / "dashboards" / "board.json")["panels"][0]
    assert (first["type"], first["repeat"], first["maxPerRow"]) == ("timeseries", "bucket", 6)
    assert (first["gridPos"]["x"], first["gridPos"]["y"]) == (0, 0)
    assert first["targets"][0]["expr"] == 'grin:bucket_tokens:max{bucket=~"$bucket"}'
    assert first["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"


@each
def test_a_person_can_read_it(path: Path) -> None:
    """Each panel has a title, a sentence that describes it, a unit where it needs one, and a type that will stay."""
    for panel in shown(path):
        assert panel["type"] in ("timeseries", "stat", "table")
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"]
        assert panel["type"] != "stat" or panel["fieldConfig"]["defaults"]["noValue"] == "unknown"


@each
def test_grafana_can_show_it(path: Path) -> None:
    """Fixed names, one data source, ids that are there once, and panels that do not cover each other."""
    dashboard = read(path)
    assert dashboard["uid"] == f"grin-{path.stem}"
    assert dashboard["schemaVersion"] >= 39
    assert len({panel["id"] for panel in panels(dashboard)}) == len(list(panels(dashboard)))
    cells: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        at = panel["gridPos"]
        covered = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not covered & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= covered
    for panel in shown(path):
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert sources == [{"type": "prometheus", "uid": "prometheus"}] * len(sources)
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@each
def test_links_lead_to_the_other(path: Path) -> None:
    """Each dashboard has a link to the other one."""
    known = {f"/d/{read(other)['uid']}" for other in DASHBOARDS}
    assert {link["url"] for link in read(path)["links"]} == known - {f"/d/{read(path)['uid']}"}
