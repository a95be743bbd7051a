"""The uploader: puts the book into the done bucket, reads it back, writes its provenance, and tidies up."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from common import board, durable, listing, workfiles
from common.artifacts import Artifact, describe, describe_bytes
from common.config import FilterRow, Settings
from common.deliveries import VERSION
from common.ledger import last
from common.options import complaints
from common.settings import Section
from common.stage import Book, Facts, Halt, Redo, Reject, Stage
from common.store_keys import DEFAULT, Keys, check_template
from services.uploader import provenance
from services.uploader.store import FolderStore
from services.uploader.version import Version, version_of

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ONLY_FOLDERS = "Only a folder is supported as done bucket so far: name a path, a mounted one if need be."
_APART = "Give it a folder of its own, outside the processing bucket."
_WRITABLE = "See that it is mounted, has space and may be written to; the stage goes on by itself."


class Options(Section):
    """Where in the done bucket a file goes: `key` may use {barcode}, {name}, {library} and {version}."""

    key: Annotated[str, AfterValidator(check_template)] = DEFAULT


class Uploader(Stage):
    """Takes the package and its sidecars, leaves them and a provenance.json in the done bucket, nothing elsewhere."""

    keeps_input: ClassVar[bool] = True

    def __init__(self, settings: Settings, row: FilterRow) -> None:
        super().__init__(settings, row)
        # Buckets that this worker has written to, and processing buckets that it has swept.
        self._met: set[Path] = set()

    def check(self) -> list[str]:
        """Say which options are wrong, and whether the done bucket can be written."""
        problems = complaints(Options, self.options)
        bucket = self.settings.global_.done_bucket
        if _URL.match(bucket):
            return [*problems, f"The done bucket is {bucket}. {_ONLY_FOLDERS}"]
        if _within(self._path(bucket), self.settings.global_.processing_bucket):
            problems.append(f"The done bucket {bucket} lies where the books' working files are removed. {_APART}")
        try:
            with tempfile.TemporaryFile(dir=durable.existing_ancestor(self._path(bucket))):
                return problems
        except OSError as error:
            return [*problems, f"The done bucket {bucket} cannot be written: {error.strerror}. {_WRITABLE}"]

    def process(self, book: Book, work: Path) -> Facts:  # noqa: ARG002 - an upload leaves nothing in the work folder
        """Put all files and prove them, then the provenance."""
        if _URL.match(book.done_bucket):
            raise Reject(f"The book's done bucket is {book.done_bucket}.", _ONLY_FOLDERS)
        files = _files(book)
        bucket = self._path(book.done_bucket)
        if _within(bucket, book.folder.parent):
            raise Reject(f"The book's done bucket, {bucket}, is where its working files are removed.", _APART)
        self._require_bucket(bucket)
        version = version_of(book, self._keys(), files)
        with _halting(bucket):
            sent, proof = self._put(FolderStore(bucket, book.barcode), book, files, version)
        self._met.add(bucket)
        return {
            "bytes_in": sum(file.size for file in files),
            "bytes_out": sum(file.size for file in sent),
            "skipped": len(files) - len(sent),
            "files": [{**asdict(file), "key": version.key(file.name)} for file in files],
            "provenance": version.key(provenance.NAME),
            **({"provenance_size": proof.size, "provenance_sha256": proof.sha256} if proof else {}),
            **({VERSION: version.number} if version.number > 1 else {}),
            **({"unchanged": True} if version.unchanged else {}),
        }

    def opened(self) -> None:
        """Remove what killed workers left of books that are in the store."""
        workfiles.sweep(self.settings.global_.processing_bucket, self.row.output_pipe)

    def moved(self, book: Book) -> None:
        """Remove the book's working files; they are in the store."""
        workfiles.remove_book(book.folder)

    def _put(
        self, store: FolderStore, book: Book, files: list[Artifact], version: Version
    ) -> tuple[list[Artifact], Artifact | None]:
        """The files that were not there yet, and what was put as provenance."""
        # Only a killed attempt leaves anything, and listing a store of a million books for nothing is dear.
        if book.attempt > 1:
            for name in (provenance.NAME, *(file.name for file in files)):
                store.sweep(version.key(name))
        sources = {file: book.input_file(file.name) for file in files}
        sent = [file for file, path in sources.items() if store.put_file(version.key(file.name), path, file)]
        library = self.settings.global_.library
        key = version.key(provenance.NAME)
        # How a version came that is held already stands there, and stays.
        if version.unchanged and store.has(key):
            return sent, None
        data = provenance.document(book, self.row.name, library, files, version)
        store.put_bytes(key, data)
        return sent, describe_bytes(data, provenance.NAME)

    def _keys(self) -> Keys:
        return Keys(Options.model_validate(self.options).key, self.settings.global_.library)

    def _path(self, bucket: str) -> Path:
        """Relative paths are relative to the configuration's folder; an absolute one stays as it is."""
        return self.settings.path.parent / bucket

    def _require_bucket(self, bucket: Path) -> None:
        """A bucket that is gone though books were put there was unmounted: what is written now goes to another disk."""
        if bucket.is_dir():
            return
        if bucket in self._met or listing.count(self.row.output_pipe, board.WAITING, 1):
            raise Halt(f"The done bucket {bucket} is gone.", f"{_WRITABLE} If it is a new one: mkdir {bucket}")


def _within(bucket: Path, processing: Path) -> bool:
    """Whether what is stored there would be swept away with the books' working files."""
    return bucket.resolve().is_relative_to(processing.resolve())


@contextmanager
def _halting(bucket: Path) -> Iterator[None]:
    """Errors of the store hold the stage; a full disk is the worker's matter, who knows of space."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise Halt(f"The done bucket {bucket} cannot be written: {error.strerror}.", _WRITABLE) from error


def _files(book: Book) -> list[Artifact]:
    """What the stage before has made, by its own word in the ledger; without that, what lies there."""
    done = last(book.events, "done", stage=book.input.name) or {}
    facts: dict[str, Any] = done.get("facts", {})
    if "package" in facts:
        made = (facts["package"], *facts.get("sidecars", ()))
        return [Artifact(file["name"], file["size"], file["sha256"]) for file in made]
    found = [path for path in sorted(workfiles.files(book.input)) if path.is_file() and not path.is_symlink()]
    if not found:
        raise Redo(f"There is nothing in {book.input} to upload, so the book is made again.")
    return [describe(path, path.relative_to(book.input).as_posix()) for path in found]
