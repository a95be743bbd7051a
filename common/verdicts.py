"""What a stage returns or raises, turned into facts and verdicts: a stage may be anybody's."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from common import durable
from common.config import FilterRow
from common.errors import Halt, Reject, Retry, StageError, said
from common.stage import Facts

_ABSURD = 1 << 60
# Bytes of facts in one line of the ledger.
_MOST_FACTS = 1_000_000


def backoff(row: FilterRow, attempt: int) -> float:
    """Seconds to wait after this attempt: exponential with full jitter, so that a crowd spreads out."""
    return random.uniform(0, min(row.backoff_max, row.backoff * 2 ** min(attempt - 1, 60)))  # noqa: S311


def figure(facts: Facts, key: str) -> int:
    """A figure among the facts of a stage, which may be anybody's; 0 when there is none."""
    value = facts.get(key)
    return int(value) if isinstance(value, int | float) and 0 <= value < _ABSURD else 0


@contextmanager
def halting() -> Iterator[None]:
    """An error of the file system in the worker's own steps is not the book's fault."""
    try:
        yield
    except OSError as error:
        # Without the attempt's own folder: the same halt is to read the same, at each try.
        where = str(error.filename or "").partition("/.scratch")[0]
        what = f"{error.strerror or error}" + (f" ({where})" if where else "")
        cure = "Mend the disk; the stage goes on by itself."
        raise Halt(f"The books' files cannot be worked on: {what}.", cure) from error


def as_verdict(error: BaseException, log: logging.Logger, barcode: str) -> StageError:
    """Whatever process() raised, as one of the four verdicts; what nobody expected is a Retry, its traceback logged."""
    if isinstance(error, StageError) and hasattr(error, "reason"):
        return error
    if isinstance(error, OSError) and error.errno in durable.FULL:
        where = f" ({error.filename})" if error.filename else ""
        return Halt(f"The disk cannot be written{where}: {error.strerror}.", "Make space; the stage goes on by itself.")
    if isinstance(error, MemoryError):
        cure = "Raise memory_limit for this stage in the configuration, or take it out, if the book is just large."
        return Retry("The book needs more memory than its worker may have.", cure)
    log.error("The stage raised an unexpected error.", exc_info=error, extra={"barcode": barcode})
    reason = f"An unexpected error: {type(error).__name__}: {said(error)[:300]}"
    return Retry(reason, "The traceback is in the stage's file in logs/.")


def as_facts(returned: object) -> dict[str, object]:
    """What process() returned, as far as it can be written to the ledger."""
    if not isinstance(returned, Mapping):
        return {}
    text = json.dumps(dict(returned), default=str)
    if len(text) > _MOST_FACTS:
        raise Reject(f"The stage gave {len(text):,} bytes of facts; {_MOST_FACTS:,} are the most a ledger line takes.")
    return dict(json.loads(text))
