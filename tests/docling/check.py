"""Docling's METS_GBS backend reads Google's own archive and our package of it: is there any difference?

Compared for each book: the number of pages, the text of each page line by line, how many words it has, and the page
image pixel by pixel; and, without Docling, that the text is that of the page's .txt file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.docling.brought import LONG, LONG_BOOK, brought_home, made_archives, served

_READER = Path(__file__).with_name("read.py")
_REAL = "REAL_PAGES"
# Of the long book only these pages are read: Docling inflates an archive anew for each step back in it.
_SOME = (1, LONG // 2, LONG)

Read = dict[str, Any]


def main() -> int:
    """Bring the books home as each package, have them read, compare; 1 when anything differs."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archives = made_archives(folder, long=not arguments.quick) | _real(arguments.real)
        theirs = {barcode: _read(arguments.python, path) for barcode, path in archives.items()}
        differences = [line for barcode, path in archives.items() for line in _untrue(path, theirs[barcode])]
        with served(folder, archives) as told:
            for package in arguments.packages:
                ours = brought_home(folder, told, package, arguments.layout)
                differences += _compared(arguments.python, package, ours, theirs)
    print("\n".join(["", *differences]) if differences else "\nNo difference.")
    return 1 if differences else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="docling", description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="the Python that has Docling")
    parser.add_argument("--packages", type=lambda text: text.split(","), default=["tar.gz", "original", "bagit"])
    parser.add_argument("--layout", default="files")
    parser.add_argument("--quick", action="store_true", help="without the long book")
    real = os.environ.get(_REAL)
    parser.add_argument("--real", type=Path, default=real and Path(real), help=f"real pages as a .tar.gz (or ${_REAL})")
    return parser.parse_args()


def _real(archive: Path | None) -> dict[str, Path]:
    if archive is None:
        print(f"NO REAL PAGES ARE READ: name an archive of them with --real or in ${_REAL}.")
        return {}
    return {archive.name.split("_")[0].removesuffix(".tar.gz"): archive}


def _read(python: Path, archive: Path) -> Read:
    """What Docling reads, with limits that let a long book through; `plain` is what it finds with its own limits."""
    chosen = f"{archive}={','.join(map(str, _SOME))}" if LONG_BOOK in archive.name else str(archive)
    found = _docling(python, "--limit", "1000000", chosen)
    return {**found, "plain": _docling(python, chosen) if LONG_BOOK in archive.name else found}


def _docling(python: Path, *arguments: str) -> Read:
    done = subprocess.run([python, _READER, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Docling cannot be asked:\n{done.stderr}")
    return dict(json.loads(done.stdout))


def _compared(python: Path, package: str, ours: Mapping[str, Path], theirs: Mapping[str, Read]) -> Iterator[str]:
    if not ours:
        print(f"package: {package}: no tar.gz, so it is not for Docling")
        return
    if missing := set(theirs) - set(ours):
        yield f"package: {package}: {', '.join(sorted(missing))} did not come home"
    for barcode, path in ours.items():
        read = _read(python, path)
        print(f"package: {package}, {barcode}\n  ours      {_said(read)}\n  Google's  {_said(theirs[barcode])}")
        for difference in differences(read, theirs[barcode]):
            yield f"package: {package}, {barcode}: {difference}"


def differences(read: Read, expected: Read) -> Iterator[str]:
    """What is read otherwise than expected, a sentence each."""
    for key in ("detected", "valid", "count", "pages"):
        # A package that is recognised where Google's own is not is no worse than it.
        better = key == "detected" and read[key]
        if read[key] != expected[key] and not better:
            yield f"{key} is not as in Google's own archive: {_first(read, expected, key)}"


def _said(read: Read) -> str:
    pages, plain = read["pages"].values(), read["plain"]
    sound = sum("error" not in page for page in pages)
    lines = sum(len(page.get("lines", ())) for page in pages)
    within = sum("error" not in page for page in plain["pages"].values())
    how = "recognised" if plain["detected"] else "not recognised"
    told = f"{read['count']} pages, {sound} of {len(pages)} asked for are read, {lines} lines, {read['seconds']} CPU s"
    return f"{told}; by Docling's own limits {how}, {within} read"


def _first(read: Read, expected: Read, key: str) -> str:
    if key != "pages":
        return f"{read[key]} and not {expected[key]}"
    number = next(page for page in expected["pages"] if read["pages"].get(page) != expected["pages"][page])
    return f"page {number}: {str(read['pages'].get(number))[:300]} and not {str(expected['pages'][number])[:300]}"


def _untrue(archive: Path, read: Read) -> Iterator[str]:
    """Where Docling reads another text than stands in the .txt file: then it compares nothing that is worth it."""
    with tarfile.open(archive) as tar:
        names = sorted(name for name in tar.getnames() if name.endswith(".txt") and name[-5].isdigit())
        for number, page in read["pages"].items():
            if "error" in page:
                continue
            file = tar.extractfile(names[int(number) - 1])
            assert file is not None
            lines = [line.strip() for line in file.read().decode().splitlines() if line.strip()]
            if lines != page["lines"]:
                yield f"{archive.name}: page {number} reads {page['lines'][:3]} and not {lines[:3]}"


if __name__ == "__main__":
    sys.exit(main())
