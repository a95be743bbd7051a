"""The how-to for a stage of one's own: its commands run word for word on one machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import pages
from tests.pages import ROOT

PAGE = "docs/how-to/add-a-stage.md"


@pytest.mark.skipif(not shutil.which("patch"), reason="patch is not installed here")
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """Written, tested, tried, put on a line that runs and taken away: both books that stood before it have the note."""
    done = pages.run(pages.blocks(PAGE, "one"), tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    homes = sorted((tmp_path / "my-line" / "done").iterdir())
    notes = [(home / "note.txt").read_text() for home in homes]
    assert notes == [f"{home.name} was here\n" for home in homes]
    assert len(homes) == 2
    assert "hop: done" in done.stdout
