"""Whatever makes pods, of every kind, and a way to change one value of a rendered document."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

Document = dict[str, Any]

# Where each kind keeps the pod that it makes.
PODS = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
ORCHESTRATOR, STAGE = "orchestrator", "stage"


def name(document: Document) -> str:
    """The name of a document."""
    return str(document["metadata"]["name"])


def title(document: Document) -> str:
    """Kind and name."""
    return f"{document['kind']} {name(document)}"


def workloads(documents: Iterable[Document]) -> list[Document]:
    """Those that make pods."""
    return [document for document in documents if document["kind"] in PODS]


def template(document: Document) -> Document:
    """The pod that a workload makes, with its metadata."""
    at = document
    for key in PODS[document["kind"]]:
        at = at[key]
    return at


def pod(document: Document) -> Document:
    """The spec of the pod that a workload makes."""
    spec: Document = template(document)["spec"]
    return spec


def labels(document: Document) -> dict[str, str]:
    """The labels of the pod that a workload makes."""
    found: dict[str, str] = template(document).get("metadata", {}).get("labels", {})
    return found


def component(document: Document) -> str:
    """What a workload is in the line: a stage, the orchestrator, or something else."""
    return labels(document).get("app.kubernetes.io/component", "")


def in_line(document: Document) -> bool:
    """Whether its pods work on the board all the time: the stages, and the orchestrator."""
    return document["kind"] == "Deployment" and component(document) in {STAGE, ORCHESTRATOR}


def containers(document: Document) -> Iterator[Document]:
    """Every container of the pod, whenever it runs."""
    for kind in CONTAINERS:
        yield from pod(document).get(kind) or ()


def changed(documents: Iterable[Document], place: str, value: object) -> list[Document]:
    """A copy with another value; `place` is kind, name and keys with spaces between, None takes away, `+` appends.

    An entry of a list goes by its name, or by its number.
    """
    kind, wanted, *way, last = place.split(" ")
    whole = copy.deepcopy(list(documents))
    found = [one for one in whole if one["kind"] == kind and name(one).startswith(wanted)]
    if len(found) != 1:
        raise LookupError(f"{place} is in {len(found)} documents; say which.")
    at: Any = found[0]
    for key in way:
        at = _within(at, key)
    _put(at, last, value)
    return whole


def _within(at: Any, key: str) -> Any:
    return at[_index(at, key)] if isinstance(at, list) else at.setdefault(key, {})


def _put(at: Any, key: str, value: object) -> None:
    if key == "+":
        at.append(value)
    elif value is None:
        del at[_index(at, key) if isinstance(at, list) else key]
    else:
        at[_index(at, key) if isinstance(at, list) else key] = value


def _index(entries: list[Any], key: str) -> int:
    if key.isdigit():
        return int(key)
    return next(number for number, entry in enumerate(entries) if entry.get("name") == key)
