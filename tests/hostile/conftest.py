"""The real extractor over a canary, once for each layout on disk."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from common.archive_names import objection
from common.config import load
from common.stage import Book
from services.extractor.stage import Extractor
from tests.hostile.archives import BARCODE

CONFIG = "filters: [{name: extractor, class: Extractor, input_pipe: a, output_pipe: b}]"
OUTSIDE = Path("/tmp/grin-hostile-escaped")
"""Where the archives with absolute names want to write."""


class Bench:
    """An extractor for one archive after the other, deep in a folder in which nothing else may change."""

    def __init__(self, root: Path, config: Path, layout: str) -> None:
        config.write_text(CONFIG)
        self.settings = load(config, environ={})
        self.layout = layout
        self.root = root
        self.folder = root / "deep" / "processing" / BARCODE
        self.work = self.folder / "work"
        (self.folder / "decryptor").mkdir(parents=True)
        for place in (root, self.folder, self.folder.parent):
            (place / "canary").write_text("sings")

    def __call__(self, data: bytes, **options: Any) -> dict[str, Any]:
        """Extract these bytes into a fresh folder; the facts."""
        self.put(data)
        return self.again(**options)

    def put(self, data: bytes) -> None:
        """These bytes are the archive."""
        (self.folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(data)

    def again(self, **options: Any) -> dict[str, Any]:
        """Extract what lies there already."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        row = self.settings.row("extractor").model_copy(update={"options": {"layout": self.layout, **options}})
        book = Book(BARCODE, self.folder, "", upstream=("decryptor",))
        return dict(Extractor(self.settings, row).process(book, self.work))

    @property
    def written(self) -> int:
        """Bytes on disk below the work folder, headers and padding of a tar too."""
        return sum(path.stat().st_size for path in self.work.rglob("*") if path.is_file())

    def members(self) -> dict[str, bytes]:
        """The members that lie there, by name."""
        if self.layout == "files":
            top = self.work / "members"
            return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        found = {}
        with tarfile.open(self.work / "members.tar") as tar:
            for header in tar:
                file = tar.extractfile(header)
                assert file is not None
                found[header.name] = file.read()
        return found

    def inspect(self) -> None:
        """Nothing is outside, nothing is anything but a plain file or a folder, inside a tar neither."""
        assert not OUTSIDE.exists()
        for root, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = Path(root, name)
                assert not path.is_symlink()
                assert path.is_dir() or (path.is_file() and path.stat().st_nlink == 1)
                assert path.stat().st_mode & 0o7000 == 0
                inside = self.work in path.parents or path == self.folder / "decryptor" / f"{BARCODE}.tar.gz"
                ours = path in {self.folder, *self.folder.parents, self.work, self.folder / "decryptor"}
                assert inside or ours or (name == "canary" and path.read_text() == "sings")
        if (self.work / "members.tar").is_file() and (self.work / "members.tar").stat().st_size > 1024:
            # One that was refused on the way may end anywhere.
            with tarfile.open(self.work / "members.tar") as tar, suppress(tarfile.ReadError):
                for header in tar:
                    assert header.isreg()
                    assert not objection(header.name)


@pytest.fixture(params=["files", "tar"])
def extract(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """Extracts archives, and looks at the end for what got out and what is no plain file."""
    bench = Bench(tmp_path, tmp_path_factory.mktemp("config") / "config.yaml", request.param)
    yield bench
    bench.inspect()
