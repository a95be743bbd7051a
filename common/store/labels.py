"""What an object is labelled with: its type, its SHA-256, and the names of its book."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from common.artifacts import Artifact
from common.store.bucket import Puts

SHA256 = "sha256"
# Azure takes letters, digits and underscores only; the other stores take these, too.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,500}[\x21-\x7e])?")
# Amazon takes 2 kB of them, ours included.
_MOST = 1_200
_RESERVED = {"barcode", "grinetag", SHA256}
# Of our own, and not the system's: they are the same wherever a worker runs.
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "gz": "application/gzip",
    "html": "text/html; charset=utf-8",
    "jp2": "image/jp2",
    "jpg": "image/jpeg",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md5": "text/plain; charset=utf-8",
    "png": "image/png",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "txt": "text/plain; charset=utf-8",
    "xml": "application/xml",
    "zip": "application/zip",
}


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Metadata from the options; ValueError says what no store would take."""
    for name, value in labels.items():
        if name in _RESERVED or not _NAME.fullmatch(name):
            raise ValueError(f"should have names of small letters, digits and _, none of ours, and not {name}")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"should have values of plain ASCII without spaces at their ends: see {name}")
    if sum(map(len, (*labels, *labels.values()))) > _MOST:
        raise ValueError(f"should have at most {_MOST:,} characters in all, as the stores have it")
    return labels


def book_labels(barcode: str, etag: object) -> dict[str, str]:
    """What every object of a book is labelled with; `etag` is GRIN's for the archive, where the ledger knows it."""
    plain = str(etag or "").strip().removeprefix("W/").strip('"')
    return {"barcode": barcode, **({"grinetag": plain} if _VALUE.fullmatch(plain) else {})}


def attributes(wanted: Artifact, labels: Mapping[str, str], puts: Puts) -> dict[str, str]:
    """All that goes with one object, in the library's words."""
    kind = _TYPES.get(PurePosixPath(wanted.name).suffix.lower().removeprefix("."), "application/octet-stream")
    stored = {"Storage-Class": puts.storage_class} if puts.storage_class else {}
    return {**puts.metadata, **labels, SHA256: wanted.sha256, "Content-Type": kind, **stored}
