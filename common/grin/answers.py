"""What an HTTP response of GRIN means: data, or which error. A login page is never data, whatever it comes as."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from common.errors import Halt, Retry
from common.grin.errors import LoginPage, Passing, QueueFull
from common.grin.pages import has_table, is_page

PROCESS = "_process"
_DATA = frozenset({200, 206, 404, 416})
# A server that wants longer, by mistake or by a date of its own, is asked again after this, in seconds.
_LONGEST = 3600.0
# As much of a page is looked at to tell what it is.
_MOST_OF_A_PAGE = 65_536
_LOGIN = re.compile(rb"servicelogin|<title[^>]*>\s*(sign in|google accounts)", re.IGNORECASE)
_UNAVAILABLE = re.compile(rb"request\s+is\s+unavailable", re.IGNORECASE)


@dataclass
class Answer:
    """An open response whose first bytes have been looked at."""

    response: httpx.Response
    first: bytes
    rest: Iterator[bytes]

    @property
    def status(self) -> int:
        """The HTTP status: 200, 206, 404 or 416; 400 where pages are wanted."""
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
            raise Passing(f"The connection to GRIN broke in the middle of an answer ({named(error)}).") from None

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()


def judged(endpoint: str, response: httpx.Response, *, html_ok: bool) -> Answer:
    """The answer that a response is, which is closed if it is none: LoginPage, Passing, QueueFull, Retry or Halt.

    With `html_ok` a page that is neither a login nor "unavailable" is an answer, and so is a 400.
    """
    try:
        return _answer(endpoint, response, html_ok)
    except BaseException:
        response.close()
        raise


def named(error: httpx.RequestError) -> str:
    """What happened to a connection, for a sentence; never a header's value, which may be a token."""
    if isinstance(error, httpx.ProtocolError):
        return type(error).__name__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _answer(endpoint: str, response: httpx.Response, html_ok: bool) -> Answer:
    if response.status_code not in _DATA and not (html_ok and response.status_code == 400):
        raise _verdict(endpoint, response)
    pieces = response.iter_bytes()
    first = _more(b"", pieces, 1)
    # The rest of an archive may begin with any byte, `<` too: of a 206, only its type tells.
    shown = first if response.status_code == 200 else b""
    if response.status_code in {200, 206} and is_page(response.headers.get("Content-Type", ""), shown):
        first = _more(first, pieces, _MOST_OF_A_PAGE)
        _refuse(first, html_ok)
    return Answer(response, first, pieces)


def _more(first: bytes, pieces: Iterator[bytes], least: int) -> bytes:
    try:
        while len(first) < least and (piece := next(pieces, b"")):
            first += piece
    except httpx.RequestError as error:
        raise Passing(f"GRIN's answer broke off at its beginning ({named(error)}).") from None
    return first


def _verdict(endpoint: str, response: httpx.Response) -> Exception:
    code = response.status_code
    if code == 401:
        return LoginPage()
    if code == 403:
        cure = "Have the account added to this library's list at Google; a change there can take up to 12 hours."
        return Halt("GRIN knows the account, but does not let it in (403).", cure)
    if code == 429 and endpoint == PROCESS:
        return QueueFull("GRIN's queue of conversions is full (429).", delay=_retry_after(response))
    if code == 429 or code >= 500:
        return Passing(f"GRIN answers {code}.", delay=_retry_after(response))
    cure = "Set grin.process_batch lower, or grin.process_method to post." if code in {413, 414} else ""
    return Retry(f"GRIN answers {code}, which nothing here expects.", cure)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, an hour at most; a date is measured by the server's own clock, where it tells it."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST)
    until, now = _stamp(text), _stamp(response.headers.get("Date", ""))
    return None if until is None else min(max(0.0, until - (time.time() if now is None else now)), _LONGEST)


def _stamp(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _refuse(page: bytes, html_ok: bool) -> None:
    if _UNAVAILABLE.search(page):
        raise Passing("GRIN says that the request is unavailable.")
    if not html_ok or (_LOGIN.search(page) and not has_table(page)):
        raise LoginPage
