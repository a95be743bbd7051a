"""The extractor: one streamed pass over the archive, every member judged, written and hashed, then verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Literal

from isal import isal_zlib

from common import manifest, workfiles
from common.manifest import Member
from common.options import complaints
from common.shelves import WRITERS, Shelf, Writer
from common.stage import Book, Facts, Redo, Stage
from services.extractor.checksums import verify
from services.extractor.headers import Judge, headers
from services.extractor.limits import Limits
from services.extractor.source import Source


class Options(Limits):
    """Budgets, and how the members lie on disk.

    `keep_archive` passes Google's own .tar.gz on beside the members, for the modifier's `package: original`.
    """

    layout: Literal["files", "tar"] = "files"
    keep_archive: bool = False


class Extractor(Stage):
    """Takes `<BARCODE>.tar.gz`, leaves its members (as files, or in one tar) and `manifest.json`.

    Members are not synced one by one: the modifier checks them against the manifest, and lost ones are made again.
    """

    replaces_input: ClassVar[bool] = True
    syncs_itself: ClassVar[bool] = True

    def check(self) -> list[str]:
        """Say which options are wrong."""
        return complaints(Options, self.options)

    def process(self, book: Book, work: Path) -> Facts:
        """Unpack, verify and list the book's members."""
        archive = book.input_file(f"{book.barcode}.tar.gz")
        options = Options.model_validate(self.options)
        with Source(archive, options) as source:
            with closing(WRITERS[options.layout](work)) as writer:
                members = unpack(source, writer, options)
            with closing(Shelf(work)) as shelf:
                verdict = verify(members, shelf, book.barcode)
            manifest.write(work, members)
            if options.keep_archive:
                workfiles.link(archive, work / archive.name)
            return {
                "bytes_in": source.bytes_in,
                "bytes_out": sum(member.size for member in members.values()),
                "members": len(members),
                "sha256": source.sha256,
                "fixity": verdict.by,
                "warnings": list(verdict.warnings),
            }


def unpack(source: Source, writer: Writer, limits: Limits) -> dict[str, Member]:
    """Give all members of an archive to `writer`; Redo when it is damaged or empty, Reject when it is hostile."""
    judge = Judge(limits)
    members: dict[str, Member] = {}
    for header in headers(source):
        name = judge.admit(header)
        if name is not None:
            members[name] = _put(writer, name, header.size, source.content(header.size))
    source.finish()
    if not members:
        raise Redo("The archive is empty.")
    return members


def _put(writer: Writer, name: str, size: int, chunks: Iterator[bytes]) -> Member:
    digest, crc32 = hashlib.md5(usedforsecurity=False), 0

    def hashed() -> Iterator[bytes]:
        nonlocal crc32
        for chunk in chunks:
            digest.update(chunk)
            crc32 = isal_zlib.crc32(chunk, crc32)
            yield chunk

    offset = writer.put(name, size, hashed())
    return Member(size, digest.hexdigest(), crc32, offset)
