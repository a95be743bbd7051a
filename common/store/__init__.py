"""The done bucket, wherever it is: a folder, or a bucket of an object store."""

from __future__ import annotations

from pathlib import Path

from common.errors import Halt
from common.store.bucket import Bucket, Puts
from common.store.folder import FolderBucket
from common.store.urls import is_url, wrong

__all__ = ["Bucket", "Puts", "is_url", "open_bucket", "wrong"]


def open_bucket(bucket: str, base: Path, puts: Puts | None = None) -> Bucket:
    """The bucket of that path, relative to `base`, or URL. Nothing is asked of it yet.

    Halt when there can be no such bucket, or when its store has too few credentials to begin with.
    """
    if problem := wrong(bucket):
        raise Halt(problem, "Correct `done_bucket`, or the token's, and go on.")
    if not is_url(bucket):
        return FolderBucket(base / bucket)
    # Imported where it is needed: a library that keeps its books in folders need not have it in memory.
    from common.store.objects import ObjectBucket  # noqa: PLC0415

    return ObjectBucket(bucket, puts or Puts())
