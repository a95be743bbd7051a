"""What has come of a download: kept when its attempt ends or its worker dies, so that a later one goes on with it.

    <folder>/<random>/build.json    whose bytes these are: address, library, ETag, length; written first
    <folder>/<random>/data          the first of them

A worker that slept through the loss of its claim may still write into its `data`. So nobody ever writes into another's:
who goes on takes the folder's name, which only one can, and copies. And a file is of one build for ever: what starts
again does so in a folder of its own. No file is ever cut short.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from common import durable
from common.errors import Retry
from common.grin import room

_STRONG = re.compile(r'"[^"]*"')
_PIECE = 1 << 20
_DATA, _BUILD = "data", "build.json"
_TAKEN = "Another worker has taken over the download of this book."


@dataclass(frozen=True)
class Build:
    """Which bytes a download is of; the ETag is empty and the length None where the server does not tell."""

    url: str
    library: str
    etag: str
    total: int | None

    @property
    def can_go_on(self) -> bool:
        """Only a strong ETag proves that two parts are of one file."""
        return _STRONG.fullmatch(self.etag) is not None


class Partial:
    """One attempt's part of an archive, which becomes `target` when it is whole.

    `folder` is the book's, made when needed; target's folder is the attempt's, and when that is gone so is the claim.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._target = target
        self._home: Path | None = None
        self._fd = -1
        self._clear()

    def _clear(self) -> None:
        self.build: Build | None = None
        self.size = 0
        self.held = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has come so far, in hex."""
        return self._digest.hexdigest()

    @property
    def is_whole(self) -> bool:
        """All that was promised has come; never where nothing was."""
        return self.size > 0 and self.build is not None and self.build.total == self.size

    def adopt(self, library: str, urls: Collection[str]) -> None:
        """Go on with what an earlier attempt has left of one of these addresses, the longest; the rest is removed."""
        found = sorted(self._folder.iterdir() if self._folder.is_dir() else (), key=_length, reverse=True)
        for old in found:
            self._own()
            build = _read(old / _BUILD)
            if self.build is None and build and build.can_go_on and build.library == library and build.url in urls:
                self._take(old, build)
            shutil.rmtree(old, ignore_errors=True)
        if found and self.build is None:
            self._forsake()
        # While the old one lay there too, there may have been no room for all of it.
        self._reserve()

    def start(self, build: Build) -> None:
        """Begin anew, with nothing; room is taken for all of it."""
        self.discard()
        self._home = self._make_home()
        (self._home / _BUILD).write_text(json.dumps(asdict(build)))
        self._fd = os.open(self._home / _DATA, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self.build = build
        self._reserve()

    def append(self, data: bytes) -> None:
        """Add the next bytes."""
        durable.write_all(self._fd, data)
        self._digest.update(data)
        self.size += len(data)
        self.held = max(self.held, self.size)

    def check(self) -> None:
        """Retry when another worker has taken this file: then this one's claim is gone too."""
        if self._home is not None and not (self._home / _DATA).exists():
            raise Retry(_TAKEN)

    def finish(self) -> Build:
        """Sync the whole file and give it its name; Retry when another worker has taken over."""
        if self._home is None or self.build is None:
            raise Retry("Nothing has come of this download.")
        os.fsync(self._fd)
        try:
            durable.replace(self._home / _DATA, self._target)
        except FileNotFoundError:
            raise Retry(_TAKEN) from None
        self._close()
        self._forsake()
        return self.build

    def keep(self) -> None:
        """Leave what has come to a later attempt, if one can go on with it; the room for the rest is given back.

        Nothing is done after `finish`.
        """
        if self._fd < 0:
            return None
        if self.build is None or not self.build.can_go_on or not self.size:
            return self.discard()
        with suppress(OSError):
            room.give_back(self._fd)
        return self._close()

    def discard(self) -> None:
        """Throw away what has come."""
        self._close()
        self._forsake()
        self._clear()

    def _make_home(self) -> Path:
        home = self._folder / secrets.token_hex(8)
        while not home.is_dir():
            self._own()
            # A worker that has lost this book may take the folder away while it is empty.
            with suppress(FileNotFoundError):
                durable.make_dir(self._folder)
                durable.make_dir(home)
        return home

    def _reserve(self) -> None:
        total = self.build.total if self.build else None
        if total and self.held < total and room.reserve(self._fd, total):
            self.held = total

    def _take(self, old: Path, build: Build) -> None:
        """The name first: of several workers one gets it. Then the bytes, as far as they are there now."""
        mine = self._folder / secrets.token_hex(8)
        try:
            durable.replace(old, mine)
        except FileNotFoundError:
            return
        try:
            self._own()
        except Retry:
            # Asleep between two steps, until somebody else had begun: it was never to be taken.
            durable.replace(mine, old)
            raise
        try:
            self._copy(mine / _DATA, build)
        except OSError as error:
            self.discard()
            if error.errno not in durable.FULL:
                raise
        finally:
            shutil.rmtree(mine, ignore_errors=True)

    def _copy(self, source: Path, build: Build) -> None:
        with source.open("rb", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size
            if not left or left > (build.total or left):
                return
            self.start(build)
            while left and (piece := file.read(min(_PIECE, left))):
                self.append(piece)
                left -= len(piece)

    def _own(self) -> None:
        if not self._target.parent.is_dir():
            raise Retry(_TAKEN)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _forsake(self) -> None:
        """Remove this attempt's own folder, and the one around it if nothing else is in it."""
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None
        with suppress(OSError):
            self._folder.rmdir()


def _length(folder: Path) -> int:
    try:
        return (folder / _DATA).stat().st_size
    except OSError:
        return -1


def _read(path: Path) -> Build | None:
    """The note of an earlier attempt; None for what is none, as a power cut may leave it."""
    try:
        members = json.loads(path.read_bytes())
        build = Build(str(members["url"]), str(members["library"]), str(members["etag"]), members["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return build if build.total is None or (type(build.total) is int and build.total > 0) else None
