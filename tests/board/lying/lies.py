"""Which lies a lying mount tells: kept in a file of their own, so that a test can change them during use."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lies:
    """What goes wrong; with the defaults nothing does. Ages and the clock are in seconds."""

    rate: float = 0.0
    """The share of renames, links, removals and new folders that happen and then report that they did not."""
    errors: tuple[str, ...] = ("ENOENT", "EIO")
    """What a rename that happened may report."""
    listing_age: float = 0.0
    """A listing may be as old as this; each becomes at least half as old."""
    negative_age: float = 0.0
    """A name that was looked for in vain stays missing for so long, or until its folder has been listed anew."""
    attribute_age: float = 0.0
    """What was learnt of a file is believed for so long, even when another client has changed or moved it."""
    strangers: bool = False
    """Each process is a client of its own, with a memory of its own, as if on another machine."""
    silly: float = 0.0
    """The share of removals and renames that leave a `.nfs…` name behind for a second."""
    copies: bool = False
    """A rename copies, and removes the source a moment later: what a mounted object store does."""
    late: float = 0.0
    """That moment."""
    no_links: bool = False
    shared_create: bool = False
    """A new name is not seen at first, and an exclusive create of a name that exists succeeds."""
    no_fsync: bool = False
    slow_fsync: float = 0.0
    frozen_times: bool = False
    """Setting a file's times is accepted and has no effect."""
    time_step: int = 0
    """Times are rounded down to so many seconds."""
    clock: float = 0.0
    """How far the server's clock is ahead of this machine's."""
    fold_case: bool = False
    longest: int = 255
    refused: str = ""
    """Characters that no name may hold."""
    free_files: int = -1
    """The free inodes that statvfs reports; -1 for the true number."""


NONE = Lies()


def write(path: Path, lies: Lies) -> None:
    """Put the lies where a mount reads them."""
    temp = path.with_name(path.name + ".new")
    temp.write_text(json.dumps(asdict(lies)))
    temp.replace(path)


class Control:
    """The lies as the file has them now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lies = NONE
        self._seen = (0, 0)

    def now(self) -> Lies:
        """Read again when the file has been replaced."""
        found = self.path.stat()
        if (found.st_ino, found.st_mtime_ns) != self._seen:
            self._seen = (found.st_ino, found.st_mtime_ns)
            members = json.loads(self.path.read_text())
            self.lies = Lies(**{**members, "errors": tuple(members["errors"])})
        return self.lies
