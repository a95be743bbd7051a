"""A stage that leaves a book as loose files, for the tests of audits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from common.stage import Book, Stage


class Tree(Stage):
    """Leaves a book as loose files, and a manifest that names them."""

    def process(self, book: Book, work: Path) -> dict[str, Any]:
        """Three pages, one of them in a folder."""
        lines = []
        for name in ("00000001.tif", "00000001.txt", "ocr/00000001.html"):
            data = f"{name} of {book.barcode}".encode()
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(data)
            lines.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        manifest = "".join(lines).encode()
        (work / "manifest-sha256.txt").write_bytes(manifest)
        made = {"size": len(manifest), "sha256": hashlib.sha256(manifest).hexdigest()}
        return {"package": {"name": "manifest-sha256.txt", **made}, "sidecars": [], "tree": True}
