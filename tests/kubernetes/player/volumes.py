"""The volumes of a pod as a kubelet makes them on its node: folders, with owners, modes and links as they are there."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.kubernetes.player.reading import RefusedError, just, only, quantity

_READ, _WRITE, _EXECUTE = 0o440, 0o660, 0o110


@dataclass(frozen=True)
class Claim:
    """What a claim is bound to; most drivers of shared volumes (NFS) do not apply fsGroup, those of disks do."""

    path: Path
    applies_fs_group: bool = True


@dataclass(frozen=True)
class Volume:
    """A volume on the host; whether no mount of it may write, and whether it is a mount of its own."""

    path: Path
    read_only: bool = False
    mounted: bool = False

    def within(self, mount: Mapping[str, Any]) -> Path:
        """What a container's mount shows of it: itself, or the file that `subPath` leads to."""
        only("A volumeMount", mount, "name", "mountPath", "readOnly", "subPath")
        found = (self.path / mount.get("subPath", "")).resolve(strict=True)
        if not found.is_relative_to(self.path.resolve()):
            raise RefusedError(f"subPath {mount['subPath']} leads out of its volume.")
        return found

    def drop(self) -> None:
        """Take a mount of its own away; folders go with the player's."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.path], check=True)


@dataclass
class Things:
    """What pods may name: ConfigMaps and Secrets by their files, claims by what they are bound to."""

    config_maps: dict[str, dict[str, bytes]] = field(default_factory=dict)
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)

    def add(self, document: Mapping[str, Any]) -> None:
        """A ConfigMap or a Secret of the manifest."""
        only(f"{document['kind']}", document, "apiVersion", "kind", "metadata", "data", "type", "immutable")
        name, data = document["metadata"]["name"], document.get("data") or {}
        if document["kind"] == "Secret":
            self.secrets[name] = {key: base64.b64decode(value) for key, value in data.items()}
        else:
            self.config_maps[name] = {key: value.encode() for key, value in data.items()}


def made(spec: Mapping[str, Any], folder: Path, things: Things, security: Mapping[str, Any]) -> Volume:
    """One of a pod's volumes, below a folder of the pod's own."""
    group = security.get("fsGroup")
    ((kind, said),) = ((key, value) for key, value in spec.items() if key != "name")
    what = f"Volume {spec['name']}"
    if kind == "persistentVolumeClaim":
        return _claimed(what, said, things, security)
    path = folder / str(spec["name"])
    path.mkdir(parents=True)
    path.chmod(0o777)
    if kind == "emptyDir":
        return _empty(what, said, path, group)
    if kind == "configMap":
        only(what, said, "name", "defaultMode", "optional")
        files = _found(what, things.config_maps, said["name"], said)
    elif kind == "secret":
        only(what, said, "secretName", "defaultMode", "optional")
        files = _found(what, things.secrets, said["secretName"], said)
    else:
        raise RefusedError(f"{what}: the player does not know {kind}.")
    _write(path, files, said.get("defaultMode", 0o644))
    if group is not None:
        apply_fs_group(path, group, _READ)
    return Volume(path, read_only=True)


def _found(what: str, known: Mapping[str, dict[str, bytes]], name: str, said: Mapping[str, Any]) -> dict[str, bytes]:
    if name not in known and not said.get("optional"):
        raise RefusedError(f"{what}: there is no {name}; its pod would wait for ever.")
    return known.get(name, {})


def _claimed(what: str, said: Mapping[str, Any], things: Things, security: Mapping[str, Any]) -> Volume:
    only(what, said, "claimName", "readOnly")
    claim = things.claims[said["claimName"]]
    group, policy = security.get("fsGroup"), security.get("fsGroupChangePolicy", "Always")
    just("fsGroupChangePolicy", policy, "Always", "OnRootMismatch")
    if group is not None and claim.applies_fs_group and (policy == "Always" or not _fits(claim.path, group)):
        apply_fs_group(claim.path, group, _WRITE)
    return Volume(claim.path, read_only=bool(said.get("readOnly")))


def _empty(what: str, said: Mapping[str, Any], path: Path, group: int | None) -> Volume:
    only(what, said, "medium", "sizeLimit")
    just(f"{what}, medium", said.get("medium", ""), "", "Memory")
    memory = said.get("medium") == "Memory"
    if memory:
        size = f",size={int(quantity(said['sizeLimit']))}" if "sizeLimit" in said else ""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0777{size}", "tmpfs", path], check=True)
    if group is not None:
        apply_fs_group(path, group, _WRITE)
    return Volume(path, mounted=memory)


def _write(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
    """As kubelet's atomic writer does: a folder with a time in its name, a link to it, and a link to each file."""
    now = datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    inner = Path(tempfile.mkdtemp(prefix=now, dir=folder))
    inner.chmod(0o755)
    for name, content in files.items():
        (inner / name).write_bytes(content)
        (inner / name).chmod(mode)
    (folder / "..data").symlink_to(inner.name)
    for name in files:
        (folder / name).symlink_to(f"..data/{name}")


def apply_fs_group(top: Path, group: int, mask: int) -> None:
    """All below belongs to the group, which may read it, and write it where the mask says so; folders pass it on."""
    for folder, names, files in os.walk(top, topdown=False):
        for path in (*(Path(folder) / name for name in (*files, *names)), Path(folder)):
            _give(path, group, mask)


def _give(path: Path, group: int, mask: int) -> None:
    os.chown(path, -1, group, follow_symlinks=False)
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode):
        more = stat.S_ISGID | _EXECUTE if stat.S_ISDIR(mode) else 0
        path.chmod(stat.S_IMODE(mode) | mask | more)


def _fits(top: Path, group: int) -> bool:
    found = top.stat()
    wanted = _WRITE | _EXECUTE | stat.S_ISGID
    return found.st_gid == group and found.st_mode & wanted == wanted
