"""Kubernetes runs the same stages, configuration and release as everything else, and every file of k8s/ is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from common import __version__
from tests.deploy.compose_file import ROOT, Project
from tests.kubernetes.combinations import (
    COMPONENTS,
    FILE,
    FULLEST,
    K8S,
    OVERLAYS,
    Combination,
    Render,
    kustomization,
)
from tests.kubernetes.policies import configuration
from tests.kubernetes.workloads import ORCHESTRATOR, STAGE, component, containers, in_line, name

BASE = K8S / "base"
# Where things lie in the demo with Compose, and with Kubernetes.
_PLACES = {"/demo/": "", "/run/demo/": "secrets/"}


def _stages(path: Path) -> list[str]:
    return [row["name"] for row in yaml.safe_load(path.read_text())["filters"]]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_the_stages_are_the_same_everywhere(overlay: Path) -> None:
    """Configuration, services/, compose.yaml and the Deployments have the same stages; and each has an orchestrator."""
    render = Render.of(Combination(overlay))
    deployed = {name(one) for one in render.kind("Deployment") if component(one) == STAGE}
    built = {
        service["build"]["args"]["STAGE"]
        for service in Project.read().services.values()
        if "args" in service.get("build", {})
    }
    folders = {path.parent.name for path in (ROOT / "services").glob("*/stage.py")}
    assert deployed == set(_stages(ROOT / "config.yaml")) == folders
    assert deployed == {row["name"] for row in configuration(render)["filters"]}
    assert {name(one) for one in render.kind("Deployment") if in_line(one)} == {*deployed, ORCHESTRATOR} == built


def test_each_stage_has_its_file_image_and_budget() -> None:
    """A stage in base/ is a file of its name, an image of its name, and a disruption budget of its name."""
    said = kustomization(BASE)
    stages = set(_stages(ROOT / "config.yaml"))
    assert {path.stem for path in (BASE / "stages").iterdir()} == stages
    assert {entry["name"] for entry in said["images"]} == {f"grin-pipeline/{one}" for one in {*stages, ORCHESTRATOR}}
    budgets = Render.of(Combination(K8S)).kind("PodDisruptionBudget")
    assert {name(one) for one in budgets} == {*stages, ORCHESTRATOR}


def test_the_configuration_is_the_one_at_the_root() -> None:
    """base/config.yaml is config.yaml, to the byte: Kustomize reads nothing outside its folder."""
    assert (BASE / "config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()


def test_productions_configuration_is_for_a_shared_volume() -> None:
    """overlays/production has config.yaml with one line changed: one file a book."""
    here, there = ((path / "config.yaml").read_text().splitlines() for path in (K8S / "overlays" / "production", ROOT))
    changed = [(old.split()[:2], new.split()[:2]) for old, new in zip(there, here, strict=True) if old != new]
    assert changed == [(["layout:", "files"], ["layout:", "tar"])]


def test_the_demos_configuration_is_that_of_compose() -> None:
    """Both demos have one configuration but for where things lie, and these lie alike."""
    here, there = ((ROOT / path).read_text() for path in ("k8s/overlays/demo/config.yaml", "simulator/demo.yaml"))
    assert yaml.safe_load(here) == _moved(yaml.safe_load(there))


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _moved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner) for inner in value]
    for old, new in _PLACES.items():
        if isinstance(value, str) and value.startswith(old):
            return new + value.removeprefix(old)
    return value


def test_one_release_everywhere() -> None:
    """Every image has the version of the package, which is that of the Dockerfile."""
    every = {one["image"] for combination in FULLEST for work in _works(combination) for one in containers(work)}
    assert {image.rpartition(":")[2] for image in every} == {__version__}
    assert re.findall(r"^ARG VERSION=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == [__version__]


def _works(combination: Combination) -> list[dict[str, Any]]:
    return Render.of(combination).workloads


def test_names_and_tags_of_images_are_in_one_place() -> None:
    """No manifest gives an image a tag: only `images:` does, where `kustomize edit set image` changes it."""
    for path in K8S.rglob("*.yaml"):
        if path.name != FILE:
            assert re.findall(r"^[ -]*image: .*:", path.read_text(), re.MULTILINE) == [], path


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str):
        yield value
    elif hasattr(value, "__iter__"):
        for inner in value:
            yield from _strings(inner)


def _read_by(folder: Path) -> Iterator[Path]:
    """The files that a folder's kustomization names, and all that their folders name."""
    yield folder / FILE
    for text in _strings(kustomization(folder)):
        named = (folder / text.rpartition("=")[2].strip()).resolve() if "\n" not in text else folder
        if named.is_file():
            yield named
        elif named != folder and (named / FILE).exists():
            yield from _read_by(named)


def test_every_file_is_used() -> None:
    """No file of k8s/ is left out of every kustomization."""
    roots = [*OVERLAYS, *COMPONENTS, K8S / "secrets"]
    used = {path for folder in roots for path in _read_by(folder)}
    there = {path for path in K8S.rglob("*") if path.is_file() and path.name not in {"README.md", ".gitkeep"}}
    assert {path.relative_to(K8S).as_posix() for path in there - used - _secrets()} == set()


def _secrets() -> set[Path]:
    """A library's own, in a clone that it works with."""
    return set((K8S / "secrets").glob("*/*"))


def test_every_file_has_one_way_of_writing() -> None:
    """Every manifest is YAML without a key that is there twice."""
    for path in K8S.rglob("*.yaml"):
        for document in yaml.compose_all(path.read_text(), Loader=yaml.SafeLoader):
            assert _doubled(document) == [], path


def _doubled(node: yaml.Node) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        return [key for inner in node.value for key in _doubled(inner)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    twice = [key for key in set(keys) if keys.count(key) > 1]
    return twice + [key for _, inner in node.value for key in _doubled(inner)]
