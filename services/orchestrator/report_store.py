"""Catalogue records that the ledger does not have, or not whole: read from the store's `<BARCODE>.marc.json`.

A request a book, so several are on their way at once; the order of the books stays.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from common.deliveries import Stored
from common.store import Bucket
from services.orchestrator.report import CUT, Facts, Held

_SUFFIX = ".marc.json"
_MOST = 16_000_000
# Requests at once, and books that are read ahead for them.
_AT_ONCE, _AHEAD = 16, 256


class Records:
    """Fills in what the ledger lacks; `fault` is told of each book whose record cannot be had.

    `opened` opens a bucket by its name, None for the one where books are that name none. Halt when one cannot be
    reached or is not there.
    """

    def __init__(self, opened: Callable[[str | None], Bucket], fault: Callable[[str, str], None]) -> None:
        self._opened = opened
        self._fault = fault
        self._buckets: dict[str | None, Bucket] = {}

    def filled(self, books: Iterator[Held]) -> Iterator[Held]:
        """The same books with their records, in the same order."""
        ahead: deque[tuple[Held, Future[tuple[Facts, str]] | None]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for one in books:
                sidecar = _wanted(one)
                asked = pool.submit(_read, self._reached(one.done_bucket), sidecar) if sidecar else None
                ahead.append((one, asked))
                if len(ahead) > _AHEAD:
                    yield self._settled(*ahead.popleft())
            while ahead:
                yield self._settled(*ahead.popleft())

    def _reached(self, name: str | None) -> Bucket:
        """A store that is not mounted lacks every record; asked once a book needs it, for an empty one is no fault."""
        if name not in self._buckets:
            bucket = self._opened(name)
            bucket.require()
            self._buckets[name] = bucket
        return self._buckets[name]

    def _settled(self, one: Held, asked: Future[tuple[Facts, str]] | None) -> Held:
        if asked is None:
            return one
        record, fault = asked.result()
        if fault:
            self._fault(one.barcode, f"its record cannot be read from the store: {fault}.")
            return one
        return replace(one, record=record)


def _read(bucket: Bucket, sidecar: Stored) -> tuple[Facts, str]:
    """The record in a sidecar, or what is wrong with it."""
    data = bucket.read(sidecar.key, _MOST)
    if data is None:
        return {}, f"{sidecar.key} is not there"
    if sidecar.sha256 not in (None, hashlib.sha256(data).hexdigest()):
        return {}, f"{sidecar.key} is not what was delivered"
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return {}, f"{sidecar.key} is no JSON"
    return (record, "") if isinstance(record, dict) else ({}, f"{sidecar.key} is no JSON object")


def _wanted(one: Held) -> Stored | None:
    """The sidecar to read, if the ledger has not the whole record and there is one."""
    whole = one.record and not any(str(value).endswith(CUT) for value in one.record.values())
    return None if whole else next((file for file in one.sidecars if file.name.endswith(_SUFFIX)), None)
