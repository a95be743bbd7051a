"""Books at home in a folder or in an object store, for the tests of audits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, ObjectStore

from services.orchestrator import auditing
from tests.audits import Shelf, findings
from tests.objects.server import Server

BOOKS = ("A1", "A2", "A3")
Opened = Callable[..., tuple[Shelf, ObjectStore]]


@pytest.fixture(params=["folder", "s3"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> Opened:
    """Makes a shelf with three books at home, and what its store has, past the project's own code."""
    monkeypatch.setattr(auditing, "_PAUSE", 0.01)
    monkeypatch.setattr(auditing, "_QUIET", 0.01)
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)

    def make(*books: str, tree: bool = False, **options: object) -> tuple[Shelf, ObjectStore]:
        url = s3_server.url() if request.param == "s3" else "done"
        (tmp_path / "done").mkdir()
        shelf = Shelf(tmp_path, url, **options)
        if tree:
            shelf.line.filters[1]["class"] = "tests.objects.trees:Tree"
            shelf.write()
            shelf.reload()
        shelf.deliver(*(books or BOOKS))
        prefix = url.removeprefix(f"s3://{s3_server.bucket}/")
        return shelf, s3_server.store(prefix) if request.param == "s3" else LocalStore(tmp_path / "done")

    return make


def asked(shelf: Shelf, capsys: pytest.CaptureFixture[str], *more: str) -> list[tuple[str, str, str]]:
    """What `audit --json` finds."""
    capsys.readouterr()
    code = shelf.audit("--json", *more)
    out = capsys.readouterr().out
    assert code == (1 if json.loads(out.splitlines()[-1])["summary"]["remain"] else 0), out
    return findings(out)


def bytes_of(store: ObjectStore, key: str) -> bytes:
    """An object's bytes."""
    return bytes(obstore.get(store, key).bytes())
