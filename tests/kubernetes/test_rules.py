"""Every pod of every combination, held to Pod Security's `restricted` and to the line's own rules."""

from __future__ import annotations

import copy
from functools import cache

import pytest

from tests.kubernetes.combinations import COMBINATIONS, K8S, Combination
from tests.kubernetes.restricted import CONTROLS
from tests.kubernetes.rules import RULES
from tests.kubernetes.weakened import ALLOWED, JOBS, OURS, RESTRICTED
from tests.kubernetes.workloads import PODS, Document, changed, name, template, title, workloads

BOTH = {**CONTROLS, **RULES}
WEAKENED = [*RESTRICTED, *OURS]


@cache
def _distinct() -> list[Document]:
    """Every workload of every combination, each content once."""
    every = (one for combination in COMBINATIONS for one in workloads(combination.documents))
    return list({id(one): one for one in every}.values())


@pytest.mark.parametrize("rule", sorted(BOTH))
def test_every_pod_keeps_to_every_rule(rule: str) -> None:
    """No pod of any combination breaks a rule."""
    assert [f"{title(one)}: {found}" for one in _distinct() for found in BOTH[rule](one)] == []


@pytest.mark.parametrize(("rule", "place", "value"), WEAKENED)
def test_a_weakened_pod_is_found_out(rule: str, place: str, value: object) -> None:
    """The rule that should find a careless change of one Deployment finds it, and only there."""
    documents = Combination(K8S).documents
    broken = [name(one) for one in workloads(changed(documents, place, value)) if list(BOTH[rule](one))]
    assert broken == [place.split(" ")[1]]


@pytest.mark.parametrize(("rule", "place", "value"), JOBS)
def test_a_weakened_job_is_found_out(rule: str, place: str, value: object) -> None:
    """A job of an option is held to the same rules."""
    with_store = next(one for one in COMBINATIONS if {path.name for path in (one.overlay, *one.added)} == {"k8s", "s3"})
    documents = with_store.documents
    broken = [name(one) for one in workloads(changed(documents, place, value)) if list(BOTH[rule](one))]
    assert broken == ["audit"]


@pytest.mark.parametrize(("place", "value"), ALLOWED)
def test_what_the_standard_allows_is_allowed(place: str, value: object) -> None:
    """No control is another than the published one: what that lets be, is let be."""
    documents = changed(Combination(K8S).documents, f"Deployment decryptor {place}", value)
    assert [found for one in workloads(documents) for check in CONTROLS.values() for found in check(one)] == []


def test_every_rule_can_fail() -> None:
    """There is at least one weakened pod for each rule."""
    assert {rule for rule, *_ in (*WEAKENED, *JOBS)} == set(BOTH)


def test_a_profile_that_nobody_uses_is_refused_too() -> None:
    """Kubernetes refuses a pod without seccomp even where each of its containers has a profile of its own."""
    documents = Combination(K8S).documents
    for place, kind in (("", "Unconfined"), ("containers main", "RuntimeDefault"), ("initContainers 0", "Localhost")):
        way = f"Deployment decryptor spec template spec {place} securityContext seccompProfile"
        documents = changed(documents, " ".join(way.split()), {"type": kind})
    assert {name(one) for one in workloads(documents) if list(CONTROLS["seccomp"](one))} == {"decryptor"}


@pytest.mark.parametrize("kind", sorted(PODS))
def test_pods_are_found_in_every_kind(kind: str) -> None:
    """Whatever makes the pod, its container without limits on its rights is found."""
    first = next(one for one in workloads(Combination(K8S).documents) if name(one) == "decryptor")
    inner = copy.deepcopy(template(first))
    inner["spec"]["containers"][0].pop("securityContext")
    for key in reversed(PODS[kind]):
        inner = {key: inner}
    made = {**inner, "kind": kind, "metadata": {"name": "any", **inner.get("metadata", {})}}
    for rule in ("capabilities", "privilege_escalation", "read_only_root"):
        assert list(BOTH[rule](made)) != []
