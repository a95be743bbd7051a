"""Where new books come from: GRIN's lists, a file, standard input, the command line; and how they get on the board."""

from __future__ import annotations

import hashlib
import heapq
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from common import board, listing, logs
from common.config import SEED_LISTS, Settings
from common.errors import ConfigError
from common.grin.entries import read_file
from common.heartbeat import worker_name
from common.ledger import Ledger
from common.token import is_barcode

# So many bad lines are shown; the rest is counted.
_SHOWN = 20
# So many tokens of each bucket show whether the ledger is whole.
_LOOKED_AT = 50
# Books that share the waiting for the disk.
_BATCH = 64
# Boards of whose lost ledgers this process has told.
_told: set[Path] = set()


@dataclass(frozen=True)
class Wish:
    """What is to be seeded. Barcodes on the command line come before a source; a source before the configuration."""

    barcodes: tuple[str, ...] = ()
    source: str | None = None
    sample: int | None = None
    limit: int | None = None
    at: str | None = None

    @property
    def explicit(self) -> bool:
        """Somebody asked for these books by name or number, however full the first bucket is."""
        return bool(self.barcodes or self.source or self.sample is not None)

    def source_of(self, settings: Settings) -> str | None:
        """The name of a GRIN list or a file, or None: nothing but the barcodes that were named."""
        if self.barcodes or self.source is not None:
            return self.source
        seed = settings.seed
        named = seed.from_ or (str(seed.barcodes_file) if seed.barcodes_file else None)
        return named or ("converted" if downloads(settings) else None)

    def endless(self, settings: Settings) -> bool:
        """It means whatever is converted, now and later, and not some books."""
        some = self.sample or settings.seed.sample or self.at
        limited = self.limit is not None or settings.seed.limit is not None
        return not (self.explicit or some or limited) and self.source_of(settings) == "converted"


@dataclass
class Tally:
    """How a seeding went."""

    new: int = 0
    known: int = 0


def bucket_for(settings: Settings, at: str | None) -> Path:
    """The bucket that new tokens go to: the first of the line, or the one that is named."""
    if at is None:
        return settings.heads()[0].input_pipe
    for path in settings.bucket_paths():
        if path.name == at:
            return path
    raise ConfigError([f"There is no bucket {at!r}; there are {', '.join(settings.buckets())}."])


def downloads(settings: Settings) -> bool:
    """Whether the line begins with a stage that fetches books from GRIN."""
    return any(row.class_.rpartition(".")[2].endswith("Downloader") for row in settings.heads())


def check(barcodes: Iterable[tuple[str, str]]) -> None:
    """Refuse barcodes that are none, all at once; pairs of where it stood and what stood there."""
    bad = [f"{where}: {text[:80]!a} is no barcode." for where, text in barcodes if not is_barcode(text)]
    if bad:
        more = [f"… and {len(bad) - _SHOWN} more."] if len(bad) > _SHOWN else []
        rule = "A barcode is 1 to 64 of letters, digits and - _ . $, not starting with a dot. Nothing was seeded."
        raise ConfigError([*bad[:_SHOWN], *more, rule])


class Source:
    """Opens a wish's barcodes; a file is checked whole before the first is used. Used as a context manager."""

    def __init__(self, settings: Settings, wish: Wish) -> None:
        self.settings = settings
        self.wish = wish
        self._stack = ExitStack()

    def __enter__(self) -> Iterator[str]:
        check((f"--barcode {text}", text) for text in self.wish.barcodes)
        source = self.wish.source_of(self.settings)
        if source == "":
            raise ConfigError(["--from names no source: give converted, available, all_books, a file, or -."])
        found: Iterator[str] = iter(self.wish.barcodes)
        if source is not None and source in SEED_LISTS:
            found = self._from_grin(source)
        elif source is not None:
            found = self._from_file(source)
        sample = self.wish.sample if self.wish.sample is not None else self.settings.seed.sample
        limit = self.wish.limit if self.wish.limit is not None else self.settings.seed.limit
        return islice(found if sample is None else sampled(found, sample), limit)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _from_grin(self, name: str) -> Iterator[str]:
        kept = kept_list(self.settings, name)
        if kept is not None:
            return (book.barcode for book in read_file(kept, self.settings.global_.library))
        # Imported here: httpx and google-auth take longer to load than `status` takes to run.
        from common.grin.client import GrinClient  # noqa: PLC0415

        client = self._stack.enter_context(GrinClient(self.settings))
        return client.barcodes(name)

    def _from_file(self, name: str) -> Iterator[str]:
        shown = "standard input" if name == "-" else name
        try:
            path = Path(name) if Path(name).is_file() else self._spooled(name)
            check((f"{shown}:{number}", text) for number, text in _lines(path))
        except OSError as error:
            raise ConfigError([f"The list of barcodes {shown} cannot be read: {error.strerror}."]) from None
        return (text for _, text in _lines(path))

    def _spooled(self, name: str) -> Path:
        """Standard input or a pipe, kept in a file: a list is read twice, first to check it."""
        spool = tempfile.NamedTemporaryFile(suffix=".barcodes")  # noqa: SIM115 - the stack closes it
        self._stack.enter_context(spool)
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as pipe:
            shutil.copyfileobj(pipe, spool)
        spool.flush()
        return Path(spool.name)


def kept_list(settings: Settings, source: str | None) -> Path | None:
    """The kept list of all books, when that is the source and it is there: GRIN need not be asked for it again."""
    kept = settings.global_.all_books
    return kept if source == "all_books" and kept is not None and kept.is_file() else None


def sampled(barcodes: Iterable[str], size: int) -> Iterator[str]:
    """A sample that is the same whenever it is drawn from the same list, so that a second run adds no other books."""
    return iter(heapq.nsmallest(size, barcodes, key=lambda barcode: hashlib.sha256(barcode.encode()).digest()))


def seed(settings: Settings, barcodes: Iterable[str], bucket: Path, *, dry_run: bool = False) -> Iterator[Tally]:
    """Put books on the board, streamed; the same tally after each handful. Known ones are passed over."""
    common = settings.global_
    ledger = Ledger(common.pipeline_dir / "ledger")
    doubtful = _lacks_stories(settings, ledger)
    seeder = board.Seeder(common.pipeline_dir, ledger, worker_name("seeder"), _places(settings, bucket, doubtful))
    tally, met = Tally(), set[str]()
    if not dry_run:
        tally.new += seeder.recover(bucket)
        yield tally
    stream = iter(barcodes)
    while batch := list(islice(stream, _BATCH)):
        if doubtful:
            claimed = {held.barcode for path in settings.bucket_paths() for held in listing.claims(path)}
            tally.known += sum(barcode in claimed for barcode in batch)
            batch = [barcode for barcode in batch if barcode not in claimed]
        if dry_run:
            fresh = {barcode for barcode in batch if barcode not in met and not ledger.path(barcode).exists()}
            met |= fresh
        else:
            fresh = set(seeder.seed_all(batch, bucket, str(common.processing_bucket), common.done_bucket))
        tally.new, tally.known = tally.new + len(fresh), tally.known + len(batch) - len(fresh)
        yield tally


def _places(settings: Settings, bucket: Path, doubtful: bool) -> list[tuple[Path, str]]:
    """Where a book's token may lie although no ledger knows it: everywhere, or where it costs little to look."""
    still = [state for state in board.STATES if state != board.WORKING]
    if doubtful:
        return [(path, state) for path in settings.bucket_paths() for state in still]
    inputs = {row.input_pipe for row in settings.filters}
    lasts = [(path, board.WAITING) for path in settings.bucket_paths() if path not in inputs]
    return [*lasts, *((bucket, state) for state in still)]


def _lacks_stories(settings: Settings, ledger: Ledger) -> bool:
    """Whether tokens have no ledger: it was lost then, at least in part, and does not tell what is known."""
    heads = {row.input_pipe for row in settings.heads()}
    # A token that somebody has just put into a first bucket by hand has no story yet.
    for path in (path for path in settings.bucket_paths() if path not in heads):
        for barcode in islice(listing.barcodes(path), _LOOKED_AT):
            if ledger.path(barcode).exists():
                continue
            if settings.global_.pipeline_dir not in _told:
                _told.add(settings.global_.pipeline_dir)
                sentence = f"{barcode} in {path.name} has no ledger, so every bucket is looked through before seeding."
                logging.getLogger(logs.NAME).warning(f"{sentence} `grin-pipeline audit` tells what is lost.")
            return True
    return False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, text
