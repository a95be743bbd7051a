"""Makes the book of a made-up barcode when somebody fetches it for the first time."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from simulator.binding import Order, bind
from simulator.cipher import Cipher
from simulator.shelf import Library


class Binder:
    """Books in `folder`, each made once and kept with its record; the same barcode and seed give the same pages."""

    def __init__(self, folder: Path, library: str, seed: int, pages: tuple[int, int], passphrase: str) -> None:
        self._library = Library(folder, library, seed)
        self._pages = pages
        self._passphrase = passphrase
        self._lock = threading.Lock()
        for part in (self._library.archives, self._library.records):
            part.mkdir(parents=True, exist_ok=True)

    def __call__(self, barcode: str) -> Path:
        """The archive of this barcode, which is made now if it is not there."""
        archive = self._library.archive(barcode)
        # The record is written last, so an archive with a record is whole.
        with self._lock:
            if not (self._library.records / f"{barcode}.json").is_file():
                pages = random.Random(f"pages {self._library.seed} {barcode}").randint(*self._pages)
                with Cipher() as cipher:
                    bind(self._library, Order(barcode, pages), self._passphrase, cipher)
        return archive
