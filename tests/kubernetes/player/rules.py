"""What a kubelet holds a pod to: what it must say, and how long to wait before a container is started again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tests.kubernetes.player.reading import RefusedError, just, only

# A kubelet's waits before it starts a container again are so many times longer; the first time it does not wait.
HURRY = 20
_FIRST, _LONGEST = 10.0, 300.0
_LEFT_OUT = ("affinity", "topologySpreadConstraints", "priorityClassName")
_KNOWN = (
    "containers", "initContainers", "volumes", "securityContext", "terminationGracePeriodSeconds", "restartPolicy",
    "enableServiceLinks", "automountServiceAccountToken", "serviceAccountName",
)  # fmt: skip


class BackOff:
    """How long to wait before the next start."""

    def __init__(self) -> None:
        self._next = 0.0

    def wait(self) -> float:
        """The seconds, twice as many as last time."""
        now, self._next = self._next, min(max(_FIRST, 2 * self._next), _LONGEST)
        return now / HURRY


def check_spec(spec: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Refuse what would not be played as it says."""
    only("A pod", spec, *_KNOWN, left_out=_LEFT_OUT)
    just("containers in a pod", len(spec["containers"]), 1)
    just("restartPolicy", spec.get("restartPolicy", "Always"), "Always")
    just("serviceAccountName", spec.get("serviceAccountName", "default"), "default", *accounts)
    if spec.get("automountServiceAccountToken") is not False:
        raise RefusedError("A pod has to say automountServiceAccountToken: false; the player has no tokens to give.")
