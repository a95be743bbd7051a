"""Faults at one step: a call that is refused, or that happens and reports failure; and what fsync must never do."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.board.steps_hooks import Steps

# The function itself, for this module's own looks: inside the seam its name leads through it.
_FSTAT = os.fstat
_NAMES = ("rename", "replace", "link", "unlink", "mkdir", "rmdir")


class Fault(Steps):
    """An error at one step; `happens` makes the call before it is reported as failed."""

    def __init__(self, at: int, is_on: Callable[[], bool], number: int, report: Path, *, happens: bool = False) -> None:
        super().__init__(at, is_on)
        self.number = number
        self.report = report
        self.happens = happens
        self._unsynced: set[tuple[int, int, bool]] = set()

    def other(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """The call, and an eye on what is synced again without having been written again."""
        if name == "fsync" and _file(args[0]) in self._unsynced:
            self.say("synced again")
        result = call()
        self._changed(name, args, result)
        return result

    def harm(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Fail; a call that fails by itself does so in its own way."""
        self.say("in process()" if in_process() else "in the worker")
        # A descriptor is closed even by a close that fails.
        if self.happens or name == "close":
            self.other(name, call, args)
        if name == "fsync":
            self._unsynced.add(_file(args[0]))
        raise OSError(self.number, os.strerror(self.number))

    def say(self, what: str) -> None:
        """Tell the test."""
        with self.report.open("a") as report:
            report.write(f"{what}\n")

    def _changed(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """What was written anew may be synced again; a folder, once anything has got a new name."""
        if name == "write":
            self._unsynced.discard(_file(args[0]))
        elif name in _NAMES or (name == "open" and args[1] & os.O_CREAT):
            self._unsynced = {file for file in self._unsynced if not file[2]}
            self._unsynced -= {_file(result)} if name == "open" else set()


def in_process() -> bool:
    """Whether this call is made on behalf of a stage's process()."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "process":
            return True
    return False


def _file(fd: int) -> tuple[int, int, bool]:
    """Which file or folder that is, and whether it is a folder."""
    found = _FSTAT(fd)
    return found.st_dev, found.st_ino, stat.S_ISDIR(found.st_mode)


FULL, BROKEN, GONE = errno.ENOSPC, errno.EIO, errno.ENOENT
