"""The page on modifications keeps up with the code, and what it shows works."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from books import BARCODE, book_of, pages, run, tar_gz

from common.stage import Book
from services.extractor.stage import Extractor
from services.modifier.chain import SHIPPED
from services.modifier.modification import Modification
from services.modifier.naming import find
from services.modifier.stage import Modifier
from tests import pages as pages_of_docs

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "modifications.md"


def section(name: str) -> str:
    """What stands under a heading of the page."""
    match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert match, name
    return match[1]


def examples(text: str, language: str) -> list[str]:
    """The pieces of code in a text."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_modification_and_each_of_its_options_is_told(name: str) -> None:
    """A heading of its own, and the options by name under it or in the table."""
    row = next((line for line in PAGE.read_text().splitlines() if line.startswith(f"| [`{name}`]")), "")
    told = section(name)
    assert len(told.split()) > 20
    options = find("modification", name, SHIPPED, Modification).model.model_fields
    assert [option for option in options if not re.search(rf"`{option}[`:]", told + row)] == []


def test_every_chain_on_the_page_is_one_that_can_be_made(make: Callable[..., Modifier], tmp_path: Path) -> None:
    """No example names a modification or an option that there is not."""
    chains = [yaml.safe_load(text) for text in examples(PAGE.read_text(), "yaml")]
    assert len(chains) >= 3
    for chain in chains:
        listed = chain[0]["options"]["modifications"] if "class" in chain[0] else chain
        problems = make(Modifier, modifications=listed).check()
        # The library's catalogue and the user's own module are not on this machine.
        assert [
            problem for problem in problems if "is not there" not in problem and "their_module" not in problem
        ] == []


def test_ones_own_modification_works_as_the_page_has_it(
    make: Callable[..., Extractor | Modifier], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied word for word, named by module:Class with its option: a member, a sidecar and facts."""
    code = pages_of_docs.file("docs/how-to/add-a-modification.md", "one", "their_module.py")
    [chain] = examples(section("Your own"), "yaml")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "their_module.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    (folder / "decryptor").mkdir()
    (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(tar_gz(book_of(pages())))
    run(make(Extractor), Book(BARCODE, folder, "", upstream=("decryptor",)))
    modifier = make(Modifier, modifications=yaml.safe_load(chain))
    assert modifier.check() == []
    facts = run(modifier, Book(BARCODE, folder, "", upstream=("extractor",)))
    assert (facts["words"], facts["warnings"]) == (12, [])
    assert json.loads((folder / "modifier" / f"{BARCODE}.words.json").read_text()) == {"1": 4, "2": 4, "3": 4}
    with tarfile.open(folder / "modifier" / f"{BARCODE}.tar.gz") as package:
        member = package.extractfile("note.txt")
        assert member is not None
        assert member.read() == b"From the Rare Book Room.\n"
