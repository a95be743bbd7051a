"""Requests to GRIN that end in an answer or in a verdict.

A passing fault (connection, time-out, 5xx, 429) is tried again here for seconds; what lasts longer is for the board.
A login page is never an answer, whatever it comes as: the token is renewed once, then the stage halts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import httpx
import tenacity

from common.errors import Halt, Retry
from common.grin.answers import Answer, judged, named
from common.grin.connections import Connections, client
from common.grin.credentials import AccessToken
from common.grin.errors import Away, LoginPage, Passing, QueueFull
from common.grin.rate import RateLimit
from common.settings import GrinSettings

__all__ = ["Answer", "Session"]

MAX_HOPS = 5
# A server that wants us to wait longer than this gets its wait from the board, not from a sleeping worker.
LONGEST_WAIT = 60.0
# Nobody answers at all; a broken answer may be of this one archive.
_NOBODY = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_jittered = tenacity.wait_random_exponential(multiplier=0.5, max=20)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Wanted:
    """One request as its caller means it; redirects change the method, the body and the address."""

    endpoint: str
    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    html_ok: bool = False
    idle: float | None = None


class Session:
    """HTTP connections with their token, their rate and their rules for redirects.

    `on_request` hears endpoint and status; with `board`, the pipeline's folder, the rate is that of all its processes.
    """

    def __init__(
        self, settings: GrinSettings, on_request: Callable[[str, str], None], board: Path | None = None
    ) -> None:
        self._settings = settings
        self._on_request = on_request
        timeout = httpx.Timeout(settings.idle_timeout, connect=settings.connect_timeout)
        self._connections = Connections(timeout)
        self._google = client(timeout)
        self._token = AccessToken(settings, self._google, on_request)
        self._rate = RateLimit(settings.requests_per_second, board)
        self._home = httpx.URL(settings.base_url)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()
        self._google.close()

    def persist(self, work: Callable[[], _Result]) -> _Result:
        """Do `work`, again after short waits while its faults are Passing; the last of them goes up, Away as a Halt."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._settings.tries),
            wait=_wait,
            retry=tenacity.retry_if_exception(_is_brief),
            reraise=True,
        )
        try:
            return retrying(work)
        except Away as error:
            raise Halt(error.reason, "See whether this machine can reach it; the stage goes on by itself.") from None

    def get(
        self,
        endpoint: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        html_ok: bool = False,
        idle: float | None = None,
    ) -> Answer:
        """One answer, to be closed by the caller; `endpoint` is the label for the metrics.

        With `html_ok` a page that is no login page is an answer too, and so is a 400. `idle` seconds without a byte are
        allowed instead of grin.idle_timeout.
        """
        return self._ask(_Wanted(endpoint, "GET", httpx.URL(url), headers or {}, html_ok=html_ok, idle=idle))

    def post(self, endpoint: str, url: str, body: bytes, *, html_ok: bool = False, idle: float | None = None) -> Answer:
        """Send a text; it stays a POST with its body after a redirect of GRIN and after a renewed token."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return self._ask(_Wanted(endpoint, "POST", httpx.URL(url), headers, body, html_ok=html_ok, idle=idle))

    def _ask(self, wanted: _Wanted) -> Answer:
        try:
            return self._follow(wanted)
        except LoginPage as error:
            self._token.refresh(error.number)
        try:
            return self._follow(wanted)
        except LoginPage:
            cure = "See whether the account of grin.credentials_file is on GRIN's list of this library."
            raise Halt("GRIN shows its login page, even for a fresh access token.", cure) from None

    def _follow(self, wanted: _Wanted) -> Answer:
        for _ in range(MAX_HOPS + 1):
            number, response = self._send(wanted)
            try:
                if not response.has_redirect_location:
                    return judged(wanted.endpoint, response, html_ok=wanted.html_ok)
                response.close()
                wanted = self._next(wanted, response)
            except LoginPage:
                raise LoginPage(number) from None
        raise Retry(f"GRIN redirects more than {MAX_HOPS} times in a row.")

    def _send(self, wanted: _Wanted) -> tuple[int, httpx.Response]:
        """The number of the token that went with it, and what came."""
        # The token is looked at when the turn has nearly come: in a long queue it may grow old.
        token = self._rate.turn(self._token.current)
        headers = {**wanted.headers, "Authorization": f"Bearer {token.value}"}
        idle = wanted.idle or self._settings.idle_timeout
        try:
            response = self._connections.send(
                self._connections.build(wanted.method, wanted.url, headers, wanted.body, idle)
            )
        except httpx.InvalidURL:
            raise Retry("GRIN redirects to an address that is none.") from None
        except httpx.RequestError as error:
            self._on_request(wanted.endpoint, "error")
            fault = Away if isinstance(error, _NOBODY) else Passing
            raise fault(f"GRIN at {wanted.url.host} cannot be reached ({named(error)}).") from None
        self._on_request(wanted.endpoint, str(response.status_code))
        return token.number, response

    def _next(self, wanted: _Wanted, response: httpx.Response) -> _Wanted:
        try:
            target = response.url.join(response.headers["Location"])
        except httpx.InvalidURL:
            raise Retry("GRIN redirects to an address that is none.") from None
        if is_login(target):
            raise LoginPage
        if not self._may_have_token(target):
            cure = "If this host is Google's and you trust it with the access token, add it to grin.allowed_hosts."
            raise Halt(f"GRIN redirects to {target.scheme}://{target.host}, which is not GRIN.", cure)
        if response.status_code == 303 and wanted.method == "POST":
            # That is what 303 is for: the body has been taken, the answer lies elsewhere.
            return replace(wanted, url=target, method="GET", body=b"", headers={})
        return replace(wanted, url=target)

    def _may_have_token(self, url: httpx.URL) -> bool:
        home = url.netloc == self._home.netloc or {url.host, url.netloc.decode()} & set(self._settings.allowed_hosts)
        return bool(home) and not url.userinfo and url.scheme in {"https", self._home.scheme}


def is_login(url: httpx.URL) -> bool:
    """Whether a redirect leads to Google's login."""
    return url.host == "accounts.google.com" or "ServiceLogin" in url.path


def _is_brief(error: BaseException) -> bool:
    return isinstance(error, Passing) and not isinstance(error, QueueFull) and (error.delay or 0) <= LONGEST_WAIT


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.delay if isinstance(error, Passing) else None
    return asked if asked is not None else _jittered(state)
