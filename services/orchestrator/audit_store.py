"""The done bucket as an audit sees it: read only, streamed, and never mistaken for empty when it is not mounted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from common.artifacts import describe
from common.config import FilterRow, Settings
from common.deliveries import Delivery, Stored
from common.errors import Halt
from common.store_keys import DEFAULT, PROVENANCE, Key, Keys

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
GONE = "is not there"
_MOUNTED = "See that it is mounted here and can be read, then audit again."


class Store:
    """One done bucket. Halt when it cannot be read, which is something else than an object that is not there."""

    def __init__(self, settings: Settings, bucket: str | None = None) -> None:
        named = bucket or settings.global_.done_bucket
        if _URL.match(named):
            raise Halt(f"The done bucket is {named}.", "Only a folder can be audited so far: name a path.")
        self.root = settings.path.parent / named
        template = next((row.options.get("key") for row in uploaders(settings)), None)
        self.keys = Keys(template if isinstance(template, str) else DEFAULT, settings.global_.library)
        self._identity: tuple[int, int] | None = None

    def require(self) -> None:
        """Halt when the bucket is not there, is empty, or is another one than before: somebody unmounted it."""
        try:
            figures = self.root.stat()
            with os.scandir(self.root) as entries:
                empty = next(entries, None) is None
        except OSError as error:
            raise Halt(f"The done bucket {self.root} cannot be read: {error.strerror}.", _MOUNTED) from None
        identity = figures.st_dev, figures.st_ino
        if empty or self._identity not in (None, identity):
            what = "is empty" if empty else "is another folder than a moment ago"
            raise Halt(f"The done bucket {self.root} {what}, though books were delivered.", _MOUNTED)
        self._identity = identity

    def fault(self, wanted: Stored, *, deep: bool) -> str:
        """What is wrong with an object, as the end of a sentence: "" for nothing, "is not there" for missing."""
        path = self.root / wanted.key
        try:
            size = path.stat().st_size
            if wanted.size is not None and size != wanted.size:
                return f"has {size:,} bytes instead of {wanted.size:,}"
            if deep and wanted.sha256 is not None and describe(path, wanted.name).sha256 != wanted.sha256:
                return "has another SHA-256 than it had when it was proven"
        except (FileNotFoundError, NotADirectoryError):
            return GONE
        except OSError as error:
            raise Halt(f"The done bucket cannot be read: {path}: {error.strerror}.", _MOUNTED) from None
        return ""

    def expected(self, delivered: list[Delivery]) -> dict[str, Stored]:
        """All objects of a book by key, each as it was put last."""
        found: dict[str, Stored] = {}
        for delivery in delivered:
            found |= {file.key: file for file in delivery.files}
            key = delivery.provenance or self._provenance(delivery)
            # A delivery of what was held already left the provenance that stood there.
            if key and (key not in found or delivery.proof[0] is not None):
                found[key] = Stored(key, PROVENANCE, delivery.version, *delivery.proof)
        return found

    def _provenance(self, delivery: Delivery) -> str:
        """The key of a provenance that no fact names, from a file beside it."""
        known = self.keys.parse(delivery.files[0].key)
        return self.keys.of(known.barcode, PROVENANCE, known.version) if known else ""

    def walk(self) -> Iterator[tuple[Key, Path]]:
        """Every object whose key is one of the template's, streamed, in no order but folder by folder."""
        yield from self._walk(str(self.root))

    def _walk(self, here: str) -> Iterator[tuple[Key, Path]]:
        try:
            # Open while its folders are gone through: a list of them could be a million long.
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._walk(entry.path)
                    elif not entry.name.startswith("."):
                        yield from self._known(entry.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Halt(f"The done bucket cannot be read: {here}: {error.strerror}.", _MOUNTED) from None

    def books(self, barcodes: tuple[str, ...]) -> Iterator[tuple[Key, Path]]:
        """The same for named books, without a walk: their provenances."""
        for barcode in barcodes:
            key = self.keys.of(barcode, PROVENANCE)
            if (self.root / key).is_file():
                yield Key(barcode, PROVENANCE, 1), self.root / key

    def _known(self, path: str) -> Iterator[tuple[Key, Path]]:
        known = self.keys.parse(path[len(str(self.root)) + 1 :])
        if known is not None:
            yield known, Path(path)


def uploaders(settings: Settings) -> list[FilterRow]:
    """The stages that put books into the store, by their classes' names."""
    return [row for row in settings.filters if row.class_.rpartition(":")[2].rpartition(".")[2].endswith("Uploader")]
