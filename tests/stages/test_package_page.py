"""The page on packages keeps up with the code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from books import BARCODE, book_of, pages
from packing import KINDS, left, pack

from services.modifier.stage import Modifier

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "packages.md").read_text()


def test_every_package_is_on_the_page() -> None:
    """Each has its row and its section."""
    for kind in KINDS:
        assert f"| [`{kind}`](#" in PAGE
        assert f"\n## {kind}\n" in PAGE


def test_the_package_of_the_page_works(
    folder: Path, make: Callable[..., Modifier], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class on the page, copied word for word, packs a book and is described like any other."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "their_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_module", raising=False)
    facts = pack(folder, make, book_of(pages()), "their_module:TextOnly")
    monkeypatch.delitem(sys.modules, "their_module")
    text = b"text of page 1\ntext of page 2\ntext of page 3\n"
    assert left(folder) == {f"{BARCODE}.text": text}
    assert (facts["package"]["size"], facts["members"]) == (len(text), 11)
