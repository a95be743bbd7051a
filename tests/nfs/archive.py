"""The kernel's own kind of archive (cpio, "newc"): what a machine without a disk starts from."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import BinaryIO

_KINDS = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.REGTYPE: stat.S_IFREG}


class Cpio:
    """Archives of this kind may follow one another in one file: later ones are laid over earlier ones."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.number = 0

    def add(self, name: str, mode: int, data: bytes = b"", owner: tuple[int, int] = (0, 0)) -> None:
        """One entry; `mode` with its kind."""
        self.number += 1
        path = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.number, mode, *owner, links, 0, len(data), 0, 0, 0, 0, len(path), 0)
        self._write(b"070701" + b"".join(b"%08X" % field for field in fields) + path)
        self._write(data)

    def add_tar(self, source: Path) -> None:
        """Everything in a tar file but devices, which the kernel makes; a hard link becomes a copy."""
        with tarfile.open(source) as tar:
            for member in tar:
                name, owner = member.name.removeprefix("./"), (member.uid, member.gid)
                kind = _KINDS.get(tarfile.REGTYPE if member.islnk() else member.type)
                if kind is None or name in {"", "."}:
                    continue
                file = tar.extractfile(member) if kind == stat.S_IFREG else None
                data = file.read() if file else member.linkname.encode() if member.issym() else b""
                self.add(name, kind | (member.mode & 0o7777), data, owner)

    def close(self) -> None:
        """Say that nothing follows."""
        self.number = -1
        self.add("TRAILER!!!", 0)

    def _write(self, data: bytes) -> None:
        self.out.write(data + b"\0" * (-len(data) % 4))
