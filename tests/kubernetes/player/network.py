"""Services and network policies, as far as an engine's networks can keep them.

All pods hang on one network, where the kubelet reaches each and none reaches another or the world. Each Service has a
network of its own: a pod is there under the Service's name while it is ready, and whoever may reach it is there, too.
So a policy holds by pod, but not by port; and pods that may ask the same Service could also ask one another there.
A pod that is not ready any more leaves the network, and with it go the connections that Kubernetes would keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import docker
from docker.models.containers import Container
from docker.models.networks import Network

from tests.kubernetes.player.reading import RefusedError, just, matches, only

Labels = Mapping[str, str]
_SILENT = {"com.docker.network.bridge.enable_icc": "false"}


class Service:
    """A name for pods that are ready."""

    def __init__(self, document: Mapping[str, Any], network: Network) -> None:
        self.name, namespace = (document["metadata"][key] for key in ("name", "namespace"))
        only(f"Service {self.name}", document["spec"], "ports", "selector", "type")
        just("A Service's type", document["spec"].get("type", "ClusterIP"), "ClusterIP")
        self.selector: Labels = document["spec"]["selector"]
        self.ports: list[dict[str, Any]] = document["spec"]["ports"]
        self.network = network
        ends = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
        self.aliases = [self.name + end for end in ends]

    def chooses(self, labels: Labels) -> bool:
        """Whether a pod with these labels stands behind it."""
        return matches({"matchLabels": self.selector}, labels)

    def check(self, container: Mapping[str, Any]) -> None:
        """An engine's network name stands for the pod itself, so that no port can be another inside."""
        named = {port.get("name"): port["containerPort"] for port in container.get("ports", ())}
        for port in self.ports:
            only(f"Service {self.name}", port, "name", "port", "targetPort", "protocol")
            target = port.get("targetPort", port["port"])
            just(f"Service {self.name}, the pod's port", named.get(target, target), port["port"])

    def variables(self) -> dict[str, str]:
        """What every pod has in its environment, unless it says that it wants none."""
        name, port = self.name.upper().replace("-", "_"), self.ports[0]["port"]
        url = f"tcp://{self.name}:{port}"
        return {f"{name}_SERVICE_HOST": self.name, f"{name}_SERVICE_PORT": str(port), f"{name}_PORT": url}


class Cables:
    """The networks of a cluster, and who is on which."""

    def __init__(self, client: docker.DockerClient, name: str, labels: Labels) -> None:
        self._client, self._name, self._labels = client, name, labels
        self.node = self._made("node", _SILENT)
        self.services: dict[str, Service] = {}
        self.policies: list[Mapping[str, Any]] = []
        self._namespaces: dict[str, Labels] = {}

    def _made(self, name: str, options: Labels | None = None) -> Network:
        whole = {"internal": True, "labels": dict(self._labels), "options": dict(options or {})}
        return self._client.networks.create(f"{self._name}-{name}", **whole)

    def add(self, document: Mapping[str, Any]) -> None:
        """A Service, a NetworkPolicy or the namespace of the manifest."""
        name = document["metadata"]["name"]
        if document["kind"] == "NetworkPolicy":
            only(f"NetworkPolicy {name}", document["spec"], "podSelector", "policyTypes", "ingress", "egress")
            self.policies.append(document["spec"])
        elif document["kind"] == "Namespace":
            self._namespaces[name] = document["metadata"].get("labels", {})
        elif name not in self.services:
            self.services[name] = Service(document, self._made(f"service-{name}"))

    def behind(self, labels: Labels) -> list[Service]:
        """The Services that a pod stands behind."""
        return [service for service in self.services.values() if service.chooses(labels)]

    def before(self, labels: Labels, others: Sequence[Labels]) -> list[Service]:
        """The Services that a pod may ask, by what the policies say of it and of the pods behind them."""
        asked = {
            service.name
            for service in self.services.values()
            for other in others
            if service.chooses(other) and not service.chooses(labels) and self.may_reach(labels, other)
        }
        return [service for service in self.services.values() if service.name in asked]

    def may_reach(self, here: Labels, there: Labels) -> bool:
        """Whether the one may send, and the other receive."""
        return self._lets("Egress", "to", here, there) and self._lets("Ingress", "from", there, here)

    def _lets(self, way: str, peers: str, subject: Labels, other: Labels) -> bool:
        ours = [one for one in self.policies if way in one["policyTypes"] and matches(one["podSelector"], subject)]
        rules = [rule for policy in ours for rule in policy.get(way.lower()) or ()]
        for rule in rules:
            only(f"A rule of {way}", rule, peers, "ports")
        return not ours or any(not rule.get(peers) or any(_is(peer, other) for peer in rule[peers]) for rule in rules)

    def connect(self, container: Container, service: Service, as_backend: bool) -> None:
        """Let a container ask a Service, or stand behind it."""
        service.network.connect(container, aliases=service.aliases if as_backend else None)

    def disconnect(self, container: Container, service: Service) -> None:
        """Take a container away from behind a Service; it may be gone already."""
        try:
            service.network.disconnect(container, force=True)
        except docker.errors.APIError as error:
            if error.status_code not in (403, 404, 409, 500):
                raise

    def close(self) -> None:
        """Take the networks away."""
        for network in (self.node, *(service.network for service in self.services.values())):
            network.remove()


def _is(peer: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a peer is this pod; other namespaces and addresses outside are nobody here."""
    only("A peer", peer, "podSelector", "namespaceSelector", "ipBlock")
    if not peer:
        raise RefusedError("A peer that says nothing.")
    return set(peer) == {"podSelector"} and matches(peer["podSelector"], labels)
