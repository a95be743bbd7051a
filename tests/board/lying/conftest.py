"""Lying mounts in a folder of memory, where there is one: what is tested is what a mount says, not a disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.board.lying.mount import Mount, require_fuse


@pytest.fixture
def place() -> Iterator[Path]:
    """A new folder for mounts and what lies below them."""
    require_fuse()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="lying-", dir=memory if os.access(memory, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mount(place: Path) -> Iterator[Mount]:
    """One lying mount that tells no lie yet."""
    with Mount(place / "a", place / "below") as mounted:
        yield mounted


@pytest.fixture
def two(place: Path) -> Iterator[tuple[Mount, Mount]]:
    """Two mounts of one folder: two clients of one file server, with memories of their own."""
    with ExitStack() as stack:
        a, b = (stack.enter_context(Mount(place / name, place / "below", seed=ord(name))) for name in "ab")
        yield a, b
