"""The published schemas of Kubernetes' own kinds, each read once; as `kubernetes-validate --strict` does it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
from referencing import Registry, Resource

from tests.kubernetes.workloads import Document, title

VERSIONS = ("1.33", "1.37")
# Kinds that an operator brings into the cluster: Kubernetes publishes no schema for them.
OF_OPERATORS = {
    "ExternalSecret",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
    "SecretStore",
    "ServiceMonitor",
    "TriggerAuthentication",
}
_SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def problems(document: Document, version: str) -> Iterator[str]:
    """What a release of Kubernetes would not take, or would silently drop."""
    if document["kind"] in OF_OPERATORS:
        return
    checker = _validator(document["kind"].lower(), document["apiVersion"], version)
    if checker is None:
        yield f"{title(document)}: Kubernetes {version} has no {document['kind']} of {document['apiVersion']}"
        return
    for error in checker.iter_errors(document):
        yield f"{title(document)}, Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message[:300]}"


@cache
def _validator(kind: str, api: str, version: str) -> jsonschema.Draft202012Validator | None:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    file = _folder(version) / f"{kind}-{group}.json"
    if not file.exists():
        return None
    schema = json.loads(file.read_text())
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


@cache
def _definitions(version: str) -> Registry:
    whole = json.loads((_folder(version) / "_definitions.json").read_text())
    return Resource.from_contents(whole) @ Registry()


@cache
def _folder(version: str) -> Path:
    found = sorted(_SCHEMAS.glob(f"v{version}.*-local-strict"))
    assert found, f"kubernetes-validate has no schemas of Kubernetes {version}"
    return found[-1]
