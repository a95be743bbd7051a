"""The done bucket as a folder: objects appear whole and proven, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from common import durable
from common.artifacts import Artifact, describe, describe_bytes
from common.errors import Redo, Retry


class FolderStore:
    """Puts one book's objects below a folder; safe to repeat and for two at once. OSError when that cannot be done."""

    def __init__(self, root: Path, barcode: str) -> None:
        self._root = root
        # A tilde is in no barcode, so no book's prefix is the beginning of another's.
        self._prefix = f".put~{barcode}~"

    def put_file(self, key: str, source: Path, wanted: Artifact) -> bool:
        """Put a file, by a hard link where that is possible; False when it was there already, and equal.

        Redo when `source` is not `wanted` any more, Retry when the store did not keep what it was given.
        """
        try:
            return self._put(key, wanted, lambda temp: _link_or_copy(source, temp))
        except Retry:
            if describe(source, wanted.name) != wanted:
                raise Redo(f"{source} was damaged on the disk, so the book is made again.") from None
            raise

    def put_bytes(self, key: str, data: bytes) -> bool:
        """Put an object with these bytes; False when it was there already, and equal."""
        return self._put(key, describe_bytes(data, key), lambda temp: durable.write_new(temp, data))

    def has(self, key: str) -> bool:
        """Whether there is such an object, whatever its bytes."""
        return (self._root / key).is_file()

    def sweep(self, key: str) -> None:
        """Remove what an earlier attempt on this book, killed in the middle, has left beside `key`."""
        for leftover in (self._root / key).parent.glob(f"{self._prefix}*"):
            leftover.unlink(missing_ok=True)

    def _put(self, key: str, wanted: Artifact, place: Callable[[Path], None]) -> bool:
        target = self._root / key
        if _is(target, wanted):
            return False
        durable.make_dirs(target.parent)
        temp = target.parent / f"{self._prefix}{secrets.token_hex(6)}"
        try:
            place(temp)
            self._publish(temp, target, wanted)
        finally:
            # A rename onto another link of the same file does nothing and leaves both names.
            temp.unlink(missing_ok=True)
        return True

    def _publish(self, temp: Path, target: Path, wanted: Artifact) -> None:
        """Read back what lies in the store under its hidden name, then give it its own name."""
        try:
            durable.fsync_path(temp)
            proven = temp.stat()
            if not _is(temp, wanted):
                raise Retry(f"{target} did not arrive as it was sent.", "Check the disk of the done bucket.")
            temp.replace(target)
        except FileNotFoundError:
            raise Retry(f"{temp} was taken away: another worker has put {target} at the same time.") from None
        durable.fsync_dir(target.parent)
        if not os.path.samestat(proven, target.stat()) and not _is(target, wanted):
            raise Retry(f"{target} was changed while it was put there.", "See who else writes to the done bucket.")


def _is(path: Path, wanted: Artifact) -> bool:
    """Whether a file is there with the wanted size and SHA-256."""
    try:
        return path.stat().st_size == wanted.size and describe(path, wanted.name) == wanted
    except FileNotFoundError:
        return False


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # Another file system, or one without hard links; what is really wrong, the copy says.
        shutil.copyfile(source, target)
