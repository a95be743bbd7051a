"""HTTP connections that do not grow old: renewed every half hour, every 5,000 requests, and after errors in a row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

OLDEST, MOST_REQUESTS, MOST_ERRORS = 1800.0, 5_000, 5
# A connection that nobody has used for so many seconds is not used again.
_KEEP_ALIVE = 30.0


def client(timeout: httpx.Timeout) -> httpx.Client:
    """An HTTP client that follows no redirect by itself and keeps no cookie."""
    jar = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
    limits = httpx.Limits(keepalive_expiry=_KEEP_ALIVE)
    return httpx.Client(timeout=timeout, follow_redirects=False, cookies=jar, limits=limits)


class _Pool:
    """One client, and what has become of it so far."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.since = time.monotonic()
        self.requests = self.errors = self.open = 0
        self.retired = False

    def old(self) -> bool:
        """Whether another one should be made."""
        aged = time.monotonic() - self.since > OLDEST
        return aged or self.requests >= MOST_REQUESTS or self.errors >= MOST_ERRORS


class _Watched(httpx.SyncByteStream):
    """A body whose end is heard, once."""

    def __init__(self, stream: httpx.SyncByteStream, at_end: Callable[[bool], None]) -> None:
        self._stream = stream
        self._at_end: Callable[[bool], None] | None = at_end
        self._failed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except (httpx.RequestError, OSError):
            self._failed = True
            raise

    def close(self) -> None:
        self._stream.close()
        at_end, self._at_end = self._at_end, None
        if at_end is not None:
            at_end(self._failed)


class Connections:
    """Sends requests through a client that is replaced when it is old; answers that are still open keep theirs."""

    def __init__(self, timeout: httpx.Timeout) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._pool = _Pool(client(timeout))

    def send(self, request: httpx.Request) -> httpx.Response:
        """An open response, to be closed by the caller; httpx.RequestError when there is none."""
        pool = self._borrow()
        try:
            response = pool.http.send(request, stream=True)
        except BaseException as error:
            self._give_back(pool, isinstance(error, httpx.RequestError))
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Watched(response.stream, lambda failed: self._give_back(pool, failed))
        return response

    def build(self, method: str, url: httpx.URL, headers: dict[str, str], body: bytes, idle: float) -> httpx.Request:
        """A request; `idle` is the seconds without a byte that it bears."""
        timeout = httpx.Timeout(idle, connect=self._timeout.connect)
        return self._pool.http.build_request(method, url, headers=headers, content=body or None, timeout=timeout)

    def close(self) -> None:
        """Close all connections."""
        self._pool.http.close()

    def _borrow(self) -> _Pool:
        with self._lock:
            if self._pool.old():
                self._pool.retired = True
                if not self._pool.open:
                    self._pool.http.close()
                self._pool = _Pool(client(self._timeout))
            self._pool.requests += 1
            self._pool.open += 1
            return self._pool

    def _give_back(self, pool: _Pool, failed: bool) -> None:
        with self._lock:
            pool.open -= 1
            pool.errors = pool.errors + 1 if failed else 0
            if pool.retired and not pool.open:
                pool.http.close()
