"""What leaves the line: name, size and SHA-256 of a file, for the ledger, the provenance and the check of the store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artifact:
    """One file for the store; size in bytes, SHA-256 in lower-case hex."""

    name: str
    size: int
    sha256: str


def describe(path: Path, name: str) -> Artifact:
    """Read a file to its end and say what it is."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Artifact(name, file.tell(), digest)


def describe_bytes(data: bytes, name: str) -> Artifact:
    """What a file of these bytes would be."""
    return Artifact(name, len(data), hashlib.sha256(data).hexdigest())
