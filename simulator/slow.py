"""The five stages at a pace at which one can watch a board; `grin-pipeline demo --slow` names them in its settings."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from common.stage import Book, Stage
from services.decryptor import stage as decryptor
from services.downloader import stage as downloader
from services.extractor import stage as extractor
from services.modifier import stage as modifier
from services.uploader import stage as uploader

# Seconds that a book stays in each stage at least, and at most longer than that stage needs.
_LEAST, _MOST = 0.5, 2.0


class _Slow(Stage):
    """Waits before it does what the class behind it does."""

    def process(self, book: Book, work: Path) -> Any:
        time.sleep(random.uniform(_LEAST, _MOST))
        return super().process(book, work)


class Downloader(_Slow, downloader.Downloader):
    """The downloader, slower."""


class Decryptor(_Slow, decryptor.Decryptor):
    """The decryptor, slower."""


class Extractor(_Slow, extractor.Extractor):
    """The extractor, slower."""


class Modifier(_Slow, modifier.Modifier):
    """The modifier, slower."""


class Uploader(_Slow, uploader.Uploader):
    """The uploader, slower."""
