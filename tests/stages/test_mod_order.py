"""Chains that cannot be meant, and modifications that cannot be made: told before the first book, by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.config import Settings
from services.modifier.modification import Modification
from services.modifier.stage import Modifier

Make = Callable[..., Modifier]
CATALOGUE: dict[str, Any] = {"catalogue_record": {"path": "."}}
_ABSENT = "cannot be imported: No module named 'absent'. Is its folder on PYTHONPATH?"
IIIF: dict[str, Any] = {"iiif": {"base": "https://books.example.org"}}


class Raises(Modification):
    """Has a check that fails."""

    def check(self) -> list[str]:
        """Fail."""
        raise ZeroDivisionError


class Says(Modification):
    """Has a check that gives a text."""

    def check(self) -> Any:
        """Say it."""
        return "no good"


class Unmade(Modification):
    """Cannot be made."""

    def __init__(self, options: object) -> None:
        raise ValueError("boom")


class Notes(Modification):
    """Says what it writes."""

    def writes(self) -> Sequence[str]:
        """A name that only differs by case."""
        return ["TXT"]


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        ([{"prune": {"keep": ["*.tif"]}}, "fixity"], "fixity: it would find fault with what prune has changed"),
        ([{"rename": {"prefix": "add"}}, "fixity"], "fixity: it would find fault with what rename has changed"),
        ([{"rename": {"pages": "p{page}{ext}"}}, "ocr_text"], "ocr_text: rename before it leaves no text of the pages"),
        ([{"prune": {"drop": ["*.txt"]}}, "ocr_jsonl"], "ocr_jsonl: prune before it leaves no text of the pages"),
        ([{"prune": {"keep": ["*.txt"]}}, "preview"], "preview: prune before it leaves no page images"),
        ([{"prune": {"drop": ["*.tif", "*.jp2"]}}, IIIF], "iiif: prune before it leaves no page images"),
        ([{"prune": {"drop": ["*_{barcode}.xml"]}}, "marc"], "marc: prune before it leaves no METS"),
        (
            [{"prune": {"drop": ["*"]}}, {"prune": {"drop": ["*.xml", "*_{barcode}.xml"]}}, "page_index"],
            "page_index: prune before it leaves no METS and no page images",
        ),
    ],
)
def test_what_takes_away_what_another_needs_is_told(make: Make, chain: list[Any], sentence: str) -> None:
    """A chain is the same for every book, so not one has to fail of it."""
    [problem] = make(Modifier, modifications=chain).check()
    assert sentence in problem


@pytest.mark.parametrize(
    "chain",
    [
        ["fixity", {"prune": {"drop": ["*.html"]}}, "ocr_text", "preview", IIIF],
        [{"rename": {"prefix": "strip"}}, IIIF, "ocr_text", "page_index"],
        [{"prune": {"drop": ["*.tif"]}}, "preview"],
        ["fixity", "fixity", {"ocr_jsonl": {"gzip": True}}, "ocr_jsonl"],
        [{"preview": {"files": ["cover"]}}, {"preview": {"files": ["contact"]}}],
        [{"rename": {"pages": "{page:08d}{ext}"}}, {"rename": {"prefix": "add"}}, {"prune": {"drop": ["a*"]}}],
    ],
)
def test_an_order_that_has_its_sense_is_left_alone(make: Make, chain: list[Any]) -> None:
    """A IIIF manifest tells of renamed images, and books of JP2 have a preview without the TIFFs."""
    assert make(Modifier, modifications=chain).check() == []


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        (["ocr_text", "ocr_text"], "Modification ocr_text is there twice, and would write <BARCODE>.txt twice"),
        ([IIIF, IIIF], "iiif is there twice"),
        ([CATALOGUE, CATALOGUE], "<BARCODE>.catalogue.xml twice"),
        (["preview", {"preview": {"files": ["cover"]}}], "<BARCODE>.cover.jpg twice"),
        (["page_index", {"page_index": {"formats": ["json"]}}], "<BARCODE>.pages.json twice"),
        (["ocr_text", f"{__name__}:Notes"], f"Both ocr_text and {__name__}:Notes are there"),
    ],
)
def test_a_sidecar_is_written_once(make: Make, chain: list[Any], sentence: str) -> None:
    """The second of two would fail every book."""
    [problem] = make(Modifier, modifications=chain).check()
    assert sentence in problem


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        ("fixity", "The option modifications should be a list, as in [a, b]."),
        (None, "The option modifications should be a list, as in [a, b]."),
        ([7], "A modification is written as its name, or with options as {name: {option: value}}, not 7."),
        ([{}], "A modification is written as its name, or with options as {name: {option: value}}, not {}."),
        ([{"fixity": True}], "The options of the modification fixity are written {option: value}, not True."),
        ([{"iiif": {}}], "Modification iiif: The option base is required."),
        (["prune"], "Modification prune: The options drop or keep should have a pattern, such as *.html."),
        (["absent:X"], f"The modification absent:X {_ABSENT}"),
        ([f"{__name__}:Raises"], f"Modification {__name__}:Raises: its check failed: ZeroDivisionError."),
        (
            [f"{__name__}:Says"],
            f"Modification {__name__}:Says: its check gave 'no good', which is no list of sentences.",
        ),
        ([f"{__name__}:Unmade"], f"The modification {__name__}:Unmade cannot be made: ValueError: boom."),
    ],
)
def test_what_is_written_wrong_is_told_in_a_sentence(make: Make, chain: object, sentence: str) -> None:
    """In the words of the file, and not of what reads it."""
    assert make(Modifier, modifications=chain).check() == [sentence]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('no licence.')", "RuntimeError: no licence."),
        ("raise SystemExit(3)", "SystemExit: 3."),
        ("class", "SyntaxError: invalid syntax (their_broken.py, line 1)."),
    ],
)
@pytest.mark.parametrize("kind", ["modification", "package"])
def test_a_module_that_fails_is_named(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str, kind: str
) -> None:
    """Whatever it does while it is imported, even if it ends the process."""
    (tmp_path / "their_broken.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    name = "their_broken:Class"
    options: dict[str, Any] = {"modifications": [name]} if kind == "modification" else {"package": name}
    assert make(Modifier, **options).check() == [f"The {kind} {name} cannot be imported: {words}"]


@pytest.mark.parametrize(("kept", "told"), [("true", 0), ("on", 0), (1, 0), ("no", 1), (3, 1), (None, 1)])
def test_keep_archive_is_read_as_the_extractor_reads_it(settings: Settings, kept: object, told: int) -> None:
    """The word is as good as the thing."""
    rows = [
        row.model_copy(update={"options": {"keep_archive": kept} if row.name == "extractor" else {}})
        for row in settings.filters
    ]
    settings = settings.model_copy(update={"filters": rows})
    row = settings.row("modifier").model_copy(update={"options": {"package": "original"}})
    assert len(Modifier(settings, row).check()) == told
