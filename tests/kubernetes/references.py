"""What a whole render must hold: every name in it leads to something, in one namespace, and nothing is there twice.

A rule a function, over all documents of a combination: it yields what is wrong, or nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.kubernetes.combinations import Render
from tests.kubernetes.player.reading import matches
from tests.kubernetes.workloads import Document, containers, labels, name, pod, title

Rule = Callable[[Render], Iterator[str]]
RULES: dict[str, Rule] = {}

# What k8s/secrets or components/external-secrets bring.
GIVEN_SECRETS = {
    "grin-pipeline-board": "token",
    "grin-pipeline-gpg": "passphrase.asc",
    "grin-pipeline-grin": "credentials.json",
    "grin-pipeline-store": "aws",
}
_HASHED = re.compile(r".+-[bcdfghkmt2-9]{10}")


def rule(check: Rule) -> Rule:
    """Enters a rule under its function's name."""
    RULES[check.__name__] = check
    return check


def ports(workload: Document) -> dict[str, int]:
    """The named ports of a workload's pod."""
    return {
        port["name"]: port["containerPort"]
        for one in containers(workload)
        for port in one.get("ports") or ()
        if "name" in port
    }


@rule
def once(render: Render) -> Iterator[str]:
    """No two documents are the same thing."""
    seen = Counter((one["kind"], one["metadata"].get("namespace"), name(one)) for one in render.documents)
    yield from (f"{key} is there {count} times" for key, count in seen.items() if count > 1)


@rule
def one_namespace(render: Render) -> Iterator[str]:
    """Everything is in the one namespace that the render makes."""
    made = {name(one) for one in render.kind("Namespace")}
    for one in render.documents:
        if one["kind"] != "Namespace" and {one["metadata"].get("namespace")} != made:
            yield f"{title(one)} is in {one['metadata'].get('namespace')}"


@rule
def pod_references(render: Render) -> Iterator[str]:
    """Whatever a pod names is there, configuration with its keys, too; and each change of it makes the pod anew."""
    there = {(one["kind"], name(one)): one for one in render.documents}
    for workload in render.workloads:
        for kind, wanted, keys in _named_by(workload):
            found = there.get((kind, wanted))
            if found is None:
                if not (kind == "Secret" and wanted in GIVEN_SECRETS):
                    yield f"{title(workload)} needs {kind} {wanted}, which is not there"
                continue
            if kind in {"ConfigMap", "Secret"} and not _HASHED.fullmatch(wanted):
                yield f"{title(workload)} does not notice when {kind} {wanted} changes: it has no hash"
            if missing := keys - {*found.get("data", ()), *found.get("stringData", ())}:
                yield f"{title(workload)}: {kind} {wanted} has no {sorted(missing)}"


def _named_by(workload: Document) -> Iterator[tuple[str, str, set[str]]]:
    spec = pod(workload)
    if spec.get("serviceAccountName"):
        yield "ServiceAccount", spec["serviceAccountName"], set()
    for volume in spec.get("volumes") or ():
        sources = [volume, *volume.get("projected", {}).get("sources", ())]
        for source in sources:
            yield from _of_volume(workload, volume["name"], source)
    for one in containers(workload):
        yield from _of_environment(one)


def _of_volume(workload: Document, volume: str, source: Document) -> Iterator[tuple[str, str, set[str]]]:
    if "persistentVolumeClaim" in source:
        yield "PersistentVolumeClaim", source["persistentVolumeClaim"]["claimName"], set()
    for kind, key, field in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        if key not in source:
            continue
        listed = {item["key"] for item in source[key].get("items") or ()}
        parts = {
            mount["subPath"]
            for one in containers(workload)
            for mount in one.get("volumeMounts") or ()
            if mount["name"] == volume and "subPath" in mount
        }
        yield kind, source[key].get(field) or source[key]["name"], listed or parts


def _of_environment(container: Document) -> Iterator[tuple[str, str, set[str]]]:
    for source in container.get("envFrom") or ():
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                yield kind, source[key]["name"], set()
    for entry in container.get("env") or ():
        for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if key in entry.get("valueFrom", {}):
                said = entry["valueFrom"][key]
                yield kind, said["name"], {said["key"]}


@rule
def mounted(render: Render) -> Iterator[str]:
    """Every mount is of a volume, and every volume is mounted; no two mounts are at one place."""
    for workload in render.workloads:
        volumes = [volume["name"] for volume in pod(workload).get("volumes") or ()]
        if len(volumes) != len(set(volumes)):
            yield f"{title(workload)} has two volumes of one name"
        if any(len(volume) != 2 for volume in pod(workload).get("volumes") or ()):
            yield f"{title(workload)} has a volume of no kind, which Kubernetes takes for an empty folder"
        used = set()
        for one in containers(workload):
            places = [mount["mountPath"] for mount in one.get("volumeMounts") or ()]
            if len(places) != len(set(places)):
                yield f"{title(workload)}: {one['name']} has two mounts at one place"
            used |= {mount["name"] for mount in one.get("volumeMounts") or ()}
        if used != set(volumes):
            yield f"{title(workload)} has volumes {sorted(volumes)}, and mounts {sorted(used)}"


@rule
def probed_ports(render: Render) -> Iterator[str]:
    """Every probe asks a port that its container has."""
    for workload in render.workloads:
        for one in containers(workload):
            has = {value for port in one.get("ports") or () for value in (port.get("name"), port["containerPort"])}
            for kind in ("startup", "liveness", "readiness"):
                asked = (one.get(f"{kind}Probe") or {}).get("httpGet")
                if asked and asked["port"] not in has:
                    yield f"{title(workload)}: {one['name']} has no port {asked['port']}"


@rule
def own_pods(render: Render) -> Iterator[str]:
    """A Deployment selects its own pods and nobody else's; so does what it says of where they run."""
    for workload in render.kind("Deployment"):
        found = {name(one) for one in render.workloads if matches(workload["spec"]["selector"], labels(one))}
        if found != {name(workload)}:
            yield f"{title(workload)} selects the pods of {sorted(found)}"
        affinity = pod(workload).get("affinity", {}).get("podAffinity", {})
        rules = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", ())
        for term in (*rules, *pod(workload).get("topologySpreadConstraints", ())):
            if not matches(term["labelSelector"], labels(workload)):
                yield f"{title(workload)} is placed by labels that it has not"


@rule
def services(render: Render) -> Iterator[str]:
    """A Service leads to one Deployment, and to a port that its pods have."""
    for service in render.kind("Service"):
        found = [one for one in render.workloads if service["spec"]["selector"].items() <= labels(one).items()]
        if len(found) != 1:
            yield f"{title(service)} leads to {[title(one) for one in found]}"
        if not service["spec"].get("ports"):
            yield f"{title(service)} leads to no port"
        for port in service["spec"].get("ports") or ():
            target = port.get("targetPort", port["port"])
            if any(target not in {*ports(one), *ports(one).values()} for one in found):
                yield f"{title(service)} leads to port {target}, which is not there"


@rule
def selectors(render: Render) -> Iterator[str]:
    """Disruption budgets, network policies and monitors select pods that are there, and ports that one of them has."""
    for one in render.kind("PodDisruptionBudget"):
        yield from _selects(render, one, one["spec"]["selector"], ())
    for one in render.kind("PodMonitor"):
        for endpoint in one["spec"]["podMetricsEndpoints"]:
            yield from _selects(render, one, one["spec"]["selector"], [endpoint["port"]])
    for one in render.kind("NetworkPolicy"):
        spec = one["spec"]
        incoming = [port.get("port") for way in spec.get("ingress") or () for port in way.get("ports") or ()]
        yield from _selects(render, one, spec["podSelector"], incoming)
        for way in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            outgoing = [port.get("port") for port in way.get("ports") or ()] if "to" in way else ()
            for peer in (*way.get("from", ()), *way.get("to", ())):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield from _selects(render, one, peer["podSelector"], outgoing)


def _selects(render: Render, asker: Document, selector: Mapping[str, Any], named: Any) -> Iterator[str]:
    found = [one for one in render.workloads if matches(selector, labels(one))]
    if not found:
        yield f"{title(asker)} selects no pod by {selector}"
    has = {key for one in found for key in ports(one)}
    yield from (f"{title(asker)} names port {port}" for port in named if isinstance(port, str) and port not in has)


@rule
def vaulted(render: Render) -> Iterator[str]:
    """What comes out of a vault has the names and the keys that the pods look for."""
    for one in render.kind("ExternalSecret"):
        target, keys = one["spec"]["target"]["name"], [entry["secretKey"] for entry in one["spec"]["data"]]
        if keys != [GIVEN_SECRETS.get(target)]:
            yield f"{title(one)} makes {target} with {keys}, which nobody reads"


@rule
def scaled(render: Render) -> Iterator[str]:
    """Whatever scales, scales a Deployment that is there, and that says no number of replicas itself."""
    there = {name(one): one for one in render.kind("Deployment")}
    seen = []
    for scaler in render.kind("ScaledObject", "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        seen.append(target["name"])
        if target.get("kind", "Deployment") != "Deployment" or target["name"] not in there:
            yield f"{title(scaler)} scales {target}, which is not there"
        elif "replicas" in there[target["name"]]["spec"]:
            yield f"{title(scaler)} is overruled by each apply"
    if len(seen) != len(set(seen)):
        yield f"something is scaled twice: {sorted(seen)}"
