"""Who is let in, and how many a second: before a request reaches the library."""

from __future__ import annotations

import threading
import time
from collections import deque

from simulator.grin.messages import NO_WORD, Reply, Request, page
from simulator.grin.variants import Variants

_LONGEST = 8192


class Gate:
    """Refuses long addresses, requests above the rate, and everybody while the account is not on the list yet."""

    def __init__(self, variants: Variants) -> None:
        self._variants = variants
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()

    def refusal(self, request: Request) -> Reply | None:
        """The reply to a request that comes no further, before its token is looked at."""
        if len(request.target) > _LONGEST:
            return page("Error 414", "<h1>414. The requested URL is too large to process.</h1>", 414)
        if self._variants.max_rate and not self._in_time():
            return NO_WORD if self._variants.over == "drop" else page("Error 429", "<h1>Too many requests.</h1>", 429)
        return None

    def listed(self) -> bool:
        """Whether the account is on the library's list by now."""
        return time.monotonic() - self._began >= self._variants.acl_seconds

    def _in_time(self) -> bool:
        with self._lock:
            now = time.monotonic()
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= self._variants.max_rate:
                return False
            self._recent.append(now)
            return True
