"""What many unit tests of GRIN's client stand on: a scripted server, a client before it, and short waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity

from common.grin import download, session
from common.grin.client import GrinClient
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
