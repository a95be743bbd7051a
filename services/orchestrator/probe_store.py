"""What `doctor` tries out on a done bucket in an object store: it can be listed, written, read and tidied up."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import obstore

from common.config import Settings
from common.errors import StageError
from common.store import is_url, open_bucket
from common.store.connect import connect
from common.store.refusals import putting
from services.orchestrator.audit_store import uploaders
from services.orchestrator.findings import MUST, OK, WARNING, Finding

NAME = "done bucket"
# Hidden, so that no audit and no report takes it for a book's; always the same, so that at most one can stay.
KEY = ".grin-pipeline-doctor"
_OTHERS = "See what stands between: a cache or a proxy must not answer for the store."
_LEAVE = f"Nothing else asks for that right. Remove {KEY} by hand, or leave it: it is no book's."


def done_bucket(settings: Settings) -> Iterator[Finding]:
    """A small hidden object is put, read back and removed; nothing is said where the done bucket is a folder."""
    named = settings.global_.done_bucket
    if not is_url(named) or not uploaders(settings):
        return
    try:
        yield from _tried(settings, named)
    except StageError as error:
        yield Finding(NAME, MUST, error.reason, error.cure or _OTHERS)


def _tried(settings: Settings, named: str) -> Iterator[Finding]:
    bucket = open_bucket(named, settings.path.parent)
    bucket.prepare(used=False)
    began = time.monotonic()
    # Other bytes each time: what an earlier doctor could not remove is no proof.
    bucket.put_bytes(KEY, secrets.token_bytes(64))
    text = f"{bucket.name} takes an object and gives it back as it was, in {(time.monotonic() - began) * 1000:.0f} ms"
    try:
        # The project's own buckets remove nothing.
        with putting(bucket.name):
            obstore.delete(connect(named), KEY)
    except StageError as error:
        yield Finding(NAME, WARNING, f"{text}, and keeps it. {error.reason}", _LEAVE)
    else:
        yield Finding(NAME, OK, f"{text}.")
