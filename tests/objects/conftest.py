"""Stands before the S3 server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.objects.server import Server
from tests.objects.shelves import opened  # noqa: F401 - any test may ask for it
from tests.objects.stand import Stand


@pytest.fixture
def stand_at(tmp_path: Path, s3_server: Server) -> Iterator[Callable[..., Stand]]:
    """Makes a stand, whose processes end with the test."""
    made: list[Stand] = []

    def make(endpoint: str = "", **options: object) -> Stand:
        made.append(Stand(tmp_path, s3_server, endpoint, **options))
        return made[-1]

    yield make
    for stand in made:
        stand.close()
