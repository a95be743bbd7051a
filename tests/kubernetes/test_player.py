"""The player itself: what it refuses, and what it makes of volumes and templates, as a real kubelet does."""

from __future__ import annotations

import copy
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.demo import DEMO, only
from tests.kubernetes.player.container import arguments
from tests.kubernetes.player.deployment import hash_of
from tests.kubernetes.player.network import Cables
from tests.kubernetes.player.reading import RefusedError, matches, quantity
from tests.kubernetes.player.rules import HURRY, BackOff, check_spec
from tests.kubernetes.player.volumes import Claim, Things, Volume, made
from tests.kubernetes.rendered import rendered
from tests.kubernetes.workloads import labels, name, pod, workloads

GROUP = 10001
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT MAY CHANGE OWNERS AS A KUBELET DOES.")


def whole(path: Path) -> tuple[int, int, int]:
    """Owner, group and mode."""
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


@as_root
def test_a_secret_lies_as_a_kubelet_lays_it(tmp_path: Path) -> None:
    """Links to links to files of root's that the pod's group may read, in a folder that passes the group on."""
    things = Things(secrets={"keys": {"key": b"secret"}})
    spec = {"name": "gpg", "secret": {"secretName": "keys", "defaultMode": 0o400}}
    volume = made(spec, tmp_path, things, {"fsGroup": GROUP})
    key = volume.path / "key"
    assert (str(key.readlink()), key.read_bytes()) == ("..data/key", b"secret")
    assert str((volume.path / "..data").readlink()).startswith("..20")
    assert whole(key) == (0, GROUP, 0o440)
    assert whole(volume.path) == (0, GROUP, 0o2777)
    assert volume.read_only
    assert volume.within({"name": "gpg", "mountPath": "/key", "subPath": "key"}) == key.resolve()


@as_root
def test_a_claim_is_given_to_the_group_once(tmp_path: Path) -> None:
    """What lies there gets the group and its rights; with OnRootMismatch not again, while the root's still fit."""
    inner = tmp_path / "folder" / "file"
    inner.parent.mkdir()
    inner.touch(0o600)
    spec = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
    things, security = (
        Things(claims={"c": Claim(tmp_path)}),
        {"fsGroup": GROUP, "fsGroupChangePolicy": "OnRootMismatch"},
    )
    made(spec, tmp_path, things, security)
    assert whole(inner) == (0, GROUP, 0o660)
    assert all(whole(path)[1] == GROUP and whole(path)[2] & 0o2770 == 0o2770 for path in (tmp_path, inner.parent))
    os.chown(inner, 0, 0)
    made(spec, tmp_path, things, security)
    assert whole(inner) == (0, 0, 0o660)
    made(spec, tmp_path, things, {"fsGroup": GROUP})
    assert whole(inner) == (0, GROUP, 0o660)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("pod", "hostNetwork", True),
        ("pod", "runtimeClassName", "gvisor"),
        ("container", "lifecycle", {}),
        ("container", "workingDir", "/"),
        ("security", "procMount", "Unmasked"),
        ("security", "runAsUser", 0),
        ("security", "privileged", True),
        ("security", "seccompProfile", {"type": "Localhost"}),
    ],
)
def test_what_is_not_known_is_refused(where: str, key: str, value: object) -> None:
    """A field or a value that the player does not play is never passed over."""
    spec = copy.deepcopy(pod(workloads(only(rendered(DEMO), "decryptor"))[0]))
    main = spec["containers"][0]
    {"pod": spec, "container": main, "security": main["securityContext"]}[where][key] = value
    with pytest.raises(RefusedError):
        told(spec)


def told(spec: dict[str, Any]) -> dict[str, Any]:
    """What the engine would be told of a pod's main container."""
    check_spec(spec, {"uploader"})
    main = {**spec["containers"][0], "volumeMounts": [], "envFrom": []}
    return arguments(main, spec["securityContext"], dict[str, Volume](), Things())


def test_what_a_manifest_leaves_out_is_as_kubernetes_has_it() -> None:
    """Without a seccomp profile none is used, and privileges may be had: the player adds no hardening of its own."""
    spec = copy.deepcopy(pod(workloads(only(rendered(DEMO), "decryptor"))[0]))
    hard = told(spec)
    assert (hard["security_opt"], hard["read_only"], hard["cap_drop"]) == (["no-new-privileges"], True, ["ALL"])
    del spec["securityContext"]["seccompProfile"]
    del spec["containers"][0]["securityContext"]
    soft = told(spec)
    assert (soft["security_opt"], soft["read_only"], soft["cap_drop"]) == (["seccomp=unconfined"], False, [])


def test_the_demos_policies_are_read() -> None:
    """Of the demo's pods, the downloader and the orchestrator may ask the simulator, which itself may ask nobody."""
    documents = rendered(DEMO)
    of = {name(one): labels(one) for one in workloads(documents)}
    cables = Cables.__new__(Cables)
    cables.policies = [one["spec"] for one in documents if one["kind"] == "NetworkPolicy"]
    may = {one for one in of if cables.may_reach(of[one], of["simulator"])}
    assert may == {"downloader", "orchestrator"}
    assert not [one for one in of if cables.may_reach(of["simulator"], of[one])]


def test_small_things_are_read_as_kubernetes_reads_them() -> None:
    """Quantities, selectors, the hash of a template, and how long to wait before the next start."""
    assert [quantity(text) for text in ("512Mi", "50m", "2", "1G")] == [2**29, 0.05, 2, 1e9]
    chosen = {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["2"]}]}
    assert matches(chosen, {"a": "1", "b": "3"})
    assert not matches(chosen, {"a": "1", "b": "2"})
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1}) != hash_of({"a": 1})
    back_off = BackOff()
    assert [back_off.wait() * HURRY for _ in range(7)] == [0, 10, 20, 40, 80, 160, 300]
