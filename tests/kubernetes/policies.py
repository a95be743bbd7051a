"""What a whole render lets happen: who reaches whom, what a drain may do, how long a worker may take to stop.

A rule a function, over all documents of a combination: it yields what is wrong, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from ipaddress import ip_network
from typing import Any

import yaml

from common.settings import GlobalSettings
from tests.kubernetes.combinations import Render
from tests.kubernetes.player.reading import matches
from tests.kubernetes.references import ports
from tests.kubernetes.rules import CONFIG, on_board, reads_a_secret
from tests.kubernetes.surroundings import environment
from tests.kubernetes.workloads import STAGE, Document, component, containers, in_line, labels, name, pod, title

Rule = Callable[[Render], Iterator[str]]
RULES: dict[str, Rule] = {}

NETWORK = "network-policies"
# The cluster itself, the node, a cloud's metadata, and whatever else is nobody's but the library's.
INSIDE = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "::/8", "fc00::/7", "fe80::/10"),
    )
]
DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
# Who tells names, and at which port: the cluster's pods, the node itself, Google's network, OpenShift's pods.
NAMES: dict[str, tuple[Document, int]] = {
    "names by kube-dns": (DNS, 53),
    "names by NodeLocal DNSCache": ({"ipBlock": {"cidr": "169.254.20.10/32"}}, 53),
    "names by Cloud DNS": ({"ipBlock": {"cidr": "169.254.169.254/32"}}, 53),
    "names by OpenShift": (
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}},
        5353,
    ),
}
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
SIMULATOR = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "simulator"}}}
HTTPS = {("TCP", 443)}
WORLD = {"the world by https, IPv4", "the world by https, IPv6"}
ASKERS = {"downloader", "orchestrator"}
ENFORCED = {f"pod-security.kubernetes.io/{how}": "restricted" for how in ("enforce", "warn", "audit")}


def rule(check: Rule) -> Rule:
    """Enters a rule under its function's name."""
    RULES[check.__name__] = check
    return check


def networked(check: Rule) -> Rule:
    """A rule for renders with the network policies."""

    def only(render: Render) -> Iterator[str]:
        if NETWORK in render.components:
            yield from check(render)

    RULES[check.__name__] = only
    return only


def ways(render: Render, workload: Document, direction: str) -> list[Document] | None:
    """What policies let a pod do in a direction, added up; None where no policy says anything, and all is allowed."""
    selecting = [
        policy["spec"]
        for policy in render.kind("NetworkPolicy")
        if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], labels(workload))
    ]
    return [way for spec in selecting for way in spec.get(direction.lower()) or ()] if selecting else None


def _open(way: Document) -> set[tuple[str, Any]]:
    return {(port.get("protocol", "TCP"), port.get("port")) for port in way.get("ports") or [{}]}


@networked
def deny_all(render: Render) -> Iterator[str]:
    """Nobody reaches anybody unless another policy says so."""
    whole: Document = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(one["spec"] == whole for one in render.kind("NetworkPolicy")):
        yield "nothing is denied by default"


@networked
def outside(render: Render) -> Iterator[str]:
    """Only who asks GRIN, or an object store, reaches the world, by https, and names; the others reach nobody."""
    allowed = ASKERS | ({"uploader", "audit"} if "s3" in render.components else set())
    for workload in render.workloads:
        reaches = _reaches(render, workload)
        wanted = {*NAMES, *WORLD} if name(workload) in allowed else set()
        if any(name(one) == "simulator" for one in render.workloads) and name(workload) in {
            "downloader",
            "orchestrator",
        }:
            wanted.add("the demo's GRIN")
        if reaches != wanted:
            yield f"{title(workload)} reaches {sorted(reaches)}, and needs {sorted(wanted)}"


def _reaches(render: Render, workload: Document) -> set[str]:
    every = ways(render, workload, "Egress")
    return {_reached(peer, _open(way)) for way in ([{}] if every is None else every) for peer in way.get("to") or [{}]}


def _reached(peer: Document, open_: set[tuple[str, Any]]) -> str:
    if told := _tells_names(peer, open_):
        return told
    if set(peer) == {"ipBlock"} and open_ == HTTPS:
        return f"the world by https, IPv{ip_network(peer['ipBlock']['cidr']).version}"
    if peer == SIMULATOR and open_ == {("TCP", "http")}:
        return "the demo's GRIN"
    return f"{peer or 'everybody'} at {sorted(map(str, open_))}"


def _tells_names(peer: Document, open_: set[tuple[str, Any]]) -> str:
    """Which of NAMES it is; empty when it is none."""
    found = (way for way, (who, port) in NAMES.items() if (peer, open_) == (who, {("UDP", port), ("TCP", port)}))
    return next(found, "")


@rule
def nothing_inside(render: Render) -> Iterator[str]:
    """The world is what is outside: not the cluster, not the node, not a cloud's metadata, in either address family."""
    for policy in render.kind("NetworkPolicy"):
        for way in policy["spec"].get("egress") or ():
            for peer in way.get("to") or ():
                block = peer.get("ipBlock")
                if block and not _tells_names(peer, _open(way)):
                    yield from (f"{title(policy)} opens {net}" for net in _within(block))


def _within(block: Document) -> Iterator[Any]:
    opened = ip_network(block["cidr"])
    spared = [ip_network(text) for text in block.get("except", ())]
    for net in INSIDE:
        if net.version == opened.version and net.overlaps(opened):
            same = [one for one in spared if one.version == net.version]
            if not any(net.subnet_of(one) for one in same):  # type: ignore[arg-type]
                yield net


@networked
def visitors(render: Render) -> Iterator[str]:
    """The line's pods are visited only from the namespace of the monitoring, and only where they give figures."""
    for workload in render.workloads:
        seen = [
            (peer, port)
            for way in ways(render, workload, "Ingress") or ()
            for peer in way.get("from") or [{}]
            for _, port in _open(way)
            if port is None or isinstance(port, int) or port in ports(workload)
        ]
        for peer, port in seen:
            if in_line(workload) and (peer, port) != (
                MONITORING,
                "metrics" if component(workload) == STAGE else "board",
            ):
                yield f"{title(workload)} is visited by {peer or 'everybody'} at {port}"
        if in_line(workload) and not seen:
            yield f"{title(workload)} gives figures to nobody"


@rule
def simulated(render: Render) -> Iterator[str]:
    """The demo's GRIN is asked by those who ask GRIN, and itself asks nobody."""
    for workload in (one for one in render.workloads if name(one) == "simulator"):
        if ways(render, workload, "Egress") != []:
            yield "the simulator reaches somebody"
        for way in ways(render, workload, "Ingress") or [{}]:
            askers = {
                name(one)
                for peer in way.get("from") or ()
                for one in render.workloads
                if set(peer) == {"podSelector"} and matches(peer["podSelector"], labels(one))
            }
            if askers != ASKERS or _open(way) != {("TCP", "http")}:
                yield f"the simulator is asked by {sorted(askers) or 'everybody'} at {_open(way)}"
        for asker in (one for one in render.workloads if name(one) in ASKERS):
            if _reaches(render, asker) - WORLD != {*NAMES, "the demo's GRIN"}:
                yield f"{title(asker)} reaches {sorted(_reaches(render, asker))}"


@rule
def enforced(render: Render) -> Iterator[str]:
    """The cluster itself refuses a pod in this namespace that is less careful."""
    for one in render.kind("Namespace"):
        if not ENFORCED.items() <= one["metadata"].get("labels", {}).items():
            yield f"{title(one)} does not enforce restricted"


@rule
def drains(render: Render) -> Iterator[str]:
    """Every Deployment of the line has one disruption budget, and no budget ever blocks a drain."""
    budgets = render.kind("PodDisruptionBudget")
    for workload in filter(in_line, render.workloads):
        held = [one for one in budgets if matches(one["spec"]["selector"], labels(workload))]
        if len(held) != 1:
            yield f"{title(workload)} has {len(held)} disruption budgets"
    for one in budgets:
        free = str(one["spec"].get("maxUnavailable", 0))
        # A percentage is rounded up: of one worker, one may go. On one node there is no place for another.
        allowed = {"100%"} if "one-node" in render.components else {"1", "50%"}
        if free not in allowed or one["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{title(one)} can block a drain, or lets all of its pods go at once"


@rule
def grace(render: Render) -> Iterator[str]:
    """Kubernetes waits for a stopping worker longer than the worker takes to finish its book, or to hand it back."""
    for workload in filter(in_line, render.workloads):
        given = pod(workload).get("terminationGracePeriodSeconds", 30)
        # The orchestrator has no workers here, and stops at once.
        own = _grace(render, workload) if component(workload) == STAGE else 0
        if given <= own + 5:
            yield f"{title(workload)} is killed after {given} s, and takes up to {own} s"


@rule
def board(render: Render) -> Iterator[str]:
    """Everything that has to do with the board finds the configuration and the volume, where they are mounted."""
    for workload in render.workloads:
        for one in containers(workload):
            places = {mount["mountPath"] for mount in one.get("volumeMounts") or ()}
            if "/data" in places:
                found = environment(render.documents, workload, one["name"])
                if (found.get("GRIN_PIPELINE_CONFIG"), found.get("GRIN_PIPELINE_DATA")) != (CONFIG, "/data"):
                    yield f"{title(workload)}: {one['name']} looks for configuration or volume elsewhere"


@rule
def claim(render: Render) -> Iterator[str]:
    """The one claim says how much it wants, and is for many nodes, but for one disk on one node."""
    mode = "ReadWriteOnce" if "one-node" in render.components else "ReadWriteMany"
    found = [one["spec"] for one in render.kind("PersistentVolumeClaim")]
    if [spec.get("accessModes") for spec in found] != [[mode]]:
        yield f"claims are {found}"
    if not all(spec["resources"]["requests"].get("storage") for spec in found):
        yield "the claim wants nothing"


@rule
def together(render: Render) -> Iterator[str]:
    """Where there is one disk, whoever needs it goes to the node where others have it."""
    for workload in filter(on_board, render.workloads if "one-node" in render.components else ()):
        affinity = pod(workload).get("affinity", {}).get("podAffinity", {})
        terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        own = {"key": "app.kubernetes.io/component", "operator": "In", "values": ["stage", "orchestrator"]}
        wanted = {"matchExpressions": [own]}
        if {"topologyKey": "kubernetes.io/hostname", "labelSelector": wanted} not in terms:
            yield f"{title(workload)} may be where the disk is not"


@rule
def store(render: Render) -> Iterator[str]:
    """With a store, books go there by keys that must be mounted; without, no pod waits for keys."""
    used = "s3" in render.components
    for workload in render.workloads:
        for volume in pod(workload).get("volumes") or ():
            if volume.get("secret", {}).get("secretName") != "grin-pipeline-store":
                continue
            found = environment(render.documents, workload)
            to_store = found.get("GRIN_PIPELINE_GLOBAL__DONE_BUCKET", "").startswith("s3://")
            keys = found.get("AWS_SHARED_CREDENTIALS_FILE") == "/etc/grin-pipeline/secrets/store/aws"
            if (to_store, keys, not volume["secret"].get("optional")) != (used, used, used):
                yield f"{title(workload)} has a store without keys, or keys without a store"


@rule
def accounts(render: Render) -> Iterator[str]:
    """An account gives no pod a token."""
    for one in render.kind("ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield f"{title(one)} gives a token"


def configuration(render: Render) -> dict[str, Any]:
    """The configuration file that the pods are given."""
    found = [one for one in render.kind("ConfigMap") if name(one).startswith("grin-pipeline-config")]
    return _read(found[0]["data"]["config.yaml"])


@cache
def _read(text: str) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load(text)
    return whole


def _grace(render: Render, workload: Document) -> float:
    default = configuration(render)["global"].get("grace", GlobalSettings.model_fields["grace"].default)
    return float(environment(render.documents, workload).get("GRIN_PIPELINE_GLOBAL__GRACE", default))


@rule
def no_secret_in_the_settings(render: Render) -> Iterator[str]:
    """What ConfigMaps put into an environment names at most where a secret lies."""
    for workload in render.workloads:
        for one in containers(workload):
            for key, value in environment(render.documents, workload, one["name"]).items():
                if reads_a_secret(key, value):
                    yield f"{title(workload)}: {key} is a secret"
