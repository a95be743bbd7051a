"""Writes down the file-system calls of the code under test, in order, with the paths that they are about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.board.seam import READS, WRITES, seam

Call = tuple[str, ...]


def _path_of(argument: object) -> str:
    """The path itself, or that of an open file."""
    if isinstance(argument, int):
        return str(Path(f"/proc/self/fd/{argument}").readlink())
    return os.fspath(argument)  # type: ignore[call-overload,no-any-return]


@contextmanager
def recorded(*names: str) -> Iterator[list[Call]]:
    """The calls of these functions of `os` so far: each its name and the paths that it was given."""
    found: list[Call] = []
    two = {"rename", "replace", "link"}

    def hook(name: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found.append((name, *map(_path_of, args[: 2 if name in two else 1])))
        return call(*args, **kwargs)

    with seam(hook, names or WRITES + READS):
        yield found


def synced(calls: list[Call]) -> list[Path]:
    """What was pushed to the disk, in order."""
    return [Path(path) for name, path, *_ in calls if name == "fsync"]
