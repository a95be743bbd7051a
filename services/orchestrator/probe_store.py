"""What `doctor` tries out on the done bucket: it can be written, read and tidied up; in an object store also listed.

There the object is put with the uploader's own options, so that a storage class or labels that the store does not take
are found before the first book.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import obstore

from common import durable
from common.config import FilterRow, Settings
from common.errors import StageError
from common.store import Puts, is_url, open_bucket
from common.store.connect import connect
from common.store.labels import book_labels
from common.store.refusals import putting
from services.orchestrator.audit_store import uploaders
from services.orchestrator.findings import MUST, OK, WARNING, Finding, finding

NAME = "done bucket"
# Hidden, so that no audit and no report takes it for a book's; always the same, so that at most one can stay.
KEY = ".grin-pipeline-doctor"
# Labels as large as a book's.
_BARCODE, _ETAG = "39000000000000", "0" * 40
_WRITABLE = "See that it is mounted, has space, and may be written to by the user that runs the uploader."
_MORE, _FEW = "Make space there, or put newer books elsewhere: a full one stops the line.", 10 << 30
_OTHERS = "See what stands between: a cache or a proxy must not answer for the store."
_LEAVE = f"Nothing else asks for that right. Remove {KEY} by hand, or leave it: it is no book's."


def done_bucket(settings: Settings) -> Iterator[Finding]:
    """A small hidden object or file is put, read back and removed; nothing is said where no stage uploads."""
    named = settings.global_.done_bucket
    rows = uploaders(settings)
    if not rows:
        return
    try:
        if is_url(named):
            yield from _tried(settings, named, _puts(rows[0]))
        else:
            yield from _folder(settings, settings.base / named)
    except StageError as error:
        yield Finding(NAME, MUST, error.reason, error.cure or _OTHERS)


def _folder(settings: Settings, root: Path) -> Iterator[Finding]:
    """Where it is not there yet: the folder that it will be made in."""
    home = durable.existing_ancestor(root)
    path, data = home / f"{KEY}-{secrets.token_hex(8)}", secrets.token_bytes(64)
    began = time.monotonic()
    try:
        try:
            durable.write_new(path, data)
            same = path.read_bytes() == data
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        yield Finding(NAME, MUST, f"{root} takes no file: {home} answers {error.strerror}.", _WRITABLE)
        return
    where = str(root) if home == root else f"{root} is not there yet; {home}"
    text = f"{where} takes a file and gives it back as it was, in {(time.monotonic() - began) * 1000:.0f} ms"
    if not same:
        text = f"{where} gives other bytes back than it was given"
    free, apart = durable.free_bytes(home), home.stat().st_dev != _books_device(settings)
    # On the disk of the books it has been said already.
    few = apart and free < _FEW
    yield finding(
        NAME, f"{text}; {free:,} bytes are free.", _WRITABLE if not same else _MORE, must=not same, warning=few
    )


def _books_device(settings: Settings) -> int:
    return durable.existing_ancestor(settings.global_.processing_bucket).stat().st_dev


def _puts(row: FilterRow) -> Puts:
    """How the uploader puts, as far as its options can be understood; what is wrong with them, its own check says."""
    options = row.options
    chosen, labels = options.get("storage_class"), options.get("metadata")
    storage_class = chosen if isinstance(chosen, str) else None
    metadata = {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}
    return Puts(storage_class=storage_class, metadata=metadata, read_back=options.get("read_back") is not False)


def _tried(settings: Settings, named: str, puts: Puts) -> Iterator[Finding]:
    bucket = open_bucket(named, settings.base, puts).for_book(_BARCODE, book_labels(_BARCODE, _ETAG))
    bucket.prepare(used=False)
    began = time.monotonic()
    try:
        # Other bytes each time: what an earlier doctor could not remove is no proof.
        bucket.put_bytes(KEY, secrets.token_bytes(64))
    except BaseException:
        # It may be there, whatever went wrong, and whoever was interrupted leaves nothing either.
        _removed(bucket.name)
        raise
    text = f"{bucket.name} takes an object and gives it back as it was, in {(time.monotonic() - began) * 1000:.0f} ms"
    if refused := _removed(bucket.name):
        yield Finding(NAME, WARNING, f"{text}, and keeps it. {refused.reason}", _LEAVE)
    else:
        yield Finding(NAME, OK, f"{text}.")


def _removed(named: str) -> StageError | None:
    """Remove the object; what the store says against it. The project's own buckets remove nothing."""
    try:
        with putting(named):
            obstore.delete(connect(named), KEY)
    except StageError as error:
        return error
    return None
