"""Makes a whole library, on two processors, and uses a complete one again."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from simulator.barcodes import draw_barcodes
from simulator.binding import Order, add_archive, add_book, bind
from simulator.book import work_of
from simulator.cipher import Cipher
from simulator.knobs import Knobs
from simulator.plan import FEWEST_PAGES
from simulator.shelf import Library, open_library

__all__ = ["POISONS", "Library", "add_archive", "add_book", "make_library", "open_library"]

POISONS = (Knobs(wrong_checksum=True), Knobs(cut_gpg=True), Knobs(climbing_member=True))
"""What is wrong with the poisoned books, in turn."""

_PROCESSES = 2
_ALONE = 4
"""Up to so many books the start of more processes costs more than it gains."""


def make_library(
    folder: Path,
    *,
    passphrase: str,
    library: str = "TESTLIB",
    count: int = 20,
    poisoned: int = 3,
    seed: int = 1,
    pages: tuple[int, int] = (6, 14),
    report: Callable[[str], None] | None = None,
) -> Library:
    """Makes `count` books, the last `poisoned` of them damaged; a complete library of the same making is used again.

    `report` is called with each barcode when its book is done.
    """
    _check(count, poisoned, pages)
    made = Library(folder, library, seed)
    recipe = {"library": library, "count": count, "poisoned": poisoned, "seed": seed, "pages": list(pages)}
    if _is_complete(made, recipe, passphrase):
        return made
    _empty(made)
    for barcode in _make_all(made, _orders(seed, count, poisoned, pages), passphrase):
        if report:
            report(barcode)
    made.recipe.write_text(json.dumps(recipe) + "\n")
    return made


def _check(count: int, poisoned: int, pages: tuple[int, int]) -> None:
    if not 0 <= poisoned <= count:
        raise ValueError(f"Of {count} books {poisoned} cannot be poisoned; ask for 0 to {count}.")
    if not FEWEST_PAGES <= pages[0] <= pages[1]:
        raise ValueError(
            f"Books cannot have {pages[0]} to {pages[1]} pages; ask for {FEWEST_PAGES} or more, least first."
        )


def _is_complete(library: Library, recipe: dict[str, object], passphrase: str) -> bool:
    if not library.recipe.is_file() or json.loads(library.recipe.read_text()) != recipe:
        return False
    sound = [barcode for barcode in library.barcodes() if not library.record(barcode).knobs]
    with Cipher() as cipher:
        return all(cipher.opens(library.archive(barcode), passphrase) for barcode in sound[:1])


def _empty(library: Library) -> None:
    library.recipe.unlink(missing_ok=True)
    for folder in (library.archives, library.records):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def _orders(seed: int, count: int, poisoned: int, pages: tuple[int, int]) -> list[Order]:
    rng = random.Random(f"orders {seed}")
    knobs = [Knobs()] * (count - poisoned) + [POISONS[number % len(POISONS)] for number in range(poisoned)]
    barcodes = draw_barcodes(seed, count)
    return [Order(barcode, rng.randint(*pages), how) for barcode, how in zip(barcodes, knobs, strict=True)]


def _make_all(library: Library, orders: list[Order], passphrase: str) -> Iterator[str]:
    if len(orders) <= _ALONE:
        yield from _make_some(library, orders, passphrase)
        return
    # "spawn": a fork of a process with threads may inherit a lock that nobody will ever release.
    with ProcessPoolExecutor(_PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_make_some, library, some, passphrase) for some in _by_work(orders)]
        for job in as_completed(jobs):
            yield from job.result()


def _by_work(orders: list[Order]) -> list[list[Order]]:
    # Volumes of one work share their covers, which a process draws only once.
    groups: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        groups[work_of(order.barcode).title].append(order)
    return sorted(groups.values(), key=len, reverse=True)


def _make_some(library: Library, orders: list[Order], passphrase: str) -> list[str]:
    with Cipher() as cipher:
        return [bind(library, order, passphrase, cipher).barcode for order in orders]
