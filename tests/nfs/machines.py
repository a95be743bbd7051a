"""Inside the virtual machine: an NFS server, and clients that share nothing with one another but its disk."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.board.storm import harness

# The disk as the server itself sees it.
SHARED = Path("/srv/board")
_MODULES = ("virtio_pci", "virtio_blk", "ext4", "veth", "nfsd", "nfs", "nfsv3", "nfsv4")
_NFSD = Path("/proc/fs/nfsd")


def sh(command: str) -> str:
    """What a command says; one that fails says why."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def serve() -> None:
    """Export the disk. A server that has just started makes its clients wait for a minute and a half, so not here."""
    for module in _MODULES:
        sh(f"modprobe {module}")
    sh(f"mkfs.ext4 -q /dev/vda && mkdir -p {SHARED} && mount /dev/vda {SHARED} && ip link set lo up")
    Path("/etc/exports").write_text(f"{SHARED} 10.0.0.0/8(rw,sync,no_root_squash,no_subtree_check,fsid=0)\n")
    sh(f"hostname server && mountpoint -q {_NFSD} || mount -t nfsd nfsd {_NFSD}")
    for name in ("nfsv4leasetime", "nfsv4gracetime"):
        (_NFSD / name).write_text("10\n")
    sh("mkdir -p /run/rpcbind /run/sendsigs.omit.d && rpcbind && exportfs -a")
    sh("rpc.nfsd --nfs-version 3 --nfs-version 4.1 --nfs-version 4.2 8 && rpc.mountd --port 20048")
    (_NFSD / "v4_end_grace").write_text("Y\n")


@dataclass(frozen=True)
class Machine:
    """A client: a network with its own address and a host name, which is what the server tells clients apart by."""

    number: int

    @property
    def name(self) -> str:
        """The host's name."""
        return f"client-{self.number}"

    @property
    def point(self) -> Path:
        """Where it has mounted the server's disk; all processes see the mounts of both."""
        return Path(f"/mnt/{self.name}")

    def connect(self) -> None:
        """A cable to the server."""
        net, server, own = f"10.0.{self.number}", f"server-{self.number}", "eth0"
        sh(f"ip netns add {self.name} && ip link add {server} type veth peer name {own} netns {self.name}")
        sh(f"ip addr add {net}.1/24 dev {server} && ip link set {server} up")
        inside = f"ip -n {self.name}"
        sh(f"{inside} addr add {net}.2/24 dev {own} && {inside} link set {own} up && {inside} link set lo up")
        self.point.mkdir(parents=True)

    def mount(self, options: str, what: str) -> None:
        """Mount the disk anew, so that nothing is remembered."""
        command = f"mount -t nfs -o {options} 10.0.{self.number}.1:{what} {self.point}"
        code = harness.exit_code(harness.fork(lambda: self.run(sh, command)))
        if code:
            raise SystemExit(f"{self.name} cannot mount: {command}")

    def unmount(self) -> None:
        """Forget all."""
        sh(f"umount {self.point}")

    def run(self, job: Callable[..., object], *arguments: object) -> None:
        """Do something as this machine; for a process that does nothing else."""
        with Path(f"/run/netns/{self.name}").open() as net:
            os.setns(net.fileno(), os.CLONE_NEWNET)
        os.unshare(os.CLONE_NEWUTS)
        socket.sethostname(self.name)
        job(*arguments)

    def line(self) -> str:
        """The kernel's own word for the mount."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return next(line for line in lines if line.split()[1] == str(self.point))

    def asked(self) -> str:
        """What this mount has asked the server for most often, as the kernel counts it."""
        text = Path("/proc/self/mountstats").read_text().split(f" mounted on {self.point} ", 1)[1]
        after = text.split("\ndevice ", 1)[0].split("per-op statistics", 1)[1]
        rows = [line.split() for line in after.splitlines() if ":" in line]
        counts = sorted(((int(words[1]), words[0].rstrip(":")) for words in rows), reverse=True)
        return ", ".join(f"{what} {count}" for count, what in counts[:8] if count)


def clients() -> str:
    """Whom the server itself knows: clients of version 4 by name, as version 3 has none, and how they are connected."""
    facts = [path.read_text() for path in sorted((_NFSD / "clients").glob("*/info"))]
    known = [" at ".join(re.findall(r'^(?:name|address): "(.*)"$', text, re.MULTILINE)[::-1]) for text in facts]
    return f"the server knows {len(known)} clients of version 4: {'; '.join(known)}"
