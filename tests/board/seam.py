"""The seam under the board: every file-system call of the code under test goes through a hook that a test gives.

The project's own code makes its calls by `os.…` (pathlib does too), so replacing those functions in this process sees,
counts, fails, delays or kills at each of them. Meant for a child that a test has forked: nothing is undone there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Calls that change something, and calls that only look.
WRITES = ("open", "write", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "utime", "ftruncate")
READS = ("lstat", "stat", "scandir", "listdir", "pread", "fstat", "read")

# hook(name, call, args, kwargs) makes the call (or does not) and returns its result (or raises).
Hook = Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@contextmanager
def seam(hook: Hook, names: tuple[str, ...] = WRITES) -> Iterator[None]:
    """While this holds, each of these functions of `os` is called by `hook`."""
    real = {name: getattr(os, name) for name in names}

    def through(name: str) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            return hook(name, real[name], args, kwargs)

        return called

    for name in names:
        setattr(os, name, through(name))
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)
