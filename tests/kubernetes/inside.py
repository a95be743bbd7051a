"""What a process sees that runs inside of a pod: asked there, and held against the pod's manifest."""

from __future__ import annotations

import json
from typing import Any

from tests.kubernetes.player.pod import Pod
from tests.kubernetes.player.reading import quantity

# Runs in the pod, as the pod's user; the paths of all mounts are its arguments.
_PROBE = r"""
import json, os, sys
def mode_of(path):
    found = os.stat(path)
    return [found.st_uid, found.st_gid, found.st_mode & 0o7777]
def writable(path):
    name = os.path.join(path, ".try")
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        os.remove(name)
        return ""
    except OSError as error:
        return error.strerror
ROOTS = ("/", "/app", "/etc", "/var/tmp")
status = dict(line.split(":\t", 1) for line in open("/proc/1/status") if ":\t" in line)
print(json.dumps({
    "status": {key: value.strip() for key, value in status.items()},
    "environment": dict(pair.split("=", 1) for pair in open("/proc/1/environ").read().split("\0") if "=" in pair),
    "command": open("/proc/1/cmdline").read().split("\0")[:-1],
    "name": os.uname().nodename,
    "token": os.path.exists("/var/run/secrets") or os.path.exists("/run/secrets"),
    "writable": {path: writable(path) for path in (*ROOTS, *filter(os.path.isdir, sys.argv[1:]))},
    "modes": {path: mode_of(path) for path in sys.argv[1:]},
    "files": {
        path: {name: mode_of(os.path.join(path, name)) for name in os.listdir(path) if not name.startswith(".")}
        for path in sys.argv[1:] if os.path.isdir(path) and "/secrets/" in path
    },
    "sizes": {path: os.statvfs(path).f_blocks * os.statvfs(path).f_frsize for path in sys.argv[1:]},
    "memory": int(open("/sys/fs/cgroup/memory/memory.limit_in_bytes").read())
    if os.path.exists("/sys/fs/cgroup/memory") else int(open("/sys/fs/cgroup/memory.max").read()),
}))
"""


def seen(pod: Pod) -> dict[str, Any]:
    """Ask inside of a running pod."""
    mounts = [mount["mountPath"] for mount in pod.spec["containers"][0]["volumeMounts"]]
    code, said = pod.ask("python3", "-c", _PROBE, *mounts)
    assert code == 0, said
    return dict(json.loads(said))


def assert_is_as_said(pod: Pod, spec: dict[str, Any], settings: dict[str, str]) -> None:
    """User, groups, capabilities, root, environment, volumes and limits are those of the manifest."""
    found, main = seen(pod), spec["containers"][0]
    assert found["name"] == pod.name
    assert not found["token"]
    _assert_process(found["status"], spec["securityContext"])
    environment = found["environment"]
    assert not [key for key in environment if key.endswith(("_SERVICE_HOST", "_PORT"))]
    assert {key: environment.get(key) for key in settings} == (
        settings if "envFrom" in main else dict.fromkeys(settings)
    )
    wanted = [*main.get("command", ()), *main.get("args", ())]
    assert not wanted or found["command"] == wanted
    assert found["memory"] == quantity(main["resources"]["limits"]["memory"])
    assert {found["writable"][path] for path in ("/", "/app", "/etc", "/var/tmp")} == {"Read-only file system"}
    _assert_volumes(found, spec)


def _assert_process(status: dict[str, str], security: dict[str, Any]) -> None:
    user, group, shared = (security[key] for key in ("runAsUser", "runAsGroup", "fsGroup"))
    assert status["Uid"].split() == [str(user)] * 4
    assert status["Gid"].split() == [str(group)] * 4
    assert str(shared) in status["Groups"].split()
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    # 2: a filter, the engine's own.
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def _assert_volumes(found: dict[str, Any], spec: dict[str, Any]) -> None:
    group = spec["securityContext"]["fsGroup"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in spec["containers"][0]["volumeMounts"]:
        path, volume = mount["mountPath"], volumes[mount["name"]]
        owner, owning, mode = found["modes"][path]
        assert (owner, owning) == (0, group), path
        if "configMap" in volume:
            assert mode == 0o644
        elif "secret" in volume:
            assert mode & 0o2070 == 0o2070
            assert found["writable"][path] == "Read-only file system"
            assert all(one == [0, group, volume["secret"]["defaultMode"]] for one in found["files"][path].values())
        else:
            assert mode & 0o2070 == 0o2070
            assert found["writable"][path] == ""
        if volume.get("emptyDir", {}).get("medium") == "Memory":
            assert found["sizes"][path] == quantity(volume["emptyDir"]["sizeLimit"])
