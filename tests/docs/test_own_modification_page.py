"""The how-to for a modification of one's own: its commands run word for word."""

from __future__ import annotations

from pathlib import Path

from tests import pages
from tests.pages import ROOT

PAGE = "docs/how-to/add-a-modification.md"


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """Written, named in the chain, tried on a book and tested: the note is in the package, the words are counted."""
    done = pages.run(pages.blocks(PAGE, "one"), tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "From the Rare Book Room.\n" in done.stdout
    assert "words.json" in done.stdout
    assert "1 passed" in done.stdout
