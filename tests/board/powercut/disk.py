"""A model disk: folders, files, and the changes that a journalling file system makes to them.

Each change of names is one transaction. Assumed of the file system, as ext4 and xfs keep it: a rename is one of them
even from one folder to another, so after a power cut the old name or the new one is there, never both or none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

ROOT = 1
Entry: TypeAlias = tuple[int, str]
"""A name: the number of the folder that it is in, and the name itself."""
Key: TypeAlias = tuple[tuple[str, int, bytes | None, int], ...]


@dataclass(frozen=True)
class Change:
    """One transaction on names: a create, mkdir, link, unlink, rmdir or rename of that inode."""

    kind: str
    inode: int
    gone: Entry | None = None
    come: Entry | None = None

    @property
    def folders(self) -> frozenset[int]:
        """The folders whose names change."""
        return frozenset(entry[0] for entry in (self.gone, self.come) if entry)


@dataclass(frozen=True)
class Write:
    """Bytes handed to the kernel."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Utime:
    """A file's time set, in nanoseconds."""

    inode: int
    mtime: int


@dataclass(frozen=True)
class Fsync:
    """A file's bytes, or a folder's names, pushed to the disk."""

    inode: int


@dataclass(frozen=True)
class Mark:
    """The code under test has returned from a step: whatever that step promises holds from here on."""

    step: str


Op: TypeAlias = Change | Write | Utime | Fsync | Mark


@dataclass
class Disk:
    """What lies on a disk, by inode number."""

    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    data: dict[int, bytes] = field(default_factory=dict)
    mtimes: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Disk:
        """Another one like it."""
        return Disk({inode: dict(names) for inode, names in self.names.items()}, dict(self.data), dict(self.mtimes))

    def apply(self, op: Op) -> None:
        """Make one change."""
        match op:
            case Change():
                self._change(op)
            case Write():
                self.data[op.inode] = patched(self.data[op.inode], op)
            case Utime():
                self.mtimes[op.inode] = op.mtime

    def _change(self, op: Change) -> None:
        # A folder or file exists, empty, from its first name on.
        if op.kind == "mkdir":
            self.names.setdefault(op.inode, {})
        elif op.kind == "create":
            self.data.setdefault(op.inode, b"")
        if op.gone:
            self.names[op.gone[0]].pop(op.gone[1], None)
        if op.come:
            self.names.setdefault(op.come[0], {})[op.come[1]] = op.inode

    def find(self, path: str, start: int = ROOT) -> int | None:
        """The inode at a path below a folder, or None."""
        here: int | None = start
        for name in filter(None, path.split("/")):
            here = self.names.get(here, {}).get(name) if here is not None else None
        return here

    def files(self, path: str = "") -> dict[str, bytes]:
        """Every file below a folder by its path there; nothing when there is no such folder."""
        start = self.find(path)
        return (
            {} if start is None else {name: self.data[inode] for name, inode in self.walk(start) if inode in self.data}
        )

    def walk(self, start: int = ROOT, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every path that can be reached, with its inode, folders before what is in them."""
        for name, inode in sorted(self.names.get(start, {}).items()):
            yield f"{prefix}{name}", inode
            yield from self.walk(inode, f"{prefix}{name}/")

    def key(self) -> Key:
        """The same for two disks that nobody can tell apart; times count where they decide when a book is due."""
        return tuple(
            (path, inode, self.data.get(inode), self.mtimes.get(inode, 0) if "/deferred/" in path else 0)
            for path, inode in self.walk()
        )

    def materialise(self, folder: Path) -> None:
        """Make real folders and files, hard links too, in an empty folder."""
        made: dict[int, Path] = {}
        for name, inode in self.walk():
            path = folder / name
            if inode in self.names:
                path.mkdir()
            elif inode in made:
                path.hardlink_to(made[inode])
            else:
                made[inode] = path
                path.write_bytes(self.data[inode])
                if inode in self.mtimes:
                    os.utime(path, ns=(self.mtimes[inode], self.mtimes[inode]))


def patched(data: bytes, op: Write) -> bytes:
    """The file's bytes after that write."""
    return data[: op.offset].ljust(op.offset, b"\0") + op.data + data[op.offset + len(op.data) :]


def scan(folder: Path) -> Disk:
    """The model of what really lies in a folder."""
    disk, numbers = Disk(), {folder.lstat().st_ino: ROOT}
    for root, folders, files in os.walk(folder):
        here = numbers[Path(root).lstat().st_ino]
        for name in (*folders, *files):
            real = Path(root, name).lstat().st_ino
            inode = disk.names[here][name] = numbers.setdefault(real, len(numbers) + 1)
            if name in folders:
                disk.names[inode] = {}
            else:
                disk.data[inode] = Path(root, name).read_bytes()
    return disk
