"""What many unit tests stand on: a scripted GRIN, a client before it, short waits; and a book in a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity

from common.grin import download, session
from common.grin.client import GrinClient
from services.orchestrator import auditing
from tests.audits import Shelf
from tests.scripted import ScriptedGrin


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries, a hundred times shorter."""
    monkeypatch.setattr(session, "_jittered", tenacity.wait_random(0, 0.01))
    monkeypatch.setattr(download, "MISSING_WAITS", (0.01, 0.01))


@pytest.fixture
def grin() -> Iterator[ScriptedGrin]:
    """A server."""
    with ScriptedGrin() as server:
        yield server


@pytest.fixture
def client(grin: ScriptedGrin, tmp_path: Path) -> Iterator[GrinClient]:
    """A client of that server, with two tries."""
    with GrinClient(grin.settings(tmp_path)) as made:
        yield made


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A book at home, and audits that do not wait long before they look again."""
    monkeypatch.setattr(auditing, "_PAUSE", 0.01)
    monkeypatch.setattr(auditing, "_QUIET", 0.01)
    (tmp_path / "shelf").mkdir()
    shelf = Shelf(tmp_path / "shelf")
    shelf.deliver("A1")
    return shelf
