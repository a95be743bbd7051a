"""The comparison of `make docling` notices what it should; Docling itself is not needed here."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from simulator.book import make_book
from tests.docling.check import _untrue, differences

PAGE = {"lines": ["A line"], "words": 2, "size": [10, 20], "pixels": "abc"}
READ: dict[str, Any] = {"detected": True, "valid": True, "count": 1, "pages": {"1": PAGE}}


@pytest.mark.parametrize("page", [{"lines": ["A lime"]}, {"words": 3}, {"size": [20, 10]}, {"pixels": "abd"}])
def test_another_page_is_a_difference(page: dict[str, Any]) -> None:
    """Text, words, size and pixels of each page count."""
    told = list(differences({**READ, "pages": {"1": {**PAGE, **page}}}, READ))
    assert len(told) == 1
    assert "page 1" in told[0]


@pytest.mark.parametrize("change", [{"count": 2}, {"valid": False}, {"detected": False}, {"pages": {}}])
def test_another_book_is_a_difference(change: dict[str, Any]) -> None:
    """So do the number of pages, whether it is a book, and whether Docling sees that by itself."""
    assert len(list(differences({**READ, **change}, READ))) == 1


def test_a_package_may_be_better_than_googles_archive() -> None:
    """A long book is recognised as our package only, its METS being the first member."""
    assert list(differences(READ, {**READ, "detected": False})) == []


def test_the_text_is_held_against_the_text_file(tmp_path: Path) -> None:
    """A reading that is not what the page's .txt says is worth no comparison."""
    archive = tmp_path / "book.tar.gz"
    archive.write_bytes(make_book("39000000000018", pages=6).tar_gz)
    with tarfile.open(archive) as tar:
        file = tar.extractfile("00000003.txt")
        assert file is not None
        lines = [line.strip() for line in file.read().decode().splitlines() if line.strip()]
    assert lines
    assert list(_untrue(archive, {"pages": {"3": {"lines": lines}}})) == []
    assert len(list(_untrue(archive, {"pages": {"3": {"lines": [*lines[:-1], "else"]}}}))) == 1
