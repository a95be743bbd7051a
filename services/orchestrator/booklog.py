"""What the stages' logs say of one book. Reads no more than the end of each file; changes nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Of each file so many bytes from its end are read, and of what is found the last so many lines are told.
MOST, LINES = 16_000_000, 50


def lines(folder: Path, barcode: str) -> tuple[list[dict[str, Any]], bool]:
    """The newest lines about a book, oldest first, and whether all of every file was read."""
    needle = json.dumps({"barcode": barcode})[1:-1].encode()
    found: list[dict[str, Any]] = []
    whole = True
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".jsonl"))
    except OSError:
        return [], True
    for name in names:
        data, all_of_it = _end(folder / name)
        whole = whole and all_of_it
        found += _about(data, needle, barcode)
    found.sort(key=lambda line: str(line.get("time", "")))
    return found[-LINES:], whole


def _about(data: bytes, needle: bytes, barcode: str) -> Iterator[dict[str, Any]]:
    for text in data.split(b"\n"):
        if needle in text:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and line.get("barcode") == barcode:
                yield line


def _end(path: Path) -> tuple[bytes, bool]:
    """The end of a regular file, never following a link or waiting on a FIFO; nothing of one that cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", True
    try:
        figures = os.fstat(fd)
        if not stat.S_ISREG(figures.st_mode):
            return b"", True
        return os.pread(fd, MOST, max(0, figures.st_size - MOST)), figures.st_size <= MOST
    except OSError:
        return b"", True
    finally:
        os.close(fd)
