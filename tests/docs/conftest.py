"""The tutorial, gone through once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.standing import Standing
from tests.docs.walk import Walk


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """All that the tutorial makes; its GRIN answers until the last test."""
    made = Walk(tmp_path_factory.mktemp("home"))
    try:
        made.go()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def standing(walk: Walk) -> Standing:
    """A board in the middle of a day, before the tutorial's GRIN."""
    return Standing(walk)
