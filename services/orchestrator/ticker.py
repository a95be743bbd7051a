"""Says every few seconds how far a long piece of work is, whatever it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EVERY = 5.0


class Ticker:
    """While it is open, says what `progress` makes of the seconds that have passed."""

    def __init__(self, say: Callable[[str], None], progress: Callable[[float], str], every: float = EVERY) -> None:
        self._say = say
        self._progress = progress
        self._every = every
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self._say(self._progress(time.monotonic() - self._began))
