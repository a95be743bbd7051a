"""Faults on demand: which there are, whom they meet, and what they make of a reply."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from email.utils import formatdate
from enum import StrEnum
from typing import Any

from simulator.grin.messages import Hangup, Reply, page, redirect

_PIECE = 64 * 1024
GROUPS = frozenset({"archives", "lists", "*"})
_ALONE = frozenset({"token", "auth", "_process"})


class Kind(StrEnum):
    """What goes wrong."""

    CUT = "cut"  # the connection ends in good order after `at` bytes
    RESET = "reset"  # the connection is reset after `at` bytes
    DRIP = "drip"  # the body comes at `rate` bytes a second
    STALL = "stall"  # `seconds` of silence after `at` bytes
    WRONG_LENGTH = "wrong_length"  # Content-Length is `by` too large, or too small if negative
    NO_LENGTH = "no_length"  # no Content-Length; the body ends with the connection
    CHUNKED = "chunked"  # no Content-Length; the body comes in chunks
    NO_ETAG = "no_etag"
    NO_RANGE = "no_range"  # Range is ignored
    LOGIN_PAGE = "login_page"  # 200 and HTML instead of what was asked for
    UNAVAILABLE = "unavailable"  # 200 and the page that says that the request is unavailable
    STATUS = "status"  # `code`, with Retry-After if `retry_after` is set
    REDIRECT = "redirect"  # 302 to `location`
    EXPIRE = "expire"  # all access tokens end before this request
    REBUILD = "rebuild"  # a new ETag before this request, as after a new conversion
    FAIL_CONVERSION = "fail_conversion"
    DENY = "deny"  # the person who is asked for consent at `auth` says no


REPLACING = frozenset({Kind.LOGIN_PAGE, Kind.UNAVAILABLE, Kind.STATUS, Kind.REDIRECT})
DISTORTING = frozenset(
    {Kind.CUT, Kind.RESET, Kind.DRIP, Kind.STALL, Kind.WRONG_LENGTH, Kind.NO_LENGTH, Kind.CHUNKED, Kind.NO_ETAG}
)


@dataclass(frozen=True)
class Fault:
    """One fault; it lets `after` requests of its target pass, then meets `times` of them, or all if that is None."""

    kind: Kind
    on: str = "*"
    """A barcode (its archive), a page such as `_converted`, `token`, `auth`, or a group: `archives`, `lists` (which are
    all pages but `_process`), `*` (all but `token` and `auth`)."""
    times: int | None = 1
    after: int = 0
    chance: float = 1
    """How likely it meets a request that it could meet, from 0 to 1."""
    at: int | None = 0
    """None: anywhere."""
    by: int = 1
    rate: int = 1000
    seconds: float = 1
    code: int = 500
    retry_after: int | None = None
    as_date: bool = False
    """Whether Retry-After comes as a date."""
    location: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))
        if not isinstance(self.chance, int | float) or not 0 <= self.chance <= 1:
            raise ValueError(f"A chance is a number from 0 to 1, not {self.chance!r}.")

    def meets(self, target: str) -> bool:
        """Whether requests of `target` are meant."""
        return self.on == target or (self.on in GROUPS and self.on in _groups(target))


def _groups(target: str) -> tuple[str, ...]:
    if target in _ALONE:
        return ("*",) if target == "_process" else ()
    return ("*", "lists" if target.startswith("_") or not target else "archives")


class Faults:
    """The faults that are set now, and how far each has come; the same seed throws the same dice."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 1) -> None:
        self.dice = random.Random(f"faults {seed}")
        self._lock = threading.Lock()
        self._set: list[Fault] = []
        self._seen: list[int] = []
        self._met: list[int] = []
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """Replace all faults by these."""
        with self._lock:
            self._set = list(faults)
            self._seen, self._met = ([0] * len(self._set) for _ in range(2))

    def take(self, target: str, kinds: Collection[Kind]) -> list[Fault]:
        """The faults of these kinds that meet this request of `target`, which is counted."""
        with self._lock:
            candidates = [place for place, fault in enumerate(self._set) if fault.kind in kinds]
            return [self._set[place] for place in candidates if self._set[place].meets(target) and self._strikes(place)]

    def shown(self) -> list[dict[str, Any]]:
        """The faults for JSON, each with the requests of its target so far, `seen`, and those that it `met`."""
        with self._lock:
            counts = zip(self._set, self._seen, self._met, strict=True)
            return [{**asdict(fault), "seen": seen, "met": met} for fault, seen, met in counts]

    def _strikes(self, place: int) -> bool:
        fault = self._set[place]
        self._seen[place] += 1
        due = self._seen[place] > fault.after and (fault.times is None or self._met[place] < fault.times)
        strikes = due and (fault.chance >= 1 or self.dice.random() < fault.chance)
        self._met[place] += strikes
        return strikes


def parse(items: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Faults from JSON objects, those with a `chance` for ever unless they say; ValueError says what is wrong."""
    try:
        return [Fault(**({"times": None} if "chance" in item else {}) | dict(item)) for item in items]
    except TypeError as error:
        raise ValueError(f"This is no list of faults: {error}.") from None


def replacement(fault: Fault, target: str) -> Reply:
    """The reply that a fault gives instead of the true one."""
    if fault.kind is Kind.LOGIN_PAGE:
        return login_page()
    if fault.kind is Kind.UNAVAILABLE:
        return page("Google", "<p>Your request is unavailable.</p>")
    if fault.kind is Kind.REDIRECT:
        return redirect(fault.location or f"{target}{'&' if '?' in target else '?'}moved=1")
    reply = page(f"Error {fault.code}", f"<h1>{fault.code}</h1>", fault.code)
    if fault.retry_after is None:
        return reply
    date = formatdate(time.time() + fault.retry_after, usegmt=True)
    waits = {"Retry-After": date if fault.as_date else str(fault.retry_after)}
    return replace(reply, headers={**reply.headers, **waits})


def login_page() -> Reply:
    """Google's login page, which comes with status 200."""
    form = '<form action="/signin"><input type="email" name="identifier"><input type="submit" value="Next"></form>'
    return page("Sign in - Google Accounts", f"<h1>Sign in</h1>{form}")


def distorted(reply: Reply, fault: Fault, sleep: Callable[[float], object], dice: random.Random) -> Reply:
    """The reply with the fault in it; `sleep` waits for seconds, `dice` say where if the fault does not."""
    if fault.kind is Kind.NO_ETAG:
        return replace(reply, headers={name: value for name, value in reply.headers.items() if name != "ETag"})
    if fault.kind is Kind.WRONG_LENGTH:
        return reply if reply.length is None else replace(reply, length=max(0, reply.length + fault.by))
    if fault.kind in {Kind.NO_LENGTH, Kind.CHUNKED}:
        return replace(reply, length=None, framed=fault.kind is Kind.CHUNKED)
    if fault.kind is Kind.DRIP:
        return replace(reply, body=_dripping(reply.body, fault, sleep))
    # Of a body without a length short beginnings are as likely as long ones.
    anywhere = dice.randrange(reply.length) if reply.length else int(2 ** dice.uniform(0, 20))
    at = anywhere if fault.at is None else fault.at
    return replace(reply, body=_broken(reply.body, at, lambda: _interrupt(fault, sleep)))


def _broken(body: Iterable[bytes], at: int, interrupt: Callable[[], None]) -> Iterator[bytes]:
    start = 0
    for piece in body:
        end = start + len(piece)
        if start <= at < end:
            yield piece[: at - start]
            interrupt()
            yield piece[at - start :]
        else:
            yield piece
        start = end


def _interrupt(fault: Fault, sleep: Callable[[float], object]) -> None:
    if fault.kind is not Kind.STALL:
        raise Hangup(reset=fault.kind is Kind.RESET)
    sleep(fault.seconds)


def _dripping(body: Iterable[bytes], fault: Fault, sleep: Callable[[float], object]) -> Iterator[bytes]:
    step = max(1, min(_PIECE, fault.rate // 10))
    for piece in body:
        for start in range(0, len(piece), step):
            yield piece[start : start + step]
            sleep(step / fault.rate)
