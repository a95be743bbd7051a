"""Lying mounts for the tests: one, or two that are two clients of one file server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.board.lying.mount import Mount, new_place


@pytest.fixture
def place() -> Iterator[Path]:
    """A new folder for mounts and what lies below them."""
    with new_place() as folder:
        yield folder


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
