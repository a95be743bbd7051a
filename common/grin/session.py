"""Requests to GRIN that end in an answer or in a verdict.

A passing fault (connection, time-out, 5xx, 429) is tried again here for seconds; what lasts longer is for the board.
A login page is never an answer, whatever it comes as: the token is refreshed once, then the stage halts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
import tenacity

from common.errors import Halt, Retry
from common.grin.credentials import AccessToken
from common.grin.errors import Passing
from common.grin.rate import RateLimit
from common.settings import GrinSettings

MAX_HOPS = 5
# A server that wants us to wait longer than this gets its wait from the board, not from a sleeping worker.
LONGEST_WAIT = 60.0
_ANSWERS = frozenset({200, 206, 404, 416})
_jittered = tenacity.wait_random_exponential(multiplier=0.5, max=20)
_Result = TypeVar("_Result")


class _Login(Exception):  # noqa: N818 - what GRIN answered, not an error yet
    """GRIN wants a login."""


@dataclass
class Answer:
    """An open response whose first bytes have been looked at."""

    response: httpx.Response
    first: bytes
    rest: Iterator[bytes]

    @property
    def status(self) -> int:
        """The HTTP status: 200, 206, 404 or 416."""
        return self.response.status_code

    def header(self, name: str) -> str:
        """A header's value, empty when there is none."""
        return str(self.response.headers.get(name, ""))

    def chunks(self) -> Iterator[bytes]:
        """The body, in the pieces in which it comes."""
        if self.first:
            yield self.first
        try:
            yield from self.rest
        except httpx.RequestError as error:
            raise Passing(f"The connection to GRIN broke in the middle of an answer ({_named(error)}).") from None

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()


class Session:
    """One HTTP client with its token, its rate and its rules for redirects."""

    def __init__(self, settings: GrinSettings, on_request: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._on_request = on_request
        timeout = httpx.Timeout(settings.idle_timeout, connect=settings.connect_timeout)
        self._http = httpx.Client(timeout=timeout, follow_redirects=False)
        self._token = AccessToken(settings, self._http, on_request)
        self._rate = RateLimit(settings.requests_per_second)
        self._home = httpx.URL(settings.base_url)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def persist(self, work: Callable[[], _Result]) -> _Result:
        """Do `work`, again after short waits while its faults are Passing; the last of them goes up."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._settings.tries),
            wait=_wait,
            retry=tenacity.retry_if_exception(_is_brief),
            reraise=True,
        )
        return retrying(work)

    def get(self, endpoint: str, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """One answer, to be closed by the caller; `endpoint` is the label for the metrics."""
        try:
            return self._ask(endpoint, url, headers or {})
        except _Login:
            self._token.refresh()
        try:
            return self._ask(endpoint, url, headers or {})
        except _Login:
            cure = "See whether the account of grin.credentials_file is on GRIN's list of this library."
            raise Halt("GRIN shows its login page, even for a fresh access token.", cure) from None

    def _ask(self, endpoint: str, url: str, headers: Mapping[str, str]) -> Answer:
        target = httpx.URL(url)
        for _ in range(MAX_HOPS + 1):
            response = self._send(endpoint, target, headers)
            if not response.has_redirect_location:
                return _judged(response)
            target = self._next(response)
        raise Retry(f"GRIN redirects more than {MAX_HOPS} times in a row.")

    def _send(self, endpoint: str, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self._token.value()}"}
        self._rate.wait()
        try:
            response = self._http.send(self._http.build_request("GET", url, headers={**headers, **bearer}), stream=True)
        except httpx.RequestError as error:
            self._on_request(endpoint, "error")
            raise Passing(f"GRIN at {url.host} cannot be reached ({_named(error)}).") from None
        self._on_request(endpoint, str(response.status_code))
        return response

    def _next(self, response: httpx.Response) -> httpx.URL:
        response.close()
        try:
            target = response.url.join(response.headers["Location"])
        except httpx.InvalidURL:
            raise Retry("GRIN redirects to an address that is none.") from None
        if target.host == "accounts.google.com" or "ServiceLogin" in target.path:
            raise _Login
        if not self._may_have_token(target):
            cure = "If this host is Google's and you trust it with the access token, add it to grin.allowed_hosts."
            raise Halt(f"GRIN redirects to {target.scheme}://{target.host}, which is not GRIN.", cure)
        return target

    def _may_have_token(self, url: httpx.URL) -> bool:
        home = url.netloc == self._home.netloc or {url.host, url.netloc.decode()} & set(self._settings.allowed_hosts)
        return bool(home) and url.scheme in {"https", self._home.scheme}


def _judged(response: httpx.Response) -> Answer:
    try:
        return _answer(response)
    except BaseException:
        response.close()
        raise


def _answer(response: httpx.Response) -> Answer:
    if response.status_code not in _ANSWERS:
        raise _verdict(response)
    pieces = response.iter_bytes()
    try:
        first = next(pieces, b"")
    except httpx.RequestError as error:
        raise Passing(f"GRIN's answer broke off before its first byte ({_named(error)}).") from None
    if response.status_code in {200, 206} and _is_page(response, first):
        raise _page(first)
    return Answer(response, first, pieces)


def _verdict(response: httpx.Response) -> Exception:
    code = response.status_code
    if code == 401:
        return _Login()
    if code == 403:
        cure = "Have the account added to this library's list at Google; a change there can take up to 12 hours."
        return Halt("GRIN knows the account, but does not let it in (403).", cure)
    if code == 429 or code >= 500:
        return Passing(f"GRIN answers {code}.", delay=_retry_after(response))
    return Retry(f"GRIN answers {code}, which nothing here expects.")


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _is_page(response: httpx.Response, first: bytes) -> bool:
    return "html" in response.headers.get("Content-Type", "") or first.lstrip().startswith(b"<")


def _page(first: bytes) -> Exception:
    if b"unavailable" in first:
        return Passing("GRIN says that the request is unavailable.")
    return _Login()


def _is_brief(error: BaseException) -> bool:
    return isinstance(error, Passing) and (error.delay or 0) <= LONGEST_WAIT


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.delay if isinstance(error, Passing) else None
    return asked if asked is not None else _jittered(state)


def _named(error: httpx.RequestError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
