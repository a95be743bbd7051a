"""What the controllers of Deployments and ReplicaSets do with pods."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.kubernetes.player.pod import Pod
from tests.kubernetes.player.reading import just, only

if TYPE_CHECKING:
    from tests.kubernetes.player.cluster import Cluster

# Kubernetes takes these letters, so that no name becomes a word.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def hash_of(template: Mapping[str, Any]) -> str:
    """The same ten letters for the same pod template."""
    number = int.from_bytes(hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()[:8], "big")
    return "".join(_ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(10))


class ReplicaSet:
    """So many pods of one template."""

    def __init__(self, cluster: Cluster, owner: str, template: Mapping[str, Any]) -> None:
        self.hash, self.size, self.pods = hash_of(template), 0, list[Pod]()
        self._cluster, self._name = cluster, f"{owner}-{self.hash}"
        self._template = copy.deepcopy(dict(template))
        self._template["metadata"]["labels"]["pod-template-hash"] = self.hash

    def active(self) -> list[Pod]:
        """Those that are meant to stay."""
        return [pod for pod in self.pods if not pod.deleted]

    def ready(self, proven: float = 0) -> list[Pod]:
        """Those that take part, and have done so for some seconds."""
        now = time.monotonic()
        return [pod for pod in self.pods if pod.ready and now - pod.ready_since >= proven]

    def reconcile(self) -> None:
        """Make what is missing, and delete what is too much: not ready first, then the newest."""
        self.pods = [pod for pod in self.pods if not pod.gone]
        pods = sorted(self.active(), key=_worth)
        for pod in pods[: max(0, len(pods) - self.size)]:
            pod.delete()
        for _ in range(self.size - len(pods)):
            ending = "".join(secrets.choice(_ALPHABET) for _ in range(5))
            self.pods.append(Pod(self._cluster, f"{self._name}-{ending}", self._template))
            self._cluster.history.append(self.pods[-1])


def _worth(pod: Pod) -> tuple[bool, bool, float, int, float]:
    """As ReplicaSets rank pods, the first to go first; within a power of two of age they draw lots, which we do not."""
    return pod.running, pod.ready, -pod.ready_since, -pod.restarts, -pod.created


class Deployment:
    """One ReplicaSet for each template there was, and how pods go over from the old to the new."""

    def __init__(self, cluster: Cluster, document: Mapping[str, Any]) -> None:
        self.name = str(document["metadata"]["name"])
        self._cluster = cluster
        self.replicas, self.sets = 1, list[ReplicaSet]()
        self.apply(document)

    def apply(self, document: Mapping[str, Any]) -> None:
        """Take a new manifest; where it says no number of replicas, the number stays as somebody has scaled it."""
        spec = document["spec"]
        known = ("replicas", "selector", "strategy", "template", "minReadySeconds")
        only(f"Deployment {self.name}", spec, *known, left_out=["revisionHistoryLimit"])
        self.replicas = spec.get("replicas", self.replicas)
        self._strategy = spec.get("strategy", {})
        self._proven = spec.get("minReadySeconds", 0)
        self.rolling = self._strategy.get("type", "RollingUpdate") == "RollingUpdate"
        just("strategy", self._strategy.get("type", "RollingUpdate"), "RollingUpdate", "Recreate")
        self.template = spec["template"]
        current = next((one for one in self.sets if one.hash == hash_of(self.template)), None)
        self.sets = [one for one in self.sets if one is not current]
        self.sets.append(current or ReplicaSet(self._cluster, self.name, self.template))

    @property
    def pods(self) -> list[Pod]:
        """All of its pods, those that are ending too."""
        return [pod for one in self.sets for pod in one.pods]

    @property
    def settled(self) -> bool:
        """Whether all pods are of the newest template, as many as there should be, and ready."""
        *old, new = self.sets
        return not any(one.pods for one in old) and len(new.pods) == len(new.ready(self._proven)) == self.replicas

    def reconcile(self) -> None:
        """One step towards what is wanted."""
        *old, new = self.sets
        if self.rolling:
            self._roll(old, new)
        else:
            for one in old:
                one.size = 0
            # The old ones are really gone before a new one comes.
            if not any(one.pods for one in old):
                new.size = self.replicas
        for one in self.sets:
            one.reconcile()

    def _roll(self, old: list[ReplicaSet], new: ReplicaSet) -> None:
        update = self._strategy.get("rollingUpdate", {})
        only("rollingUpdate", update, "maxSurge", "maxUnavailable")
        surge = self._share(update.get("maxSurge", "25%"), math.ceil)
        unavailable = self._share(update.get("maxUnavailable", "25%"), math.floor)
        total = sum(one.size for one in self.sets)
        more = min(self.replicas + surge - total, self.replicas - new.size)
        new.size = self.replicas if new.size > self.replicas else new.size + max(0, more)
        proven = {one.hash: len(one.ready(self._proven)) for one in self.sets}
        spare = sum(one.size for one in self.sets) - (self.replicas - unavailable) - (new.size - proven[new.hash])
        for one in old:
            # Whoever is not ready does no work, and goes first.
            idle = min(one.size - proven[one.hash], max(0, spare))
            one.size, spare = one.size - idle, spare - idle
        spare = sum(proven.values()) - (self.replicas - unavailable)
        for one in old:
            fewer = min(one.size, max(0, spare))
            one.size, spare = one.size - fewer, spare - fewer

    def _share(self, said: int | str, rounded: Any) -> int:
        return said if isinstance(said, int) else int(rounded(self.replicas * int(said.rstrip("%")) / 100))
