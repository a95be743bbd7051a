"""A real ext4 whose power can be cut: its image lies on an xfs that copies a file at one instant and in no time.

The copy holds what had reached the disk just then; what was only in memory is missing from it, as after a power cut.
ext4 commits by itself only every 30 seconds here, so that what is there was pushed there. Needs root and loop devices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import pytest

_TOOLS = {"mkfs.xfs": "xfsprogs", "mkfs.ext4": "e2fsprogs", "mount": "mount", "umount": "mount"}
_XFS_SIZE, _EXT4_SIZE = 512 << 20, 96 << 20


def run(*command: str | Path) -> None:
    """Run a tool; what it says when it fails is in the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Drive:
    """The disk, mounted at `point` while the context holds; it leaves no mount and no loop device behind."""

    def __init__(self, folder: Path) -> None:
        self.point = folder / "disk"
        self._below = folder / "below"
        self._file = folder / "below.xfs"
        self._image = self._below / "disk.ext4"
        self._stack = ExitStack()

    def __enter__(self) -> Drive:
        """Make both file systems; OSError where that cannot be done."""
        with ExitStack() as stack:
            for folder in (self.point, self._below):
                folder.mkdir()
            _make(self._file, _XFS_SIZE, "mkfs.xfs", "-q", "-m", "reflink=1")
            stack.enter_context(mounted(self._file, self._below))
            _make(self._image, _EXT4_SIZE, "mkfs.ext4", "-q", "-F")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()
        self._file.unlink(missing_ok=True)

    def cut(self, number: int) -> Path:
        """What a power cut would leave now."""
        copy = self._below / f"{number}.ext4"
        run("cp", "--reflink=always", self._image, copy)
        return copy

    @contextmanager
    def on(self, image: Path | None = None) -> Iterator[Path]:
        """Mount the disk, or what a power cut left of it, always at the same place."""
        with mounted(image or self._image, self.point, ",commit=30"):
            yield self.point


def _make(path: Path, size: int, *command: str) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    run(*command, path)


@contextmanager
def mounted(image: Path, point: Path, options: str = "") -> Iterator[None]:
    """A file mounted by a loop device that detaches itself."""
    run("mount", "-o", f"loop{options}", image, point)
    try:
        yield
    finally:
        _unmount(point)


def _unmount(point: Path) -> None:
    for _ in range(50):
        try:
            return run("umount", point)
        except OSError:
            # Somebody, a scanner perhaps, has a look at it.
            time.sleep(0.1)
    return run("umount", "--lazy", point)


def require_drive(folder: Path) -> None:
    """Skip loudly where no such disk can be had; fail there when REQUIRE_ENGINE is set."""
    reason = _lack(folder)
    if reason and os.environ.get("REQUIRE_ENGINE"):
        pytest.fail(f"REQUIRE_ENGINE is set, but {reason}.")
    if reason:
        pytest.skip(f"NO POWER OF A REAL DISK CAN BE CUT HERE: {reason}.")


def _lack(folder: Path) -> str:
    missing = [f"{tool} (Debian: {package})" for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        return f"there is no {' and no '.join(missing)}"
    if os.geteuid() != 0:
        return "only root may mount"
    try:
        with Drive(folder) as drive, drive.on():
            return ""
    except OSError as error:
        return str(error)
