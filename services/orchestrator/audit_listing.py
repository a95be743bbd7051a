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

    @property
    def is_whole(self) -> bool:
        """Whether all of them have come."""
        return self._whole

    def size(self, key: str) -> int | None:
        """The bytes of an object as it was then; None may also mean that nobody knows."""
        found = self._base.execute("SELECT size FROM objects WHERE key = ?", (key,)).fetchone() if self._whole else None
        return None if found is None else int(found[0])
