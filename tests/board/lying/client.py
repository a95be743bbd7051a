"""What one client of a network file system believes: old listings, names that it holds for missing, old attributes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

from tests.board.lying.lies import Lies

Attributes = dict[str, Any]
# A name, its inode number and kind, and an offset that is always 0.
Entry = tuple[str, Attributes, int]


class Client:
    """The caches of one mount."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self._listings: dict[str, tuple[float, list[Entry]]] = {}
        self._missing: dict[str, dict[str, float]] = {}
        self._known: dict[str, tuple[float, Attributes]] = {}

    def listing(self, folder: str, lies: Lies, read: Callable[[], list[Entry]]) -> list[Entry]:
        """The names in a folder, from the server or from memory. One from the server ends what was thought missing."""
        until, names = self._listings.get(folder, (0.0, []))
        if lies.listing_age and time.monotonic() < until:
            return names
        names = read()
        self._listings[folder] = (time.monotonic() + self.dice.uniform(0.5, 1) * lies.listing_age, names)
        self._missing.pop(folder, None)
        return names

    def attributes(self, path: str, lies: Lies, read: Callable[[], Attributes]) -> Attributes:
        """A file's attributes, from the server or from memory."""
        if not (lies.negative_age or lies.attribute_age or lies.shared_create):
            return read()
        now = time.monotonic()
        until, known = self._known.get(path, (0.0, {}))
        if now < until:
            return known
        folder, name = os.path.split(path)
        missing = self._missing.setdefault(folder, {})
        if missing.get(name, 0.0) > now:
            raise FileNotFoundError(2, "remembered as missing")
        try:
            known = read()
        except FileNotFoundError:
            missing[name] = now + lies.negative_age
            raise
        if lies.attribute_age and not name.startswith("."):
            self._known[path] = (now + lies.attribute_age, known)
        return known

    def changed(self, *paths: str) -> None:
        """This client itself has changed these and knows it."""
        for path in paths:
            folder, name = os.path.split(path)
            self._missing.get(folder, {}).pop(name, None)
            self._known.pop(path, None)

    def hide(self, path: str) -> None:
        """Believe for an hour that this name is missing."""
        folder, name = os.path.split(path)
        self._missing.setdefault(folder, {})[name] = time.monotonic() + 3600
