"""GRIN's clock, which may run faster than ours, and the pace at which its conversions end."""

from __future__ import annotations

import time
from dataclasses import dataclass

_DAY = 24 * 60 * 60


class Clock:
    """`speed` seconds go by at GRIN in one of ours."""

    def __init__(self, speed: float = 1) -> None:
        if speed < 0:
            raise ValueError("GRIN's clock cannot go backwards; give a speed of 0 or more.")
        self._speed = speed
        self._began = time.time()
        self._origin = time.monotonic()

    def now(self) -> float:
        """Seconds at GRIN since the start."""
        return (time.monotonic() - self._origin) * self._speed

    def minute(self, seconds: float) -> int:
        """The minute since 1970 (UTC) in which so many seconds after the start lie."""
        return int(self._began + seconds) // 60


@dataclass(frozen=True)
class Limits:
    """How long a conversion takes in seconds of GRIN's clock, how many archives the pool keeps, how many books wait."""

    conversion_seconds: float = 2
    converted_pool: int = 5000
    queue_limit: int = 50_000
    conversions_per_day: float = 0
    """At which even pace conversions end; 0: each on its own, `conversion_seconds` after it was asked for."""
    daily_quota: int = 0
    """After so many in a day the rest waits for the next day; 0: no such limit."""


class Pace:
    """Decides, in the order of the requests, when each conversion ends."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._interval = _DAY / limits.conversions_per_day if limits.conversions_per_day else 0.0
        self._last = 0.0
        self._today = 0

    def end(self, asked: float) -> float:
        """When a conversion that is asked for now ends; never before an earlier one."""
        ready = max(asked + self._limits.conversion_seconds, self._last + self._interval)
        if ready // _DAY > self._last // _DAY:
            self._today = 0
        elif self._limits.daily_quota and self._today >= self._limits.daily_quota:
            ready, self._today = (self._last // _DAY + 1) * _DAY, 0
        self._today += 1
        self._last = ready
        return ready
