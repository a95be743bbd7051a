"""The done bucket as an audit sees it: read only, streamed, and never mistaken for empty when it cannot be reached."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator

from common.config import FilterRow, Settings
from common.deliveries import Delivery, Stored
from common.store import is_url, open_bucket
from common.store_keys import DEFAULT, MANIFEST, PROVENANCE, Key, Keys, listed
from services.orchestrator.audit_listing import Listed

GONE = "is not there"
_CHANGED = "has another SHA-256 than it had when it was proven"
_LONGEST = 64_000_000
_NOTHING = hashlib.sha256(b"").hexdigest()
# So many objects are asked for one by one; by then a listing of a million would have taken as long.
SINGLY = 10_000


class Store:
    """One done bucket. Halt when it cannot be read, which is something else than an object that is not there."""

    def __init__(self, settings: Settings, bucket: str | None = None) -> None:
        named = bucket or settings.global_.done_bucket
        self.bucket = open_bucket(named, settings.base)
        self.name = self.bucket.name
        template = next((row.options.get("key") for row in uploaders(settings)), None)
        self.keys = Keys(template if isinstance(template, str) else DEFAULT, settings.global_.library)
        # An object store is asked for a thousand objects at once, or for one: a folder's files are all near.
        self._listed = Listed() if is_url(named) else None
        self._asked = 0

    def require(self) -> None:
        """Halt when the bucket cannot be reached, is empty, or is another one than before: somebody unmounted it."""
        self.bucket.require()

    def fault(self, wanted: Stored, *, deep: bool) -> str:
        """What is wrong with an object, as the end of a sentence: "" for nothing, "is not there" for missing."""
        if deep and wanted.sha256 is not None:
            found = self.bucket.describe(wanted.key)
            return _judged(wanted, *(found.size, found.sha256) if found else (None, None))
        return self._measured(wanted)[1]

    def _measured(self, wanted: Stored) -> tuple[int, str]:
        """The bytes of an object, and what is wrong with it as far as they tell."""
        listing = self._listing()
        known = listing.size(wanted.key) if listing else None
        # The listing may be some hours old, so it is believed only where it says that all is well.
        if known is not None and not _judged(wanted, known, wanted.sha256):
            return known, ""
        size = self.bucket.size(wanted.key)
        return size or 0, _judged(wanted, size, wanted.sha256)

    def _listing(self) -> Listed | None:
        """What a listing has told; whoever asks for many objects gets one made."""
        self._asked += 1
        if self._listed is not None and not self._listed.is_whole and self._asked > SINGLY:
            deque(self._listed.keep(self.bucket.sizes()), maxlen=0)
        return self._listed

    def holds(self, wanted: Stored) -> bool:
        """Whether there is such an object, of any bytes; by the listing alone where there is one."""
        if self._listed is not None and self._listed.is_whole:
            return self._listed.size(wanted.key) is not None
        return self.bucket.size(wanted.key) is not None

    def faults(self, wanted: Stored, *, deep: bool) -> Iterator[tuple[Stored, str]]:
        """The same with what is wrong about the files that it names, if it is the manifest of a book's files."""
        fault = self.fault(wanted, deep=deep)
        if fault:
            yield wanted, fault
        elif wanted.name == MANIFEST:
            yield from self._tree(wanted, deep=deep)

    def _tree(self, manifest: Stored, *, deep: bool) -> Iterator[tuple[Stored, str]]:
        data = self.bucket.read(manifest.key, _LONGEST) or b""
        if manifest.sha256 not in (None, hashlib.sha256(data).hexdigest()):
            yield manifest, _CHANGED
            return
        files: list[Stored] = []
        for sha256, name in listed(data):
            if not sha256:
                yield manifest, f"has a line that names no file: {name[:80]!a}"
                continue
            files.append(Stored(self.keys.beside(manifest.key, name), name, manifest.version, None, sha256))
        yield from self._members(manifest, files, deep=deep)

    def _members(self, manifest: Stored, files: list[Stored], *, deep: bool) -> Iterator[tuple[Stored, str]]:
        """Each file that is wrong by itself; and if none is, whether all of them have the bytes that they had."""
        if deep:
            yield from ((file, fault) for file in files if (fault := self.fault(file, deep=True)))
            return
        measured = [self._measured(file) for file in files]
        wrong = [(file, fault) for file, (_, fault) in zip(files, measured, strict=True) if fault]
        yield from wrong
        if wrong or manifest.tree in (None, (len(files), sum(size for size, _ in measured))):
            return
        # Once more without the listing, which may be old.
        total = sum(self.bucket.size(file.key) or 0 for file in files)
        if manifest.tree is not None and manifest.tree != (len(files), total):
            yield manifest, f"names files of {total:,} bytes in all instead of {manifest.tree[1]:,}"

    def expected(self, delivered: list[Delivery]) -> dict[str, Stored]:
        """All objects of a book by key, each as it was put last; the files of a tree are known by its manifest."""
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

    def walk(self) -> Iterator[Key]:
        """Every object whose key is one of the template's, streamed, those of one book mostly together."""
        keys = self.bucket.walk() if self._listed is None else self._listed.keep(self.bucket.sizes())
        yield from (known for key in keys if (known := self.keys.parse(key)) is not None)

    def books(self, barcodes: tuple[str, ...]) -> Iterator[Key]:
        """The same for named books, without a walk: their provenances."""
        for barcode in barcodes:
            if self.bucket.size(self.keys.of(barcode, PROVENANCE)) is not None:
                yield Key(barcode, PROVENANCE, 1)


def _judged(wanted: Stored, size: int | None, sha256: str | None) -> str:
    if size is None:
        return GONE
    if size == 0 and wanted.sha256 not in (None, _NOTHING):
        return "is empty"
    if wanted.size not in (None, size):
        return f"has {size:,} bytes instead of {wanted.size:,}"
    return _CHANGED if wanted.sha256 not in (None, sha256) else ""


def uploaders(settings: Settings) -> list[FilterRow]:
    """The stages that put books into the store, by their classes' names."""
    return [row for row in settings.filters if row.class_.rpartition(":")[2].rpartition(".")[2].endswith("Uploader")]
