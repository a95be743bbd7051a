"""A pod, from its volumes to its end, as a kubelet keeps it: in a thread of its own."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import NotFound
from docker.models.containers import Container

from tests.kubernetes.player.container import arguments, words
from tests.kubernetes.player.probes import Probes
from tests.kubernetes.player.rules import BackOff, check_spec
from tests.kubernetes.player.volumes import Volume, made

if TYPE_CHECKING:
    from tests.kubernetes.player.cluster import Cluster


@dataclass(frozen=True)
class News:
    """Something that a pod has to act upon: of one of its containers, or that it is to go."""

    kind: str
    container: str = ""
    text: str = ""


class Pod:
    """One pod. What has happened to it is in `events`, as `kubectl describe` would tell it."""

    def __init__(self, cluster: Cluster, name: str, template: Mapping[str, Any]) -> None:
        self.cluster, self.name = cluster, name
        self.spec: Mapping[str, Any] = template["spec"]
        self.labels: Mapping[str, str] = template["metadata"]["labels"]
        self.security: Mapping[str, Any] = self.spec.get("securityContext", {})
        self.folder: Path = cluster.folder / "pods" / name
        self.created, self.ready_since, self.restarts = time.monotonic(), 0.0, 0
        self.exit_code: int | None = None
        self.first_ready, self.deleted_at, self.gone_at = 0.0, 0.0, 0.0
        self.main: Container | None = None
        self._on_duty: Container | None = None
        self.events: list[str] = []
        self.volumes: dict[str, Volume] = {}
        self._lock = threading.Lock()
        self._news: queue.Queue[News] = queue.Queue()
        self._counter = 0
        check_spec(self.spec, cluster.accounts)
        for service in cluster.cables.behind(self.labels):
            service.check(self.spec["containers"][0])
        threading.Thread(target=self._live, name=name, daemon=True).start()

    @property
    def deleted(self) -> bool:
        """Whether somebody has deleted it."""
        return bool(self.deleted_at)

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left."""
        return bool(self.gone_at)

    @property
    def ready(self) -> bool:
        """Whether it takes part: it is meant to stay, and its readiness probe says so."""
        return bool(self.ready_since) and not self.deleted

    @property
    def running(self) -> bool:
        """Whether its main container has been started."""
        return self.main is not None

    def delete(self) -> None:
        """Let it end within its grace; it counts no more from now on."""
        if not self.deleted:
            self.deleted_at = time.monotonic()
            self.say("Deleted.")
            self._news.put(News("delete"))

    def ask(self, *command: str) -> tuple[int, str]:
        """Run something inside of its main container, as the same user."""
        assert self.main is not None
        answer = self.main.exec_run(list(command))
        return int(answer.exit_code or 0), str(answer.output.decode())

    def pid(self) -> int:
        """The process id, as the host counts, of its main container's first process; 0 when there is none."""
        try:
            return int(self.cluster.client.api.inspect_container(self.main.id)["State"]["Pid"]) if self.main else 0
        except NotFound:
            return 0

    # --- its life ---

    def _live(self) -> None:
        try:
            if self._mount() and all(self._to_its_end(spec) for spec in self.spec.get("initContainers", ())):
                self._keep_up(self.spec["containers"][0])
        except Exception as error:  # noqa: BLE001 - a thread's error is the cluster's
            self.cluster.troubles.append(error)
        finally:
            self._leave_duty()
            self.main = None
            for volume in self.volumes.values():
                volume.drop()
            self.gone_at = time.monotonic()

    def _mount(self) -> bool:
        folder = self.folder / "volumes"
        for spec in self.spec.get("volumes", ()):
            with self.cluster.mounting:
                self.volumes[spec["name"]] = made(spec, folder, self.cluster.things, self.security)
        return True

    def _to_its_end(self, spec: Mapping[str, Any]) -> bool:
        """An init container until it has ended well; false when the pod is to go."""
        back_off = BackOff()
        while True:
            container = self._start(spec)
            news = self._next(container)
            if news.kind == "delete":
                self._end(container)
                return False
            code, said = self._remove(container)
            if code == 0:
                return True
            self.say(f"{spec['name']} has ended with {code}: {said}")
            if not self._waited(back_off.wait()):
                return False

    def _keep_up(self, spec: Mapping[str, Any]) -> None:
        """The main container, again and again until the pod is to go."""
        back_off = BackOff()
        while True:
            container = self.main = self._on_duty = self._start(spec, services=True)
            unhealthy = functools.partial(self._hear, container)
            probes = Probes(spec, self._address(container), self._set_ready, unhealthy)
            news = self._next(container)
            probes.stop()
            self._leave_duty()
            if news.kind != "ended":
                self._end(container, self._grace(spec, news), remove=False)
            code, said = self._remove(container)
            self.say(f"{spec['name']}: {news.kind} {news.text}, exit code {code}: {said}")
            if news.kind == "delete":
                self.exit_code = code
            if news.kind == "delete" or not self._waited(back_off.wait()):
                return
            self.restarts += 1

    # --- its containers ---

    def _start(self, spec: Mapping[str, Any], services: bool = False) -> Container:
        cluster = self.cluster
        told = arguments(spec, self.security, self.volumes, cluster.things)
        if self.spec.get("enableServiceLinks", True):
            for service in cluster.cables.services.values():
                told["environment"] = {**service.variables(), **told["environment"]}
        self._counter += 1
        name = f"{cluster.name}-{self.name}-{spec['name']}-{self._counter}"
        where = {"network": cluster.cables.node.name, "hostname": self.name, "labels": cluster.labels}
        # A kubelet leaves health to the manifest's probes.
        container = cluster.client.containers.create(name=name, healthcheck={"test": ["NONE"]}, **where, **told)
        for service in cluster.cables.before(self.labels, cluster.all_labels()) if services else ():
            cluster.cables.connect(container, service, as_backend=False)
        container.start()
        self.say(f"{spec['name']} started.")
        threading.Thread(target=self._await, args=(container,), daemon=True).start()
        return container

    def _await(self, container: Container) -> None:
        with suppress(NotFound):
            container.wait(timeout=None)
        self._news.put(News("ended", container.id))

    def _next(self, container: Container) -> News:
        """The next news of this container; what is said of one before it is late."""
        while True:
            news = self._news.get()
            if news.kind == "delete" or news.container == container.id:
                return news

    def _waited(self, seconds: float) -> bool:
        """Whether the time went by without the order to go."""
        end = time.monotonic() + seconds
        while not self.deleted:
            try:
                self._news.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return True
        return False

    def _grace(self, spec: Mapping[str, Any], news: News) -> int | None:
        """How long a probe gives a container that it ends; None: as long as the pod does."""
        probe = spec.get(f"{news.text.partition(':')[0]}Probe", {}) if news.kind == "unhealthy" else {}
        found: int | None = probe.get("terminationGracePeriodSeconds")
        return found

    def _end(self, container: Container, grace: int | None = None, *, remove: bool = True) -> None:
        """SIGTERM, and SIGKILL when the grace is over."""
        own = self.spec.get("terminationGracePeriodSeconds", 30)
        container.stop(timeout=own if grace is None else grace)
        if remove:
            self._remove(container)

    def _remove(self, container: Container) -> tuple[int, str]:
        container.reload()
        code, said = container.attrs["State"]["ExitCode"], words(container)
        container.remove(force=True)
        return code, said

    def _address(self, container: Container) -> str:
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][self.cluster.cables.node.name]["IPAddress"])

    def _hear(self, container: Container, text: str) -> None:
        self._news.put(News("unhealthy", container.id, text))

    def _leave_duty(self) -> None:
        """Whatever a probe says of the container from now on comes too late."""
        self._set_ready(False)
        with self._lock:
            self._on_duty = None

    def _set_ready(self, well: bool) -> None:
        with self._lock:
            container = self._on_duty
            if well == bool(self.ready_since) or container is None:
                return
            self.ready_since = time.monotonic() if well else 0.0
            self.first_ready = self.first_ready or self.ready_since
            self.say("Ready." if well else "Not ready.")
            for service in self.cluster.cables.behind(self.labels):
                if well:
                    self.cluster.cables.connect(container, service, as_backend=True)
                else:
                    self.cluster.cables.disconnect(container, service)

    def told(self) -> str:
        """Its events, and the last words of its main container."""
        with suppress(NotFound):
            return "\n  ".join([self.name, *self.events, *([words(self.main, 8)] if self.main else [])])
        return self.name

    def say(self, text: str) -> None:
        """Tell an event, with the time since it was made."""
        self.events.append(f"{time.monotonic() - self.created:.1f} s: {text}")
