"""The same rules and dashboards for Kubernetes."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml

from tests.monitoring.expressions import DASHBOARDS
from tests.monitoring.rules import MONITORING, RULE_FILES


def test_all_rules_and_dashboards_are_in_it() -> None:
    """Every rule file and every dashboard is in a ConfigMap."""
    whole = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    named = {MONITORING / name for one in whole["configMapGenerator"] for name in one["files"]}
    assert named == {*RULE_FILES, *DASHBOARDS}


def test_kubectl_renders_it() -> None:
    """Where kubectl is there, it makes ConfigMaps of the files as they are, small enough for Kubernetes to take."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("NO KUBECTL: that the files named in kustomization.yaml are there was tried, rendering was not.")
    rendered = subprocess.run(
        [kubectl, "kustomize", str(MONITORING)], capture_output=True, text=True, check=True
    ).stdout
    maps = {made["metadata"]["name"].rpartition("-")[0]: made for made in yaml.safe_load_all(rendered)}
    assert set(maps) == {"grin-prometheus-rules", "grin-dashboards"}
    assert maps["grin-dashboards"]["metadata"]["labels"] == {"grafana_dashboard": "1"}
    data = {name: text for made in maps.values() for name, text in made["data"].items()}
    assert data == {path.name: path.read_text() for path in [*RULE_FILES, *DASHBOARDS]}
    assert len(json.dumps(maps["grin-dashboards"])) < 1_000_000
