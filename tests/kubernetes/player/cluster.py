"""A cluster of one node: takes the documents of a manifest, and keeps to them until it is closed."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker

from tests.kubernetes.player.deployment import Deployment
from tests.kubernetes.player.network import Cables
from tests.kubernetes.player.pod import Pod
from tests.kubernetes.player.reading import RefusedError
from tests.kubernetes.player.volumes import Claim, Things

Document = Mapping[str, Any]
# What pods need comes before them.
_FIRST = ("Namespace", "ServiceAccount", "ConfigMap", "Secret", "PersistentVolumeClaim", "NetworkPolicy", "Service")
_LEFT_OUT = ("PodDisruptionBudget",)


class Cluster:
    """All pods of a manifest. Its claims are folders below its own, unless others are given by name."""

    def __init__(self, folder: Path, claims: Mapping[str, Claim] | None = None) -> None:
        self.folder, self.name = folder, f"grin-play-{os.getpid()}-{secrets.token_hex(2)}"
        self.labels, self.label = {"grin-play": self.name}, f"grin-play={self.name}"
        self.client = docker.from_env(max_pool_size=100)
        self.things, self.accounts = Things(claims=dict(claims or {})), set[str]()
        self.deployments: dict[str, Deployment] = {}
        self.history: list[Pod] = []
        self.troubles: list[Exception] = []
        self.mounting, self._lock, self._closed = threading.Lock(), threading.RLock(), threading.Event()
        self.cables = Cables(self.client, self.name, self.labels)
        self._controller = threading.Thread(target=self._control, name="controller", daemon=True)
        self._controller.start()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._controller.join()
        for pod in self.history:
            pod.delete()
        end = time.monotonic() + 30
        # Some are being made at this moment.
        while not all(pod.gone for pod in self.history) and time.monotonic() < end:
            for container in self.client.containers.list(all=True, sparse=True, filters={"label": self.label}):
                with suppress(docker.errors.APIError):
                    container.remove(force=True)
            time.sleep(0.1)
        self.cables.close()
        self.client.close()

    # --- what a person orders ---

    def apply(self, documents: Iterable[Document]) -> None:
        """`kubectl apply`: what is new is made, what has changed is rolled out."""
        whole = list(documents)
        with self._lock:
            for kind in _FIRST:
                for document in (one for one in whole if one["kind"] == kind):
                    self._take(document)
            for document in whole:
                if document["kind"] == "Deployment":
                    self._deploy(document)
                elif document["kind"] not in (*_FIRST, *_LEFT_OUT):
                    raise RefusedError(f"The player does not know {document['kind']}.")

    def scale(self, **replicas: int) -> None:
        """`kubectl scale`."""
        with self._lock:
            for name, count in replicas.items():
                self.deployments[name].replicas = count

    def _take(self, document: Document) -> None:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind == "ServiceAccount":
            self.accounts.add(name)
        elif kind == "PersistentVolumeClaim":
            self._claim(name)
        elif kind in ("ConfigMap", "Secret"):
            self.things.add(document)
        else:
            self.cables.add(document)

    def _claim(self, name: str) -> None:
        if name not in self.things.claims:
            path = self.folder / "claims" / name
            path.mkdir(parents=True)
            os.chown(path, 0, 0)
            path.chmod(0o755)
            self.things.claims[name] = Claim(path)

    def _deploy(self, document: Document) -> None:
        name = document["metadata"]["name"]
        if name in self.deployments:
            self.deployments[name].apply(document)
        else:
            self.deployments[name] = Deployment(self, document)

    # --- what it does by itself ---

    def _control(self) -> None:
        while not self._closed.wait(0.1):
            try:
                with self._lock:
                    for deployment in self.deployments.values():
                        deployment.reconcile()
            except Exception as error:  # noqa: BLE001 - told to whoever waits
                self.troubles.append(error)
                return

    def all_labels(self) -> list[Mapping[str, str]]:
        """The labels of all pods that there are or will be."""
        return [one.template["metadata"]["labels"] for one in self.deployments.values()]

    # --- what is seen ---

    def pods(self, *names: str) -> list[Pod]:
        """The pods of these Deployments, of all without a name; those that are ending, too."""
        with self._lock:
            return [pod for name in names or self.deployments for pod in self.deployments[name].pods]

    def pod(self, name: str) -> Pod:
        """The oldest pod of a Deployment that is meant to stay."""
        return next(pod for pod in self.pods(name) if not pod.deleted)

    def settled(self, *names: str) -> bool:
        """Whether these Deployments, or all, are as they should be."""
        with self._lock:
            return all(self.deployments[name].settled for name in names or self.deployments)

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for it; how long it took, in seconds. When it does not come, the pods' events say why."""
        began = time.monotonic()
        while not condition():
            if self.troubles:
                raise self.troubles[0]
            assert time.monotonic() - began < seconds, f"{what}: not within {seconds:g} s.\n{self.told()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def told(self) -> str:
        """What has happened to each pod."""
        return "\n".join(pod.told() for pod in self.pods())
