"""The extractor: one streamed pass over the archive, every member judged, written and hashed, then verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from common import manifest
from common.manifest import Member
from common.options import complaints
from common.stage import Book, Facts, Redo, Stage
from services.extractor.checksums import verify
from services.extractor.headers import Judge, headers
from services.extractor.limits import Limits
from services.extractor.source import Source

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Extractor(Stage):
    """Takes `<BARCODE>.tar.gz`, leaves `members/` and `manifest.json`.

    Members are not synced one by one: the modifier checks them against the manifest, and lost ones are made again.
    """

    replaces_input: ClassVar[bool] = True
    syncs_itself: ClassVar[bool] = True

    def check(self) -> list[str]:
        """Say which options are wrong."""
        return complaints(Limits, self.options)

    def process(self, book: Book, work: Path) -> Facts:
        """Unpack, verify and list the book's members."""
        archive, target = book.input_file(f"{book.barcode}.tar.gz"), work / manifest.FOLDER
        target.mkdir()
        limits = Limits.model_validate(self.options)
        with Source(archive, limits) as source:
            members = unpack(source, target, limits)
            verdict = verify(members, target, book.barcode)
            manifest.write(work, members)
            return {
                "bytes_in": source.bytes_in,
                "bytes_out": sum(member.size for member in members.values()),
                "members": len(members),
                "sha256": source.sha256,
                "fixity": verdict.by,
                "warnings": list(verdict.warnings),
            }


def unpack(source: Source, target: Path, limits: Limits) -> dict[str, Member]:
    """Write all members of an archive below `target`; Redo when it is damaged or empty, Reject when it is hostile."""
    judge = Judge(limits)
    members: dict[str, Member] = {}
    for header in headers(source):
        name = judge.admit(header)
        if name is not None:
            members[name] = _write(target / name, source.content(header.size))
    source.finish()
    if not members:
        raise Redo("The archive is empty.")
    return members


def _write(path: Path, chunks: Iterator[bytes]) -> Member:
    try:
        fd = os.open(path, _NEW_FILE, 0o644)
    except FileNotFoundError:
        # Most archives are flat, so folders are made only when one is missed.
        path.parent.mkdir(parents=True)
        fd = os.open(path, _NEW_FILE, 0o644)
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        for chunk in chunks:
            digest.update(chunk)
            _write_all(fd, chunk)
            size += len(chunk)
    finally:
        os.close(fd)
    return Member(size, digest.hexdigest())


def _write_all(fd: int, chunk: bytes) -> None:
    """A nearly full disk may take less than it is given; the rest then fails with a reason."""
    while chunk:
        chunk = chunk[os.write(fd, chunk) :]
