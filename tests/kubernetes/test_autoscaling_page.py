"""What the page about scaling shows does what it says: the changes of a library, and the way without KEDA."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.kubernetes.pages import blocks
from tests.kubernetes.rendered import of_kind, rendered
from tests.kubernetes.surroundings import environment
from tests.kubernetes.workloads import STAGE, Document, component, name, pod
from tests.monitoring.conftest import promtool  # noqa: F401 - as the tests of the rules have it
from tests.monitoring.rules import told

PAGE = ROOT / "docs" / "how-to" / "autoscaling.md"


def _block(containing: str) -> dict[str, Any]:
    """The page's block that says this."""
    (found,) = [block.documents[0] for block in blocks(PAGE) if containing in block.text]
    return found


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """The page's kustomization, beside this clone."""
    folder = tmp_path_factory.mktemp("prnc").resolve()
    text = yaml.safe_dump(_block("kind: Kustomization")).replace("../grin-pipeline", os.path.relpath(ROOT, folder))
    (folder / "kustomization.yaml").write_text(text)
    return rendered(folder)


def test_a_library_changes_a_stage(changed: list[Document]) -> None:
    """The decryptor has its own limits then, the others keep theirs, and all ask the other Prometheus."""
    specs = {name(one): one["spec"] for one in of_kind(changed, "ScaledObject")}
    assert {stage: (spec["minReplicaCount"], spec["maxReplicaCount"]) for stage, spec in specs.items()} == {
        "downloader": (1, 4),
        "decryptor": (1, 20),
        "extractor": (0, 8),
        "modifier": (0, 8),
        "uploader": (0, 4),
    }
    assert [spec["triggers"][0]["metadata"]["threshold"] for spec in specs.values()].count("5") == 2
    addresses = {trigger["metadata"]["serverAddress"] for spec in specs.values() for trigger in spec["triggers"]}
    assert addresses == {"http://prometheus.observe.svc:9090"}


def test_a_library_gives_books_longer(changed: list[Document]) -> None:
    """The page's grace goes before the component's, and pods have longer than it."""
    for one in of_kind(changed, "Deployment"):
        if component(one) == STAGE:
            assert environment(changed, one)["GRIN_PIPELINE_GLOBAL__GRACE"] == "1800"
            assert pod(one)["terminationGracePeriodSeconds"] == 1830


def test_a_stage_of_ones_own_has_what_all_have(tmp_path: Path) -> None:
    """A copy of a small file, with another name and bucket, gets the common part from the component."""
    components = ROOT / "k8s" / "components"
    own = (components / "autoscaling" / "decryptor.yaml").read_text().replace("decryptor", "hop")
    (tmp_path / "hop.yaml").write_text(own.replace("01_incoming", "09_hopped"))
    near = {"monitoring", "autoscaling"}
    said = {
        "resources": [os.path.relpath(ROOT / "k8s" / "base", tmp_path), "hop.yaml"],
        "components": [os.path.relpath(components / part, tmp_path) for part in sorted(near)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(said))
    specs = {name(one): one["spec"] for one in of_kind(rendered(tmp_path.resolve()), "ScaledObject")}
    common = "".join(map(str, specs["decryptor"].values())).replace("decryptor", "hop")
    assert "".join(map(str, specs["hop"].values())) == common.replace("01_incoming", "09_hopped")


def test_the_way_without_keda_decides_alike() -> None:
    """The page's HPA has the pace, the threshold and the limit of the component, and never falls to none."""
    hpa = _block("kind: HorizontalPodAutoscaler")["spec"]
    production = rendered(ROOT / "k8s" / "overlays" / "production")
    spec = next(one["spec"] for one in of_kind(production, "ScaledObject") if name(one) == "decryptor")
    assert hpa["behavior"] == spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert hpa["maxReplicas"] == spec["maxReplicaCount"]
    assert hpa["minReplicas"] == 1
    target = hpa["metrics"][0]["external"]["target"]
    assert target == {"type": "AverageValue", "averageValue": spec["triggers"][0]["metadata"]["threshold"]}


@pytest.mark.parametrize("orchestrators", [1, 2])
def test_what_the_adapter_asks(promtool: str, tmp_path: Path, orchestrators: int) -> None:  # noqa: F811
    """The adapter's query has the books that wait for this stage of this board, once, however many count them."""
    rule = _block("seriesQuery")["rules"]["external"][0]
    external = _block("kind: HorizontalPodAutoscaler")["spec"]["metrics"][0]["external"]
    assert external["metric"]["name"] == rule["name"]["as"]
    matchers = {**external["metric"]["selector"]["matchLabels"], "namespace": "grin-pipeline"}
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", ",".join(f'{k}="{v}"' for k, v in matchers.items()))
    series = 'grin_bucket_tokens{bucket="%s",state="%s",namespace="%s",pod="%s"}'
    found = [("01_incoming", "waiting", "grin-pipeline", str(number), 40) for number in range(orchestrators)]
    found += [("01_incoming", "waiting", "grin-hvd", "0", 90), ("01_incoming", "working", "grin-pipeline", "0", 60)]
    found += [("02_decrypted", "waiting", "grin-pipeline", "0", 50)]
    test = {
        "interval": "1m",
        "input_series": [{"series": series % tuple(labels), "values": f"{figure}x5"} for *labels, figure in found],
        "promql_expr_test": [{"expr": query, "eval_time": "3m", "exp_samples": [{"labels": "{}", "value": 40}]}],
    }
    (tmp_path / "adapter.yml").write_text(yaml.safe_dump({"tests": [test]}))
    code, said = told(promtool, "test", "rules", tmp_path / "adapter.yml")
    assert code == 0, said
