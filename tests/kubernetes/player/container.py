"""A container of a pod: what its spec means to the engine, and one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.models.containers import Container
from docker.types import Mount

from tests.kubernetes.player.reading import RefusedError, just, only, quantity
from tests.kubernetes.player.volumes import Things, Volume

# What a manifest calls a release is here under the name that a build gives it.
TAGS = {"0.1.0": "latest"}
_PERIOD = 100_000
_SPEC = ("name", "image", "command", "args", "env", "envFrom", "ports", "resources", "securityContext", "volumeMounts")
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def local(image: str) -> str:
    """An image's name on this machine."""
    name, _, tag = image.partition(":")
    return f"{name}:{TAGS.get(tag, tag)}"


def arguments(
    spec: Mapping[str, Any], security: Mapping[str, Any], volumes: Mapping[str, Volume], things: Things
) -> dict[str, Any]:
    """What the engine is told to make a container; `security` is the pod's."""
    only(f"Container {spec['name']}", spec, *_SPEC, *_PROBES, left_out=["imagePullPolicy"])
    told: dict[str, Any] = {"image": local(spec["image"]), "environment": environment(spec, things)}
    if "command" in spec:
        told["entrypoint"] = spec["command"]
    if "args" in spec:
        told["command"] = spec["args"]
    if any("$(" in word for word in (*spec.get("command", ()), *spec.get("args", ()))):
        raise RefusedError("The player does not replace $(NAME) in commands.")
    told["mounts"] = [_mount(mount, volumes[mount["name"]]) for mount in spec.get("volumeMounts", ())]
    return {**told, **_limits(spec.get("resources", {})), **_security(spec.get("securityContext", {}), security)}


def _mount(mount: Mapping[str, Any], volume: Volume) -> Mount:
    read_only = volume.read_only or bool(mount.get("readOnly"))
    return Mount(mount["mountPath"], str(volume.within(mount)), type="bind", read_only=read_only)


def environment(spec: Mapping[str, Any], things: Things) -> dict[str, str]:
    """Variables from ConfigMaps and Secrets, and then those that are spelt out."""
    found: dict[str, str] = {}
    for source in spec.get("envFrom", ()):
        only("envFrom", source, "configMapRef", "secretRef", "prefix")
        known, ref = next((known, source[key]) for key, known in _sources(things).items() if key in source)
        only("envFrom", ref, "name", "optional")
        if ref["name"] not in known and not ref.get("optional"):
            raise RefusedError(f"envFrom: there is no {ref['name']}.")
        files = known.get(ref["name"], {})
        found |= {source.get("prefix", "") + key: value.decode() for key, value in files.items()}
    for variable in spec.get("env", ()):
        only("env", variable, "name", "value")
        found[variable["name"]] = variable.get("value", "")
    return found


def _sources(things: Things) -> dict[str, dict[str, dict[str, bytes]]]:
    return {"configMapRef": things.config_maps, "secretRef": things.secrets}


def _limits(resources: Mapping[str, Any]) -> dict[str, Any]:
    only("resources", resources, "limits", "requests")
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for side in (limits, requests):
        only("resources", side, "cpu", "memory")
    told: dict[str, Any] = {}
    if "memory" in limits:
        told["mem_limit"] = told["memswap_limit"] = int(quantity(limits["memory"]))
    if "cpu" in limits:
        told |= {"cpu_period": _PERIOD, "cpu_quota": int(quantity(limits["cpu"]) * _PERIOD)}
    # As kubelet says it: what is asked for decides how a full machine is shared.
    return {**told, "cpu_shares": max(2, int(quantity(requests.get("cpu", 0)) * 1024))}


def _security(own: Mapping[str, Any], pods: Mapping[str, Any]) -> dict[str, Any]:
    shared = ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile")
    only("A container's securityContext", own, *shared, *_OWN)
    only("A pod's securityContext", pods, *shared, "fsGroup", "fsGroupChangePolicy", "supplementalGroups")
    both = {**pods, **own}
    user, group = both.get("runAsUser"), both.get("runAsGroup")
    if both.get("runAsNonRoot") and not user:
        raise RefusedError("runAsNonRoot forbids root, and no other user is named in runAsUser.")
    just("privileged", own.get("privileged", False), False)
    profile = both.get("seccompProfile", {"type": "Unconfined"})["type"]
    just("seccompProfile", profile, "RuntimeDefault", "Unconfined")
    options = ["seccomp=unconfined"] if profile == "Unconfined" else []
    options += ["no-new-privileges"] if own.get("allowPrivilegeEscalation") is False else []
    groups = [both["fsGroup"]] if "fsGroup" in both else []
    capabilities = own.get("capabilities", {})
    only("capabilities", capabilities, "drop", "add")
    return {
        "user": None if user is None else f"{user}:{group if group is not None else 0}",
        "group_add": [str(number) for number in (*groups, *both.get("supplementalGroups", ()))],
        "read_only": own.get("readOnlyRootFilesystem", False),
        "cap_drop": capabilities.get("drop", []),
        "cap_add": capabilities.get("add", []),
        "security_opt": options,
    }


_OWN = ("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities", "privileged")


def words(container: Container, lines: int = 40) -> str:
    """The last that a container has said."""
    return str(container.logs(tail=lines).decode(errors="replace")).strip()
