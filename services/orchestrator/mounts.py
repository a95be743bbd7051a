"""Which mount a path is on, and what is known of its kind of file system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common import durable
from services.orchestrator.findings import MUST, OK, WARNING, Finding

_USE = "Put pipeline_dir and processing_bucket on a local disk, NFS 4.1 (EFS, Filestore …) or CephFS."
_OBJECT = (
    "an object store mounted as folders: a rename there is a copy and a removal, so two workers can both win a book"
)
_GLUSTER = (
    "GlusterFS: its rename is a link and a removal, both names show for a moment, and listings may stall for minutes"
)
_SMB = "SMB: it has no rename and no letter case as the board needs them, and open files cannot be renamed"
_FAT = "a FAT file system: it has no hard links, no permissions and no letter case"
_SSH = "sshfs: inode numbers are made up anew by each mount, so a token cannot be told from its copy"
_REFUSED = {
    **dict.fromkeys(("s3fs", "gcsfuse", "blobfuse", "blobfuse2", "rclone", "goofys", "geesefs"), _OBJECT),
    **dict.fromkeys(("mountpoint-s3", "mount-s3", "yas3fs", "ossfs", "cosfs", "obsfs", "davfs", "davfs2"), _OBJECT),
    **dict.fromkeys(("alluxio-fuse", "tigrisfs"), _OBJECT),
    **dict.fromkeys(("glusterfs", "gluster"), _GLUSTER),
    **dict.fromkeys(("cifs", "smb3", "smb2", "smbfs", "smbnetfs"), _SMB),
    **dict.fromkeys(("vfat", "msdos", "exfat"), _FAT),
    "sshfs": _SSH,
}
_SHARED = (
    "a folder that a virtual machine or a desktop shares: renames and inode numbers hold only as far as the host's"
)
_MEMORY = "memory: everything on it is gone at the next restart"
_ODD = {
    **dict.fromkeys(("9p", "virtiofs", "vboxsf", "vmhgfs-fuse", "prl_fs", "osxfs", "grpcfuse", "fakeowner"), _SHARED),
    **dict.fromkeys(("tmpfs", "ramfs"), _MEMORY),
    "overlay": "a container's own layer: nobody else sees it, and everything on it is gone with the container",
    "juicefs": "JuiceFS: its renames are atomic, but each client remembers names and attributes for a while",
    "seaweedfs": "SeaweedFS: how its renames and its memory of names behave depends on the filer's store",
    "fuseblk": "NTFS or another foreign file system by FUSE: letter case and hard links depend on how it is mounted",
    "ntfs3": "NTFS: letter case depends on how it is mounted",
    "mergerfs": "a union of several disks: a rename between two of them fails",
    "unionfs": "a union of several disks: a rename between two of them fails",
}
_DISKS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs"})
_SERVERS = frozenset({"nfs", "nfs4", "ceph", "ceph-fuse", "lustre", "gpfs", "ocfs2", "gfs2", "beegfs"})
_RECOMMENDED = "nfsvers=4.1,hard,lookupcache=positive,actimeo=1"
_NFS_DOUBTS = {
    **dict.fromkeys(("soft", "softerr"), "a slow server looks like a broken disk"),
    "softreval": "old attributes are believed while the server is away",
    "nocto": "a file that is opened is not looked at anew",
    "noac": "every look and every write waits for the server",
    **dict.fromkeys(("nolock", "local_lock=all", "local_lock=flock"), "other hosts do not see a lock"),
}
# What the kernel's client takes where a mount says nothing, and what is soon enough; in seconds.
_REMEMBERED, _SOON = 60, 5
# How Kubernetes names, on its node, the folder of a volume that is each pod's own.
_EMPTY_DIR = re.compile(r"/volumes/kubernetes\.io~empty-dir/")
_WRITABLE = "Mount it for writing: without ro, and in Kubernetes without readOnly; or mount a volume there, if none is."
_CLAIM = "Mount one claim that all pods share there: docs/how-to/volumes.md."


@dataclass(frozen=True)
class Mount:
    """One line of the kernel's list of mounts."""

    id: int
    point: str
    kind: str
    source: str
    options: tuple[str, ...]
    root: str = "/"
    """Which part of the file system it shows, as the kernel tells it; for NFS it says "/" whatever is shown."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called: its type without `fuse.`, and what it is mounted from where the type says no more."""
        kind = self.kind.removeprefix("fuse.").lower()
        return (kind, self.source.lower().partition(":")[0]) if kind in {"fuse", "fuseblk"} else (kind,)


def mount_of(path: Path) -> Mount:
    """The mount that a path, or what exists of it, is on; exactly, whatever lies over or under it."""
    # Where not even the kernel is a real one, as in gVisor, there may be less to read.
    with suppress(OSError):
        wanted = _mount_id(durable.existing_ancestor(path))
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split(" ", 1)[0] == wanted:
                return parse(line)
    return Mount(-1, str(path), "unknown", "", ())


def _mount_id(path: Path) -> str:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        found = re.search(r"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.MULTILINE)
    finally:
        os.close(fd)
    return found.group(1) if found else ""


def parse(line: str) -> Mount:
    """A line of /proc/self/mountinfo."""
    before, _, after = line.partition(" - ")
    fields, (kind, source, more) = before.split(" "), [*after.split(" ", 2), "", ""][:3]
    options = (*fields[5].split(","), *more.split(","))
    return Mount(int(fields[0]), _unescaped(fields[4]), kind, _unescaped(source), options, _unescaped(fields[3]))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def judge(what: str, mount: Mount) -> Finding:
    """What is known of this kind of file system; `what` is the setting whose folder lies on it."""
    where = f"{what} is at {mount.point}, {mount.kind}"
    if "ro" in mount.options:
        return Finding("file system", MUST, f"{where}, mounted read-only.", _WRITABLE)
    if _EMPTY_DIR.search(mount.root):
        own = "an emptyDir: each pod has one of its own, and it is gone with the pod"
        return Finding("file system", MUST, f"{where}. That is {own}.", _CLAIM)
    for name in mount.names:
        if name in _REFUSED:
            return Finding("file system", MUST, f"{where}. That is {_REFUSED[name]}.", _USE)
        if name in _ODD:
            return Finding("file system", WARNING, f"{where}. That is {_ODD[name]}.", _USE)
    if mount.names[0] not in _DISKS | _SERVERS:
        return Finding("file system", WARNING, f"{where}, which this release does not know; the probes decide.", _USE)
    return _nfs(where, mount) if mount.kind.startswith("nfs") else Finding("file system", OK, f"{where}.")


def _nfs(where: str, mount: Mount) -> Finding:
    version = next((option[5:] for option in mount.options if option.startswith("vers=")), "?")
    doubts = [f"version {version}"] if version not in {"4.1", "4.2"} else []
    doubts += _nfs_doubts(mount.options)
    if not doubts:
        return Finding("file system", OK, f"{where}, version {version}.")
    cure = f"Mount it with {_RECOMMENDED}: fewer renames are then reported wrongly, and new books are seen sooner."
    return Finding("file system", WARNING, f"{where}: {'; '.join(doubts)}.", cure)


def _nfs_doubts(options: tuple[str, ...]) -> Iterator[str]:
    said = {text: option for option, text in reversed(_NFS_DOUBTS.items()) if option in options}
    yield from (f"{option}, so {text}" for text, option in reversed(said.items()))
    if "noac" in options:
        return
    if not {"lookupcache=pos", "lookupcache=positive", "lookupcache=none"} & set(options):
        yield "names looked up in vain are remembered"
    given = dict(option.partition("=")[::2] for option in options)
    age = max(int(given.get(name, _REMEMBERED)) for name in ("acregmax", "acdirmax"))
    if age > _SOON:
        yield f"what was seen is believed for up to {age} s"
