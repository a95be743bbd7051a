"""A small library for all tests of the server, and servers in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.grin_server import MIXED, SLOW, Served, make_books, served


@pytest.fixture(scope="session")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library folder, only to be read."""
    return make_books(tmp_path_factory.mktemp("grin") / "library")


@pytest.fixture
def grin(books: Path) -> Iterator[Served]:
    """That library with everything converted."""
    with served(books) as made:
        yield made


@pytest.fixture
def mixed(books: Path) -> Iterator[Served]:
    """That library with a book in each state; conversions never end."""
    with served(books, states=MIXED, limits=SLOW) as made:
        yield made
