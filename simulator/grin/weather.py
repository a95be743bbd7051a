"""Bad weather: every kind of fault that passes, wherever it makes sense, each as likely as is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from simulator.grin.faults import Fault, Kind

# 403 and a 404 of a page are left out, and refusals of the token endpoint: they end a client's work for good reasons.
_BUSY = (
    Fault(Kind.STATUS, code=408),
    Fault(Kind.STATUS, code=429),
    Fault(Kind.STATUS, code=429, retry_after=1),
    Fault(Kind.STATUS, code=429, retry_after=1, as_date=True),
    Fault(Kind.STATUS, code=500),
    Fault(Kind.STATUS, code=502),
    Fault(Kind.STATUS, code=503),
    Fault(Kind.STATUS, code=503, retry_after=1),
)
_REJECTED = Fault(Kind.STATUS, code=401)
_ABSENT = Fault(Kind.STATUS, code=404)
_LINE = (
    (Fault(Kind.CUT, at=None),),
    (Fault(Kind.RESET, at=None),),
    (Fault(Kind.STALL, at=None, seconds=0.5),),
    (Fault(Kind.DRIP, rate=400_000),),
)
_LOGIN = (
    (Fault(Kind.LOGIN_PAGE),),
    (Fault(Kind.EXPIRE),),
    (Fault(Kind.REDIRECT),),
)
_ARCHIVES = (
    *_LINE,
    *_LOGIN,
    (*_BUSY, _REJECTED, _ABSENT),
    (Fault(Kind.WRONG_LENGTH, by=1000), Fault(Kind.WRONG_LENGTH, by=-1000)),
    (Fault(Kind.NO_LENGTH),),
    (Fault(Kind.CHUNKED),),
    (Fault(Kind.NO_ETAG),),
    (Fault(Kind.NO_RANGE),),
    (Fault(Kind.REBUILD),),
    (Fault(Kind.UNAVAILABLE),),
    (Fault(Kind.FAIL_CONVERSION),),
)
_LISTS = (*_LINE, *_LOGIN, (*_BUSY, _REJECTED), (Fault(Kind.NO_LENGTH),), (Fault(Kind.UNAVAILABLE),))
_PROCESS = (*_LINE[:3], *_LOGIN, (*_BUSY, _REJECTED), (Fault(Kind.UNAVAILABLE),))
_TOKEN = (*_LINE[:3], _BUSY)
_WEATHER = {"archives": _ARCHIVES, "lists": _LISTS, "_process": _PROCESS, "token": _TOKEN}


def every_fault(chance: float) -> Iterator[Fault]:
    """Each kind with this chance on archives, lists, `_process` and `token`; the statuses share one chance."""
    if not 0 <= chance <= 1:
        raise ValueError(f"A chance of {chance} makes no sense; give 0 to 1.")
    for on, kinds in _WEATHER.items() if chance else ():
        for variants in kinds:
            for fault in variants:
                yield replace(fault, on=on, times=None, chance=chance / len(variants))
