"""The uploader: puts the book into the done bucket, reads it back, writes its provenance, and tidies up."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from common import board, durable, listing, workfiles
from common.artifacts import Artifact, describe_bytes
from common.config import FilterRow, Settings
from common.deliveries import VERSION
from common.stage import Book, Facts, Halt, Reject, Retry, Stage
from common.store import Bucket, is_url, open_bucket, wrong
from common.store.labels import book_labels
from common.store_keys import Keys
from services.uploader import options, provenance
from services.uploader.files import Goods, goods
from services.uploader.options import Options
from services.uploader.version import Version, version_of

_APART = "Give it a folder of its own, outside the processing bucket."
_WRITABLE = "See that it is mounted, has space and may be written to; the stage goes on by itself."


class Uploader(Stage):
    """Takes the package and its sidecars, leaves them and a provenance.json in the done bucket, nothing elsewhere."""

    keeps_input: ClassVar[bool] = True

    def __init__(self, settings: Settings, row: FilterRow) -> None:
        super().__init__(settings, row)
        # What this worker has met so far, by its name in the tokens; and where it has put books.
        self._buckets: dict[str, Bucket] = {}
        self._used: set[str] = set()

    def check(self) -> list[str]:
        """Say which options are wrong, and whether the done bucket can be; an object store is not asked."""
        bucket = self.settings.global_.done_bucket
        problems = options.wrong(self.options, bucket)
        try:
            open_bucket(bucket, self.settings.base)
        except Halt as halt:
            return [*problems, f"{halt.reason} {halt.cure}"]
        return [*problems, *([] if is_url(bucket) else self._check_folder(bucket))]

    def _check_folder(self, bucket: str) -> list[str]:
        problems = []
        if _within(self.settings.base / bucket, self.settings.global_.processing_bucket):
            problems.append(f"The done bucket {bucket} lies where the books' working files are removed. {_APART}")
        try:
            with tempfile.TemporaryFile(dir=durable.existing_ancestor(self.settings.base / bucket)):
                return problems
        except OSError as error:
            return [*problems, f"The done bucket {bucket} cannot be written: {error.strerror}. {_WRITABLE}"]

    def process(self, book: Book, work: Path) -> Facts:  # noqa: ARG002 - an upload leaves nothing in the work folder
        """Put all files and prove them, then the provenance."""
        made = goods(book)
        version = version_of(book, self._keys(), made.files)
        labels = book_labels(book.barcode, _etag(version.story(book.events)))
        bucket = self._bucket(book).for_book(book.barcode, labels, _look(book))
        sent, proof = self._put(bucket, book, made, version)
        self._used.add(book.done_bucket)
        return {
            "bytes_in": made.size,
            "bytes_out": sum(file.size for file in sent),
            "skipped": len(made.files) + len(made.tree) - len(sent),
            "files": [{**asdict(file), "key": version.key(file.name)} for file in made.files],
            "done_bucket": bucket.name,
            "provenance": version.key(provenance.NAME),
            **({"tree_files": len(made.tree), "tree_bytes": sum(f.size for f in made.tree)} if made.tree else {}),
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

    def _bucket(self, book: Book) -> Bucket:
        """The book's bucket, once it has shown that books can be put there."""
        named = book.done_bucket
        if problem := wrong(named):
            raise Reject(problem, "Correct the book's token, or drop the book and seed it anew.")
        if not is_url(named) and _within(self.settings.base / named, book.folder.parent):
            raise Reject(f"The book's done bucket, {named}, is where its working files are removed.", _APART)
        known = self._buckets.get(named)
        bucket = known or open_bucket(named, self.settings.base, Options.model_validate(self.options).puts)
        # A folder is looked at each time; asking an object store that has answered already would only cost.
        if known is None or not is_url(named):
            used = named in self._used or listing.count(self.row.output_pipe, board.WAITING, 1) > 0
            bucket.prepare(used=used)
        self._buckets[named] = bucket
        return bucket

    def _put(self, bucket: Bucket, book: Book, made: Goods, version: Version) -> tuple[list[Artifact], Artifact | None]:
        """The files that were not there yet, and what was put as provenance."""
        # Only a killed attempt leaves anything, and listing a store of a million books for nothing is dear.
        if book.attempt > 1:
            names = (provenance.NAME, *(file.name for file in (*made.tree, *made.files)))
            bucket.sweep(map(version.key, names))
        # Whoever sees the manifest of a tree sees all that it names.
        sent = [*_sent(bucket, book, made.tree, version), *_sent(bucket, book, made.files, version)]
        key = version.key(provenance.NAME)
        # How a version came that is held already stands there, and stays, unless it was lost or damaged.
        if version.unchanged and _stands(bucket, key, version):
            return sent, None
        data = provenance.document(book, self.row.name, self.settings.global_.library, made.files, version)
        bucket.put_bytes(key, data)
        return sent, describe_bytes(data, provenance.NAME)

    def _keys(self) -> Keys:
        return Keys(Options.model_validate(self.options).key, self.settings.global_.library)


def _sent(bucket: Bucket, book: Book, files: list[Artifact], version: Version) -> list[Artifact]:
    """Put files, several small ones at once; those that were not there yet. Nothing is begun after an error."""
    sources = {file: book.input_file(file.name) for file in files}

    def put(file: Artifact) -> bool:
        return bucket.put_file(version.key(file.name), sources[file], file)

    large = [file for file in sources if file.size > bucket.alone]
    small = [file for file in sources if file.size <= bucket.alone]
    new = [file for file in large if put(file)]
    with ThreadPoolExecutor(bucket.concurrency) as pool:
        return [*new, *(file for file, is_new in zip(small, pool.map(put, small), strict=True) if is_new)]


def _stands(bucket: Bucket, key: str, version: Version) -> bool:
    """Whether the provenance of a held version is there, and is what the ledger says of it if it says anything."""
    size, sha256 = version.proof
    if size is None or sha256 is None:
        return bucket.size(key) is not None
    return bucket.has(key, Artifact(provenance.NAME, size, sha256))


def _look(book: Book) -> Callable[[], None]:
    """Asks whether the files are there still that this attempt has found.

    Whoever takes the book over and brings it home, or has it made again, takes them away; a worker that wakes up late
    must not put older bytes over the newer ones.
    """
    name = book.input.name
    found = workfiles.published(book.folder)[name]

    def look() -> None:
        if workfiles.published(book.folder).get(name) != found:
            raise Retry(f"The files of {book.barcode} were taken away while they were put into the done bucket.")

    return look


def _etag(events: Iterable[Facts]) -> Any:
    """GRIN's ETag of the archive that the book came in."""
    etags = [event["facts"].get("etag") for event in events if event.get("event") == "done" and "facts" in event]
    return next(filter(None, reversed(etags)), None)


def _within(bucket: Path, processing: Path) -> bool:
    """Whether what is stored there would be swept away with the books' working files."""
    return bucket.resolve().is_relative_to(processing.resolve())
