"""Every quirk of GRIN that the reference names has a test that shows it, and every test's quirk is in the reference."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "grin.md"
MARKED = re.compile(r"mark\.quirk\(\s*\"([^\"]+)\"\s*\)")
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def shown() -> set[str]:
    """The quirks that tests are marked with."""
    return {name for path in TESTS.rglob("test_*.py") for name in MARKED.findall(path.read_text(encoding="utf-8"))}


def test_every_quirk_is_shown_by_a_test() -> None:
    """A row of the reference without a test is a promise that nobody keeps."""
    assert set(ROW.findall(PAGE.read_text(encoding="utf-8"))) - shown() == set()


def test_every_marker_is_in_the_reference() -> None:
    """A test's quirk that the reference does not name helps no reader."""
    assert shown() - set(ROW.findall(PAGE.read_text(encoding="utf-8"))) == set()
