"""The demo in containers keeps away from a library's files and store, and publishes its configuration first."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import demo


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The volumes of the demo and of the library, as folders."""
    for name in ("_BOARD", "_DATA", "_CONFIG", "_GPG", "_GRIN"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(demo, name, tmp_path / name)
    for name in ("DONE_BUCKET", "STORE_ACCESS", "DEMO_BOOKS", "DEMO_POISONED", "DEMO_PAGES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_it_keeps_away_from_a_librarys_files(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever lies in the library's volume, wherever its board is: the demo refuses, and publishes nothing."""
    (places / "_DATA" / "board").mkdir()
    assert demo.serve() == 2
    assert "Give the demo a project of its own: docker compose --env-file /dev/null" in capsys.readouterr().err
    assert list((places / "_CONFIG").iterdir()) == []


def test_an_empty_volume_or_none_is_fine(places: Path) -> None:
    """A disk's lost+found is nobody's file, and the image alone has no such volume."""
    (places / "_DATA" / "lost+found").mkdir()
    assert demo._problem() == ""
    (places / "_DATA" / "lost+found").rmdir()
    (places / "_DATA").rmdir()
    assert demo._problem() == ""


def test_it_keeps_away_from_a_librarys_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made books go to the trial's own S3 server, and to no other store."""
    monkeypatch.setenv("DONE_BUCKET", "s3://books")
    monkeypatch.setenv("STORE_ACCESS", "/etc/grin-pipeline/secrets/store/aws")
    assert "the library's own store" in demo._problem()
    monkeypatch.setenv("STORE_ACCESS", "/run/s3/aws")
    assert demo._problem() == ""


def test_the_configuration_comes_first(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there before the books are made: whoever starts without waiting for them is in the demo all the same."""
    seen = []
    monkeypatch.setattr(
        demo, "main", lambda words: seen.append((words[0], (places / "_CONFIG" / "config.yaml").exists()))
    )
    demo.serve()
    assert seen == [("serve", True)]
