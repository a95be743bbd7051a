"""The whole pipeline run twice from the same archives: what it puts into the store is the same, byte for byte.

TWICE_PACKAGES names the packages, separated by commas; without it there is the one that a library takes first.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Grin, Pipeline

PACKAGES = os.environ.get("TWICE_PACKAGES", "tar.gz").split(",")
EVERY = ["fixity", "marc", "ocr_text", {"ocr_jsonl": {"gzip": True}}, "page_index", "preview"]


def run(folder: Path, grin: Grin, package: str, layout: str) -> dict[str, str]:
    """Bring all books home on a fresh board; SHA-256 of every object but the provenances, which tell times."""
    folder.mkdir()
    pipeline = Pipeline(folder, grin)
    options = {"modifier": {"package": package, "modifications": [*EVERY, {"iiif": {"base": "https://a.example"}}]}}
    options["extractor"] = {"layout": layout, "keep_archive": package == "original"}
    for row in pipeline.filters:
        row["options"] = options.get(row["name"], {})
    pipeline.write()
    assert pipeline.drain(timeout=180) == 1, "the bad books have failed"
    done = folder / "done"
    found = {str(path.relative_to(done)): path for path in sorted(done.rglob("*")) if path.is_file()}
    return {
        key: hashlib.sha256(path.read_bytes()).hexdigest()
        for key, path in found.items()
        if path.name != "provenance.json"
    }


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_the_pipeline_run_twice_makes_the_same_packages(tmp_path: Path, grin: Grin, package: str) -> None:
    """On another board, with members in one tar instead of files, every object comes out the same."""
    first = run(tmp_path / "first", grin, package, "files")
    books = {key.partition("/")[0] for key in first}
    assert books == grin.books().keys() - grin.poisoned()
    assert len(first) >= 10 * len(books)
    assert run(tmp_path / "second", grin, package, "tar") == first
