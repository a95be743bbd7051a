"""A simulated GRIN with a few books, and one board that all commands here are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.boards import HOP, Town, made
from tests.e2e.conftest import Grin, serving
from tests.helpers import Line


@pytest.fixture(scope="session")
def cli_grin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grin]:
    """Four books, one of them bad, and a server that offers them."""
    folder = tmp_path_factory.mktemp("cli-grin")
    client = ("--client-secret-out", str(folder / "client.json"))
    with serving(folder, 4, "--poisoned", "1", "--seed", "5", *client) as grin:
        yield grin


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory, cli_grin: Grin) -> Town:
    """The board with books in every state; a test that moves one has one of its own."""
    return made(tmp_path_factory.mktemp("town"), cli_grin)


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A fresh line of one quick stage."""
    return Line(tmp_path_factory.mktemp("small"), HOP, grace=2).stage("hop", "Hop", 0)
