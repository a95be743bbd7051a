"""Every package that the modifier makes, put into the store and read there by other tools."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, book_of, done_event, pages, run, stored, tar_gz

from common.stage import Book, Stage
from services.extractor.stage import Extractor
from services.modifier.stage import Modifier
from services.uploader.stage import Uploader

Upload = Callable[[str], dict[str, Any]]


@pytest.fixture
def upload(folder: Path, make: Callable[..., Stage], done: Path) -> Upload:
    """Runs extractor, modifier and uploader; the uploader's facts."""

    def run_all(package: str) -> dict[str, Any]:
        (folder / "decryptor").mkdir()
        (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(tar_gz(book_of(pages())))
        before, events = ["decryptor"], []
        facts: dict[str, Any] = {}
        for cls, options in ((Extractor, {}), (Modifier, {"package": package}), (Uploader, {})):
            stage = make(cls, **options)
            assert stage.check() == []
            facts = dict(run(stage, Book(BARCODE, folder, str(done), upstream=tuple(before), events=tuple(events))))
            events.append(done_event(stage.row.name, "2026-01-01T00:00:00.000Z", **facts))
            before.insert(0, stage.row.name)
        return facts

    return run_all


def test_a_tree_is_in_the_store_as_its_manifest_says(upload: Upload, done: Path) -> None:
    """`sha256sum -c` in the store, by the store's own manifest; the ledger has no line for each page."""
    facts = upload("tree")
    command = ["sha256sum", "--check", "--strict", "--quiet", "manifest-sha256.txt"]
    subprocess.run(command, cwd=done / BARCODE, check=True)
    members = book_of(pages())
    assert {key.partition("/")[2] for key in stored(done)} >= set(members)
    assert facts["tree_files"] == len(members)
    assert len(facts["files"]) < 5
    assert len(json.loads((done / BARCODE / "provenance.json").read_text())["files"]) == len(facts["files"])


@pytest.mark.parametrize("package", ["tar.gz", "zip", "bagit"])
def test_a_package_of_any_name_is_put(upload: Upload, done: Path, package: str) -> None:
    """Whatever the modifier calls it: nothing takes it for a tar.gz."""
    facts = upload(package)
    assert {file["key"] for file in facts["files"]} == set(stored(done))
    assert "tree_files" not in facts
