"""Every way to combine an overlay with the components beside it, rendered once in a run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import ROOT
from tests.kubernetes.rendered import rendered
from tests.kubernetes.workloads import Document, workloads

K8S = ROOT / "k8s"
FILE = "kustomization.yaml"
OVERLAYS = [K8S, *sorted(path.parent for path in (K8S / "overlays").glob(f"*/{FILE}"))]


@cache
def kustomization(folder: Path) -> dict[str, Any]:
    """What a folder's kustomization says."""
    said: dict[str, Any] = yaml.safe_load((folder / FILE).read_text())
    return said


COMPONENTS = [
    path.parent
    for path in sorted((K8S / "components").rglob(FILE))
    if kustomization(path.parent)["kind"] == "Component"
]


def parts(folder: Path) -> Iterator[Path]:
    """A kustomization's folder, and every folder that it is made of."""
    yield folder
    said = kustomization(folder)
    for name in chain(said.get("resources", ()), said.get("components", ())):
        inner = (folder / name).resolve()
        if (inner / FILE).exists():
            yield from parts(inner)


@dataclass(frozen=True)
class Combination:
    """An overlay, and the components that somebody adds to it."""

    overlay: Path
    added: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return "+".join(path.name for path in (self.overlay, *self.added))

    @property
    def components(self) -> frozenset[str]:
        """All that it is made of: those of the overlay, too."""
        among = {path for path in parts(self.overlay) if path in COMPONENTS}
        return frozenset(path.name for path in among.union(self.added))

    @property
    def documents(self) -> list[Document]:
        """What it renders to."""
        return _documents(self)


@dataclass(frozen=True)
class Render:
    """A combination's documents, or a weakened copy of them."""

    documents: list[Document]
    components: frozenset[str]

    @classmethod
    def of(cls, combination: Combination) -> Render:
        """A combination as it is."""
        return cls(combination.documents, combination.components)

    def kind(self, *kinds: str) -> list[Document]:
        """The documents of a kind."""
        return [document for document in self.documents if document["kind"] in kinds]

    @property
    def workloads(self) -> list[Document]:
        """Those that make pods."""
        return workloads(self.documents)


@cache
def _documents(combination: Combination) -> list[Document]:
    if not combination.added:
        return rendered(combination.overlay)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        asked = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(combination.overlay, folder)],
            "components": [os.path.relpath(path, folder) for path in combination.added],
        }
        (folder / FILE).write_text(yaml.safe_dump(asked))
        return rendered(folder)


def _every() -> Iterator[Combination]:
    for overlay in OVERLAYS:
        there = set(parts(overlay))
        others = [path for path in COMPONENTS if path not in there]
        for size in range(len(others) + 1):
            yield from (Combination(overlay, added) for added in combinations(others, size))


COMBINATIONS = list(_every())
# Each overlay with all there is, in which every document of it is somehow.
FULLEST = [
    max((one for one in COMBINATIONS if one.overlay == path), key=lambda one: len(one.added)) for path in OVERLAYS
]
