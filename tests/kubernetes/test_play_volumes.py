"""Volumes on which no board may lie: no pod of the demo starts on one, and its init container says why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers.conftest import images  # noqa: F401 - a fixture
from tests.containers.images import UID
from tests.kubernetes.copying import copying
from tests.kubernetes.demo import DEMO, PATIENCE, Demo, hurried, only
from tests.kubernetes.player.volumes import Claim
from tests.kubernetes.rendered import of_kind, rendered

pytestmark = pytest.mark.slow


@contextmanager
def closed(folder: Path, _owner: int) -> Iterator[Path]:
    """A folder of root's, as an export of NFS is, whose driver heeds no fsGroup."""
    folder.mkdir(mode=0o755)
    yield folder


@pytest.mark.parametrize(
    ("volume", "reason"), [(closed, "/data belongs to user 0"), (copying, "it was a copy, and two workers can win")]
)
def test_no_pod_starts_on_a_bad_volume(
    images: None,  # noqa: F811
    tmp_path: Path,
    volume: Callable[[Path, int], Iterator[Path]],
    reason: str,
) -> None:
    """Where the group may not write, or a rename is a copy, the init container refuses again and again."""
    if os.geteuid() != 0:
        pytest.skip("ONLY ROOT MAY MOUNT AND CHANGE OWNERS AS A KUBELET DOES: the manifests were not played.")
    (claim,) = (one["metadata"]["name"] for one in of_kind(rendered(DEMO), "PersistentVolumeClaim"))
    with volume(tmp_path / "bad", UID) as path, Demo(tmp_path / "node", {claim: Claim(path, False)}) as demo:
        demo.apply(only(hurried(rendered(DEMO)), "decryptor"))
        demo.until(lambda: len(refusals(demo)) > 1, PATIENCE, "The init container refuses twice")
        (pod,) = demo.pods()
        assert not pod.running
        assert all(reason in refusal for refusal in refusals(demo))


def refusals(demo: Demo) -> list[str]:
    """What the init container has said in the end, each time."""
    return [event for pod in demo.pods() for event in pod.events if "doctor has ended with 3" in event]
