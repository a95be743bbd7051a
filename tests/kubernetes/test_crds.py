"""What is for operators is as their published schemas say, with no field that they would silently drop."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.kubernetes.combinations import COMBINATIONS
from tests.kubernetes.crds import problems, require_installed
from tests.kubernetes.schemas import OF_OPERATORS
from tests.kubernetes.workloads import Document, changed

GROUPS = ("keda.sh", "monitoring.coreos.com", "external-secrets.io")
# For each kind a misspelt field, and a value of another kind; a place as `changed` takes it.
WRONG = [
    ("ScaledObject decryptor spec cooldwonPeriod", 600),
    ("ScaledObject decryptor spec triggers 0 metadataa", {}),
    ("ScaledObject decryptor spec triggers 0 metricTyp", "AverageValue"),
    ("ScaledObject decryptor spec advanced horizontalPodAutoscalerConfig behavior scaleUp policies 0 second", 60),
    ("ScaledObject decryptor spec fallback behavior", "currentReplicasIfHiger"),
    ("ScaledObject decryptor spec triggers 0 metadata threshold", 10),
    ("ScaledObject decryptor spec minReplicaCount", "0"),
    ("PodMonitor grin-stages spec podMetricsEndpoints 0 honourLabels", True),
    ("PodMonitor grin-stages spec podMetricsEndpoints 0 relabelings 0 target", "job"),
    ("PodMonitor grin-stages spec selector", None),
    ("PrometheusRule grin-pipeline spec groups 0 rules 0 exprs", "vector(1)"),
    ("PrometheusRule grin-pipeline spec groups 0 rules 0 labels", "stage"),
    ("ExternalSecret grin-pipeline-gpg spec data 0 remoteRef propertyy", "x"),
    ("ExternalSecret grin-pipeline-gpg spec secretStoreRef kind", "Vault"),
    ("ExternalSecret grin-pipeline-gpg kind", "ExternalSecrett"),
]


def _of_operators(documents: list[Document]) -> list[Document]:
    return [one for one in documents if one["apiVersion"].split("/")[0] in GROUPS]


def _all() -> list[Document]:
    """Those of the default with every component."""
    most = max((one for one in COMBINATIONS if one.overlay == ROOT / "k8s"), key=lambda one: len(one.added))
    return _of_operators(most.documents)


def _pages() -> list[tuple[str, Document]]:
    """Those that the pages show in blocks of YAML."""
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if any(f"apiVersion: {group}" in text for group in GROUPS):
                found += [(page.name, one) for one in yaml.safe_load_all(text) if one]
    return found


@pytest.fixture(autouse=True)
def _schemas() -> None:
    require_installed()


def test_the_schemas_take_them() -> None:
    """Each object of every component, and of the pages, has the published fields and no others."""
    objects = _all()
    assert {one["kind"] for one in objects} == {"ScaledObject", "PodMonitor", "PrometheusRule", "ExternalSecret"}
    assert {one["kind"] for one in objects} <= OF_OPERATORS
    assert problems(objects) == []
    assert problems(_of_operators([one for _, one in _pages()])) == []


@pytest.mark.parametrize(("place", "value"), WRONG, ids=[place for place, _ in WRONG])
def test_a_mistake_is_found(place: str, value: Any) -> None:
    """A field that is misspelt, missing or of another type is told of, and nothing else is."""
    found = problems(changed(_all(), place, value))
    assert len(found) == 1, found
    _, name, *way = place.split(" ")
    assert f" {name}: " in found[0]
    assert way[-1] in found[0] or str(value) in found[0]
