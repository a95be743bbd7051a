"""What a container of a render has in its environment, as Kubernetes puts it together."""

from __future__ import annotations

from tests.kubernetes.workloads import Document, name, pod


def environment(documents: list[Document], workload: Document, container: str = "main") -> dict[str, str]:
    """From ConfigMaps in their order, a later one before an earlier, and then what the container itself says."""
    maps = {name(one): one["data"] for one in documents if one["kind"] == "ConfigMap"}
    whole = [*pod(workload).get("initContainers", ()), *pod(workload)["containers"]]
    found: dict[str, str] = {}
    for one in (each for each in whole if each["name"] == container):
        for source in one.get("envFrom", ()):
            found |= maps[source["configMapRef"]["name"]]
        found |= {entry["name"]: entry["value"] for entry in one.get("env", ())}
    return found
