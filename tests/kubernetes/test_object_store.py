"""Books into an object store: who has its keys, which store it is, and an audit when a person asks for it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.kubernetes.player.reading import matches
from tests.kubernetes.rendered import of_kind, rendered
from tests.kubernetes.surroundings import environment
from tests.kubernetes.workloads import Document, containers, labels, name, pod, workloads

COMPONENT = ROOT / "k8s" / "components" / "s3"
KEYS = "/etc/grin-pipeline/secrets/store/aws"


def _with(folder: Path, **said: Any) -> list[Document]:
    """The default with the component, and with what a library says in its kustomization."""
    near = {"resources": [os.path.relpath(ROOT / "k8s", folder)], "components": [os.path.relpath(COMPONENT, folder)]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(near | said))
    return rendered(folder.resolve())


@pytest.fixture
def documents(tmp_path: Path) -> list[Document]:
    """The default with the component."""
    return _with(tmp_path)


def _named(documents: list[Document], wanted: str) -> Document:
    return next(one for one in workloads(documents) if name(one) == wanted)


def _store(workload: Document) -> dict[str, Any]:
    (found,) = [one["secret"] for one in pod(workload)["volumes"] if one["name"] == "store"]
    return dict(found)


def test_who_has_the_keys(documents: list[Document]) -> None:
    """Uploader and audit are told where the keys lie, and wait for them; nobody else is."""
    for workload in workloads(documents):
        has = "AWS_SHARED_CREDENTIALS_FILE" in environment(documents, workload)
        assert has == (name(workload) in {"uploader", "audit"})
    for wanted in ("uploader", "audit"):
        workload = _named(documents, wanted)
        assert environment(documents, workload)["AWS_SHARED_CREDENTIALS_FILE"] == KEYS
        assert _store(workload)["secretName"] == "grin-pipeline-store"
        assert not _store(workload).get("optional")


def test_all_know_which_store_it_is(documents: list[Document]) -> None:
    """Every container of every pod has the same store and region."""
    for workload in workloads(documents):
        for one in containers(workload):
            found = environment(documents, workload, one["name"])
            assert found["GRIN_PIPELINE_GLOBAL__DONE_BUCKET"] == "s3://books/google"
            assert found["AWS_REGION"] == "us-east-1"


def test_a_library_says_which_store(tmp_path: Path) -> None:
    """What the library has among its settings goes before the component's, in every container."""
    own = {"GRIN_PIPELINE_GLOBAL__DONE_BUCKET": "s3://prnc-books", "AWS_REGION": "eu-central-1"}
    literals = [f"{key}={value}" for key, value in own.items()]
    settings = [{"name": "grin-pipeline-settings", "behavior": "merge", "literals": literals}]
    documents = _with(tmp_path, configMapGenerator=settings)
    for workload in workloads(documents):
        for one in containers(workload):
            assert own.items() <= environment(documents, workload, one["name"]).items()


def test_the_audit_waits_for_a_person(documents: list[Document]) -> None:
    """Suspended, not begun anew for its findings; it sees board, configuration and GRIN as others do, and no page."""
    audit, orchestrator = _named(documents, "audit"), _named(documents, "orchestrator")
    assert audit["spec"]["suspend"] is True
    assert audit["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod(audit)["restartPolicy"] == "Never"
    (main,) = pod(audit)["containers"]
    assert main["args"] == ["audit"]
    theirs = {one["mountPath"]: one for one in pod(orchestrator)["containers"][0]["volumeMounts"]}
    del theirs["/etc/grin-pipeline/secrets/board"]
    ours = {one["mountPath"]: one for one in main["volumeMounts"]}
    assert ours == theirs | {str(Path(KEYS).parent): ours[str(Path(KEYS).parent)]}
    assert environment(documents, orchestrator).items() <= environment(documents, audit).items()


def test_the_audit_has_the_orchestrators_image(tmp_path: Path) -> None:
    """Also where a library has it in a registry of its own, with another tag."""
    image = {"name": "grin-pipeline/orchestrator", "newName": "registry.library.example/orch", "newTag": "0.2.0"}
    documents = _with(tmp_path, images=[image])
    found = {pod(_named(documents, wanted))["containers"][0]["image"] for wanted in ("audit", "orchestrator")}
    assert found == {"registry.library.example/orch:0.2.0"}


def test_who_reaches_the_store(documents: list[Document]) -> None:
    """Uploader and audit reach it by https, as the downloader reaches GRIN."""
    policies = {name(one): one["spec"] for one in of_kind(documents, "NetworkPolicy")}
    reaching = {name(one) for one in workloads(documents) if matches(policies["store"]["podSelector"], labels(one))}
    assert reaching == {"uploader", "audit"}
    assert policies["store"]["egress"] == policies["grin"]["egress"]


def test_a_role_instead_of_keys(tmp_path: Path) -> None:
    """The patches in the component's head give the account a role, and then nobody waits for the Secret."""
    head = re.findall(r"^#   (.*)$", (COMPONENT / "kustomization.yaml").read_text(), re.MULTILINE)
    documents = _with(tmp_path, **yaml.safe_load("\n".join(head)))
    (account,) = of_kind(documents, "ServiceAccount")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::ACCOUNT:role/ROLE"}
    for wanted in ("uploader", "audit"):
        workload = _named(documents, wanted)
        assert pod(workload)["serviceAccountName"] == name(account)
        assert _store(workload)["optional"] is True
