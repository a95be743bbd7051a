"""The board's folder as it was at the start: a new and empty one in its place must not pass for a board."""

from __future__ import annotations

from pathlib import Path


class Home:
    """Of one run; `remember` once the board is there, `require` before anything is read or written on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lost = ""
        """Why nothing is done at this moment; empty while all is well."""
        self._known: tuple[int, int] | None = None

    def remember(self) -> None:
        """This folder it is."""
        self._known = self._found()

    def require(self) -> None:
        """OSError unless it is there, and the same one. It may come back at any time."""
        missing = self._known is not None and self._found() != self._known
        if missing:
            self.lost = (
                f"the board's folder {self.root} is gone, or is another one than at the start; "
                "put it back, or start anew with the one that is there"
            )
            raise OSError(self.lost)
        self.lost = ""

    def _found(self) -> tuple[int, int] | None:
        try:
            figures = self.root.stat()
        except FileNotFoundError:
            return None
        return figures.st_dev, figures.st_ino
