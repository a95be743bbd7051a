"""Moments as GRIN writes them: whole minutes since 1970, in no zone; 0 is no moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - GRIN's dates tell no zone
DAY = 24 * 60
_TIMES = tuple(f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(DAY))


def minute_of(moment: datetime) -> int:
    """A moment without its zone, in minutes since 1970."""
    return (moment.replace(tzinfo=None) - _EPOCH) // timedelta(minutes=1)


def stamp(minute: int) -> str:
    """`YYYY/MM/DD HH:MM`; empty for no moment."""
    # A list of a million books has millions of these: strftime would take most of its time.
    return f"{_day(minute // DAY)} {_TIMES[minute % DAY]}" if minute else ""


@cache
def _day(number: int) -> str:
    return f"{_EPOCH + timedelta(days=number):%Y/%m/%d}"
