"""Makes the virtual machine and runs it; exit code 0 when all held, 1 when not, 2 where there can be none."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.nfs.archive import Cpio

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv" / "nfs"
SUITE, PYTHON = "trixie", "3.13"
_TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap"}
_PACKAGES = "python3,nfs-kernel-server,nfs-common,rpcbind,iproute2,kmod,mount,util-linux,e2fsprogs"
_REQUIREMENTS = ("common/requirements.txt", "services/orchestrator/requirements.txt")
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
_KERNEL = Path(__file__).with_name("kernel.sh")
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 PYTHONPATH=/opt/grin:/opt/site
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
for folder in /run /tmp /dev/shm; do mkdir -p "$folder"; mount -t tmpfs tmpfs "$folder"; done
. /etc/grin-nfs
python3 -P -m tests.nfs.inside
echo "GUEST ENDED $?"
echo o >/proc/sysrq-trigger
sleep 60
"""


# What the firmware says, and the kernel when it ends.
_NOISE = re.compile(r"SeaBIOS|Booting from|sysrq: Power|reboot: Power")


class MissingError(Exception):
    """What is missing for a machine, and where it comes from."""


def main() -> int:
    """Make what is missing, then run."""
    try:
        _install_tools()
        base, kernel = _made()
    except MissingError as error:
        print(f"No real NFS was tried: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="grin-nfs-") as folder:
        return boot(Path(folder), base, kernel)


def boot(folder: Path, base: Path, kernel: Path) -> int:
    """Start the machine with this checkout and an empty disk; what it says is printed."""
    image, disk = folder / "image.cpio", folder / "disk"
    shutil.copyfile(base, image)
    with image.open("ab") as out:
        _checkout(Cpio(out))
    with disk.open("wb") as out:
        out.truncate(2 << 30)
    command = ["qemu-system-x86_64", "-smp", "2", "-m", "2048", "-nographic", "-no-reboot", "-nic", "none"]
    command += ["-machine", "accel=" + os.environ.get("GRIN_NFS_ACCEL", "tcg"), "-cpu", "max"]
    command += ["-kernel", str(kernel), "-initrd", str(image), "-append", "console=ttyS0 quiet panic=-1 rdinit=/init"]
    command += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    return _watched(command)


def _watched(command: list[str]) -> int:
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    timer = threading.Timer(float(os.environ.get("GRIN_NFS_SECONDS", "1200")), machine.kill)
    timer.start()
    code = 1
    try:
        assert machine.stdout is not None
        for raw in machine.stdout:
            # The firmware clears the screen before the kernel speaks.
            line = re.sub(r"\x1b[\[c][0-9;?=]*[A-Za-z]?", "", raw.decode(errors="replace")).rstrip()
            ended = re.match(r"GUEST ENDED (\d+)", line)
            code = int(ended[1]) if ended else code
            if line and not ended and not _NOISE.search(line):
                print(line, flush=True)
    finally:
        timer.cancel()
        machine.kill()
        machine.wait()
    return code


# --- what it is made of ---------------------------------------------------------------------------------------------


def _install_tools() -> None:
    packages = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if not packages:
        return
    wanted = " ".join(packages)
    if shutil.which("apt-get") is None or os.geteuid():
        raise MissingError(f"it needs {wanted}; as root on Debian or Ubuntu: apt-get install {wanted}.")
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        _run(["apt-get", *words], f"{wanted} cannot be installed; try: apt-get update && apt-get install {wanted}.")


def _made() -> tuple[Path, Path]:
    """The archive and the kernel; made anew when a requirement or this file has changed."""
    sources = [ROOT / name for name in (*_REQUIREMENTS, "constraints.txt")]
    inputs = [_PACKAGES, SUITE, *(path.read_text() for path in (_KERNEL, *sources))]
    name = hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]
    base, kernel = CACHE / f"{name}.cpio", CACHE / f"{name}.vmlinuz"
    if not (base.exists() and kernel.exists()):
        print("The machine is made, once: Debian's packages, its kernel, and the project's requirements.", flush=True)
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="grin-nfs-") as folder:
            _make(Path(folder), base, kernel)
    return base, kernel


def _make(folder: Path, base: Path, kernel: Path) -> None:
    site, tar = folder / "site", folder / "root.tar"
    _requirements(site)
    hooks = (
        f"copy-in {site} /opt",
        f"upload {_KERNEL} /tmp/kernel.sh",
        'chroot "$1" sh /tmp/kernel.sh',
        f"download /boot/vmlinuz {folder}/vmlinuz",
        'rm "$1/tmp/kernel.sh" "$1/boot/vmlinuz"',
    )
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")]
    command += [f"--customize-hook={hook}" for hook in hooks]
    _run([*command, SUITE, str(tar)], "Debian's packages cannot be had; see what mmdebstrap says above.")
    shutil.move(folder / "vmlinuz", kernel)
    written = base.with_suffix(".part")
    with written.open("wb") as out:
        archive = Cpio(out)
        archive.add_tar(tar)
        archive.close()
    written.rename(base)


def _requirements(site: Path) -> None:
    """For the guest's Python, whichever runs here."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(site)]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:", "pytest"]
    command += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    command += [word for name in _REQUIREMENTS for word in ("--requirement", str(ROOT / name))]
    command += ["--constraint", str(ROOT / "constraints.txt")]
    _run(command, "The project's requirements cannot be had; see what pip says above.")


def _run(command: list[str], otherwise: str) -> None:
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
        raise MissingError(otherwise)


def _checkout(archive: Cpio) -> None:
    """This checkout's code, what is to be done, and the first process."""
    names = sorted(
        path.relative_to(ROOT) for top in ("common", "services", "tests") for path in (ROOT / top).rglob("*.py")
    )
    folders = {parent for name in names for parent in name.parents if parent != Path()}
    archive.add("opt/grin", stat.S_IFDIR | 0o755)
    for folder in sorted(folders):
        archive.add(f"opt/grin/{folder}", stat.S_IFDIR | 0o755)
    for name in names:
        archive.add(f"opt/grin/{name}", stat.S_IFREG | 0o644, (ROOT / name).read_bytes())
    ours = {name: value for name, value in os.environ.items() if re.fullmatch(r"GRIN_NFS_[A-Z]+", name)}
    text = "".join(f"export {name}='{value}'\n" for name, value in ours.items() if "'" not in value)
    archive.add("etc/grin-nfs", stat.S_IFREG | 0o644, text.encode())
    archive.add("init", stat.S_IFREG | 0o755, _INIT.encode())
    archive.close()


if __name__ == "__main__":
    sys.exit(main())
