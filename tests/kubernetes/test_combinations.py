"""Every overlay with every set of components renders, to documents that Kubernetes takes and that agree."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import kubernetes_validate
import pytest

from tests.kubernetes import policies, references, schemas
from tests.kubernetes.combinations import COMBINATIONS, COMPONENTS, K8S, OVERLAYS, Combination, Render
from tests.kubernetes.player.reading import matches
from tests.kubernetes.weakened import ELSEWHERE, POLICIES, REFERENCES
from tests.kubernetes.workloads import Document, changed, title

WHOLE = {**references.RULES, **policies.RULES}
WEAKENED = [*REFERENCES, *POLICIES]
_SEEN: dict[int, list[str]] = {}


def _refused(document: Document) -> list[str]:
    """What a document would be refused for; one that several renders share is read, and validated, once."""
    if id(document) not in _SEEN:
        _SEEN[id(document)] = [found for version in schemas.VERSIONS for found in schemas.problems(document, version)]
    return _SEEN[id(document)]


@cache
def _named(*names: str) -> Combination:
    """The combination with these folders."""
    return next(one for one in COMBINATIONS if {path.name for path in (one.overlay, *one.added)} == set(names))


def _broken(render: Render) -> set[str]:
    return {name for name, check in WHOLE.items() if list(check(render))}


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_combination_is_taken_by_kubernetes(combination: Combination) -> None:
    """An older and a newer release have every kind and every field of it, and no field is of another type."""
    assert [problem for document in combination.documents for problem in _refused(document)] == []


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_combination_keeps_to_every_rule(combination: Combination) -> None:
    """Nothing in it refers to what is not there, and nothing may reach or stop what it should not."""
    render = Render.of(combination)
    assert [f"{name}: {found}" for name, check in WHOLE.items() for found in check(render)] == []


def test_all_are_combined() -> None:
    """Each overlay is combined with each set of the components that it has not already; so a new one is, too."""
    folders = {path.parent for path in (K8S / "components").glob("*/kustomization.yaml")}
    assert folders <= set(COMPONENTS)
    assert {path.name for path in OVERLAYS} == {"k8s", *(path.name for path in (K8S / "overlays").iterdir())}
    for overlay in OVERLAYS:
        of_it = [one for one in COMBINATIONS if one.overlay == overlay]
        assert len(of_it) == 2 ** (len(COMPONENTS) - len(Combination(overlay).components))
        assert max(len(one.components) for one in of_it) == len(COMPONENTS)


@pytest.mark.parametrize(("rule", "place", "value"), WEAKENED)
def test_a_weakened_render_is_found_out(rule: str, place: str, value: object) -> None:
    """The rule that should find a careless change of the default finds it."""
    render = Render.of(_named("k8s"))
    weakened = Render(changed(render.documents, place, value), render.components)
    assert list(WHOLE[rule](render)) == []
    assert list(WHOLE[rule](weakened))


@pytest.mark.parametrize(("rule", "names", "place", "value"), ELSEWHERE)
def test_a_weakened_option_is_found_out(rule: str, names: tuple[str, ...], place: str, value: object) -> None:
    """So is a change of an overlay or a component."""
    render = Render.of(_named(*names))
    weakened = Render(changed(render.documents, place, value), render.components)
    assert list(WHOLE[rule](render)) == []
    assert list(WHOLE[rule](weakened))


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.1", "10.96.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
        *("::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "fe80::1"),
    ],
)
def test_no_address_inside_is_opened_unseen(address: str) -> None:
    """A cluster's, a node's, a network's own and a cloud's metadata's addresses are found where a policy opens them."""
    render = Render.of(_named("k8s"))
    place = "NetworkPolicy grin spec egress 1 to 1 ipBlock cidr"
    assert "nothing_inside" in _broken(Render(changed(render.documents, place, address), render.components))


@pytest.mark.parametrize(
    ("operator", "values", "taken"),
    [("In", ["a", "b"], True), ("In", ["b"], False), ("NotIn", ["b"], True), ("NotIn", ["a"], False)],
)
def test_selectors_are_understood(operator: str, values: list[str], taken: bool) -> None:
    """The rules read a selector as Kubernetes does: every label, and every expression."""
    expression = {"key": "app", "operator": operator, "values": values}
    given = {"app": "a", "part": "x"}
    assert matches({"matchExpressions": [expression]}, given) == taken
    assert matches({"matchLabels": {"part": "x"}, "matchExpressions": [expression]}, given) == taken
    assert not matches({"matchLabels": {"part": "y"}, "matchExpressions": [expression]}, given)
    assert matches({"matchExpressions": [{"key": "part", "operator": "Exists"}]}, given)
    assert not matches({"matchExpressions": [{"key": "part", "operator": "DoesNotExist"}]}, given)
    assert not matches({"matchExpressions": [{"key": "other", "operator": "Exists"}]}, given)


def test_a_doubled_document_is_found() -> None:
    """A component that brings what is already there is found."""
    render = Render.of(_named("k8s"))
    assert "once" in _broken(Render([*render.documents, render.documents[-1]], render.components))


def test_a_name_without_a_hash_is_found() -> None:
    """A configuration that keeps its name when it changes is found: no pod would notice."""
    render = Render.of(_named("k8s"))
    text = re.sub(r"(grin-pipeline-config)-\w{10}", r"\1", json.dumps(render.documents))
    assert _broken(Render(json.loads(text), render.components)) == {"pod_references"}


def test_every_rule_can_fail() -> None:
    """There is at least one weakened render for each rule."""
    assert {rule for rule, *_ in (*WEAKENED, *ELSEWHERE)} == set(WHOLE)


@pytest.mark.parametrize("version", schemas.VERSIONS)
def test_the_schemas_are_read_as_kubernetes_validate_reads_them(version: str) -> None:
    """A document that kubernetes-validate takes, or refuses, is taken or refused here."""
    for document in _named("k8s").documents:
        kubernetes_validate.validate(document, version, strict=True)
    wrong = _misspelt(_named("k8s"), "terminationGracePeriodSecond")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)
    assert re.search("terminationGracePeriodSecond'", *schemas.problems(wrong, version))


def _misspelt(combination: Combination, key: str) -> dict[str, Any]:
    wrong = next(copy.deepcopy(one) for one in combination.documents if title(one) == "Deployment decryptor")
    wrong["spec"]["template"]["spec"][key] = 45
    return wrong


@pytest.mark.parametrize(("kind", "api"), [("Deployment", "extensions/v1beta1"), ("Deploymant", "apps/v1")])
def test_a_kind_that_is_not_there_is_found(kind: str, api: str) -> None:
    """A kind that a release has not, or no longer, is found; only those of operators, by name, are not looked at."""
    document = {"kind": kind, "apiVersion": api, "metadata": {"name": "any"}}
    assert list(schemas.problems(document, schemas.VERSIONS[0]))
