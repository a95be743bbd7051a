"""Members laid down as files, while their bytes go where else they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from common import workfiles
from services.modifier.packages.package import Members


class Hashed:
    """Passes chunks on; at their end `sha256` is known."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256(usedforsecurity=False)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """The SHA-256 of what has gone through, in lower-case hex."""
        return self._digest.hexdigest()


def laid(members: Members, name: str, target: Path) -> Iterator[bytes]:
    """A member's proven chunks; at their end `target` is there, as a second name of the member's file if it has one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = members.path(name)
    if source is None:
        with target.open("xb", buffering=0) as file:
            for chunk in members.chunks(name):
                file.write(chunk)
                yield chunk
    else:
        yield from members.chunks(name)
        workfiles.link(source, target)
