"""The demo as its overlay has it, played; and what a person would look at and strike in it."""

from __future__ import annotations

import copy
import os
import random
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from docker.errors import APIError

from tests.containers.copies import Copy
from tests.containers.project import BOOKS, INPUT, LAST, POISONED, STAGES
from tests.deploy.compose_file import ROOT
from tests.e2e.conftest import Grin
from tests.kubernetes.player.cluster import Cluster
from tests.kubernetes.player.pod import Pod
from tests.kubernetes.player.volumes import Claim
from tests.kubernetes.rendered import rendered
from tests.kubernetes.workloads import Document, labels, name, pod, workloads

DEMO = ROOT / "k8s" / "overlays" / "demo"
# Probes ask more often than the manifest says, so that the tests wait less.
PERIODS = {"startupProbe": 1, "readinessProbe": 1, "livenessProbe": 2}
PATIENCE = 150


def hurried(documents: list[Document], **graces: int) -> list[Document]:
    """A copy whose probes ask more often; `graces` says for whom three failures are enough, and how long it may end."""
    whole = copy.deepcopy(documents)
    for workload in workloads(whole):
        spec = pod(workload)
        if "minReadySeconds" in workload["spec"]:
            workload["spec"]["minReadySeconds"] = 1
        for probe, period in PERIODS.items():
            spec["containers"][0][probe]["periodSeconds"] = period
        if name(workload) in graces:
            sooner = {
                "failureThreshold": 3,
                "timeoutSeconds": 2,
                "terminationGracePeriodSeconds": graces[name(workload)],
            }
            spec["containers"][0]["livenessProbe"] |= sooner
    return whole


def changed_setting(folder: Path, literal: str) -> list[Document]:
    """The demo as somebody has it who has changed one setting in an overlay of their own."""
    whole = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "grin-demo",
        "resources": [os.path.relpath(DEMO, folder.resolve())],
        "configMapGenerator": [{"name": "grin-pipeline-settings", "behavior": "merge", "literals": [literal]}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return rendered(folder)


class Board(Copy):
    """The claim's folder itself, read as the tests of the pipeline read their own folders."""

    def __init__(self, claim: Path) -> None:
        self.folder, self.root = claim, claim / "pipeline"


class Demo(Cluster):
    """The demo under way."""

    def __init__(self, folder: Path, claims: Mapping[str, Claim] | None = None) -> None:
        super().__init__(folder, claims)
        self.killed = set[str]()
        self.dice = random.Random(os.environ.get("PLAY_SEED", "7"))

    @property
    def board(self) -> Board:
        """The board, as it is now."""
        return Board(self.things.claims["grin-pipeline-data"].path)

    def grin(self, folder: Path) -> Grin:
        """What the simulator's pod has recorded of its books."""
        shutil.copytree(self.pod("simulator").volumes["grin"].path / "books", folder / "library" / "books")
        return Grin(folder, {}, folder)

    def order(self, *command: str) -> None:
        """`kubectl exec deploy/orchestrator -- grin-pipeline …`, again where it is struck at that moment."""

        def done() -> bool:
            with suppress(APIError):
                return any(one.ask("grin-pipeline", *command)[0] == 0 for one in self.pods("orchestrator") if one.ready)
            return False

        self.until(done, PATIENCE, f"The order to {' '.join(command)}")

    # --- how far it is ---

    def places(self) -> list[str]:
        """Where each book is."""
        return [place for found in self.board.tokens().values() for place, _ in found]

    def home(self) -> bool:
        """Whether every book has come to its end."""
        places = self.places()
        bad = sum(place.endswith("/failed") for place in places)
        return (len(places), places.count(LAST), bad) == (BOOKS, BOOKS - POISONED, POISONED)

    def before(self, stage: str) -> int:
        """How many books have not got past a stage, those that have failed left out."""
        at = list(INPUT.values()).index(INPUT[stage])
        ours = tuple(list(INPUT.values())[: at + 1])
        return sum(place.startswith(ours) and not place.endswith("/failed") for place in self.places())

    def at_work(self, stage: str) -> list[str]:
        """The claims that a stage's workers hold."""
        return [path.name for path in (self.board.root / INPUT[stage] / "working").glob("*")]

    def until_settled(self, what: str, *names: str) -> float:
        """Until these Deployments, or all, are as they should be; how long it took, in seconds."""
        return self.until(lambda: self.settled(*names), PATIENCE, what)

    def roll(self, documents: list[Document]) -> float:
        """A rolling update; how long it took, in seconds."""
        self.apply(documents)
        return self.until_settled("All rolled out")

    def overlap(self, stage: str) -> float:
        """How long old and new pods of a stage were on the board together in its last update, in seconds.

        Each old pod that was ready has waited for a new one that took its place.
        """
        template = self.pod(stage).labels["pod-template-hash"]
        ours = [one for one in self.history if one.labels["app.kubernetes.io/name"] == stage and one.first_ready]
        new = sorted(one.first_ready for one in ours if one.labels["pod-template-hash"] == template)
        old = sorted(one.deleted_at for one in ours if one.labels["pod-template-hash"] != template)[-len(new) :]
        assert all(gone >= came for gone, came in zip(old, new, strict=True)), (stage, old, new)
        return max(one.gone_at for one in ours if one.labels["pod-template-hash"] != template) - new[0]

    # --- how it is struck ---

    def kill(self, one: Pod) -> bool:
        """kill -9 of the first process; false where there is none at this moment."""
        pid = one.pid()
        with suppress(ProcessLookupError):
            if pid:
                self.killed.add(one.name)
                one.say("Killed.")
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill_one(self) -> str:
        """Kill the first process of a pod at random, of one that has a book in hand if there is any; the pod's name."""
        claims = " ".join(claim for stage in STAGES for claim in self.at_work(stage))
        ready = [one for one in self.pods() if one.ready]
        holding = [one for one in ready if one.name in claims]
        chosen = self.dice.sample(ready, len(ready))
        # Whoever has just been struck may have no process yet.
        return next(one.name for one in (*self.dice.sample(holding, len(holding)), *chosen) if self.kill(one))

    def delete_one(self) -> str:
        """Delete a pod at random; not the simulator's, whose books would be gone with it, nor one that was killed."""
        ready = [one for one in self.pods("orchestrator", *STAGES) if one.ready and one.name not in self.killed]
        one = self.dice.choice(ready)
        one.delete()
        return one.name

    def stop_at_work(self, stage: str) -> tuple[Pod, str]:
        """Stop the first process of a stage's only pod while it has a book in hand; the pod, and the claim's name."""
        one = self.pod(stage)
        found: list[str] = []

        def caught() -> bool:
            os.kill(one.pid(), signal.SIGSTOP)
            found[:] = self.at_work(stage)
            if not found:
                os.kill(one.pid(), signal.SIGCONT)
            return bool(found)

        self.until(caught, PATIENCE, f"A book in the {stage}'s hands")
        return one, found[0]


def only(documents: list[Document], *deployments: str) -> list[Document]:
    """A manifest without all other Deployments."""
    return [one for one in documents if one["kind"] != "Deployment" or name(one) in deployments]


def spec_of(documents: list[Document], one: Pod) -> dict[str, Any]:
    """The pod spec that a pod was made from."""
    key = "app.kubernetes.io/name"
    return next(pod(document) for document in workloads(documents) if labels(document)[key] == one.labels[key])
