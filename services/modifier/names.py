"""The names of a package's members, kept so that every archive format and file system can hold them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.archive_names import folded, objection


class Names:
    """No two names are one file on any file system, and none is both a file and a folder, as the extractor has it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._files: dict[str, str] = {}
        # How a folder is spelt, and how many files lie below it.
        self._folders: dict[str, tuple[str, int]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Take in a name that nothing is against."""
        self._files[folded(name)] = name
        for folder in _above(name):
            _, count = self._folders.get(folded(folder), (folder, 0))
            self._folders[folded(folder)] = folder, count + 1

    def remove(self, name: str) -> None:
        """Forget a name, and the folders that nothing lies in any more."""
        del self._files[folded(name)]
        for folder in _above(name):
            spelt, count = self._folders.pop(folded(folder))
            if count > 1:
                self._folders[folded(folder)] = spelt, count - 1

    def require_free(self, name: str) -> None:
        """ValueError with a sentence when no member can have this name."""
        if against := objection(name):
            raise ValueError(f"A member cannot be called {name!r}: the name {against}.")
        if other := self._files.get(folded(name)):
            raise ValueError(f"A member cannot be called {name!r}: there is a member {other!r} already.")
        if folded(name) in self._folders:
            raise ValueError(f"A member cannot be called {name!r}: other members lie in a folder of that name.")
        for folder in _above(name):
            if other := self._files.get(folded(folder)):
                raise ValueError(f"A member cannot be called {name!r}: {other!r} is a member, and no folder.")
            spelt, _ = self._folders.get(folded(folder), (folder, 0))
            if spelt != folder:
                raise ValueError(f"A member cannot be called {name!r}: the folder is spelt {spelt!r}.")


def _above(name: str) -> Iterator[str]:
    """The folders that a name lies in."""
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))
