"""How often GRIN is asked: evenly spaced requests, at most so many a second."""

from __future__ import annotations

import threading
import time


class RateLimit:
    """Spaces the requests of this process; threads take turns."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until the next request may start."""
        with self._lock:
            now = time.monotonic()
            start = max(self._next, now)
            self._next = start + self._gap
        time.sleep(start - now)
