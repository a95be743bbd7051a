"""What one listing of a store has told, kept in a nameless file: a million books have some millions of objects."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator


class Listed:
    """Which objects were there, and how large, when they were listed. The file goes with the process."""

    def __init__(self) -> None:
        # A database of this name is a file in the system's folder for such, held open and already removed.
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("CREATE TABLE objects (key TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        self._whole = False

    def keep(self, objects: Iterator[tuple[str, int]]) -> Iterator[str]:
        """Keep them as they come; their keys. What is kept is believed once all of them have come."""
        self._base.execute("BEGIN")
        for key, size in objects:
            self._base.execute("INSERT OR REPLACE INTO objects VALUES (?, ?)", (key, size))
            yield key
        self._base.execute("COMMIT")
        self._whole = True

    def has(self, key: str, size: int | None) -> bool:
        """Whether such an object was there, with that size if one is given. False may also mean: nobody knows."""
        found = self._base.execute("SELECT size FROM objects WHERE key = ?", (key,)).fetchone() if self._whole else None
        return found is not None and size in (None, found[0])
