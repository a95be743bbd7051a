"""Every error this project raises on purpose.

    PipelineError
     ├── ConfigError      the configuration or the call is wrong: exit 2, every problem listed
     ├── Lost             the claim was taken back by a reaper: let go, touch nothing
     └── StageError       what a stage's process() may raise
          ├── Retry       this book, later: deferred with backoff, counted as an attempt
          ├── Redo        this book, from an earlier stage: its files are damaged and must be made again
          ├── Reject      this book, never: straight to failed/, a person must look
          └── Halt        not this book's fault: the whole stage waits, no attempt is burnt

Reasons are sentences for a person; a cure says what to do next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence


def said(what: object) -> str:
    """The words of something that may be anybody's, and may fail to be said."""
    try:
        return str(what)
    except Exception:  # noqa: BLE001 - its __str__ may raise anything
        return f"({type(what).__name__}, which cannot be shown)"


def ourselves() -> str:
    """Whom a file must belong to so that this process may use it, in words."""
    return f"the user of this process (uid {os.geteuid()})"


def refusal(error: OSError) -> str:
    """What the system refused, ending in a full stop; where it is somebody else's, with whose it should be."""
    return f"{error.strerror}.{f' Let it belong to {ourselves()}.' if error.errno == errno.EACCES else ''}"


class PipelineError(Exception):
    """The root of the tree above."""


class ConfigError(PipelineError):
    """The configuration or the command line is wrong; `problems` holds one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Lost(PipelineError):  # noqa: N818 - a verdict, like the four below
    """The claim this worker held is no longer its own."""


class StageError(PipelineError):
    """A stage's verdict on a book: a reason for a person, and what that person can do."""

    cure = ""
    """Here too, for a subclass whose constructor forgets ours."""

    def __init__(self, reason: str, cure: str = "") -> None:
        # Whatever a stage gives, these go into JSON and in front of a person.
        self.reason = said(reason)[:LONGEST_TEXT]
        self.cure = said(cure)[:LONGEST_TEXT]
        super().__init__(self.reason)


LONGEST_TEXT = 2_000
LONGEST_DELAY = 30 * 86_400.0


class Retry(StageError):  # noqa: N818
    """Try this book again later; `delay` in seconds, at most 30 days, replaces the computed backoff."""

    delay: float | None = None

    def __init__(self, reason: str, cure: str = "", *, delay: float | None = None) -> None:
        super().__init__(reason, cure)
        self.delay = None if delay is None else max(0.0, min(float(delay), LONGEST_DELAY))


class Redo(StageError):  # noqa: N818
    """Make this book's files again from an earlier stage: `to` names it, by default the first of the line.

    `local`: what came was good, and our own disk has lost or changed what was made of it. Then it is not fetched again,
    but made from the earliest files of the book that are still there, such as the encrypted archive.
    """

    to: str | None = None
    local = False

    def __init__(self, reason: str, cure: str = "", *, to: str | None = None, local: bool = False) -> None:
        super().__init__(reason, cure)
        self.to = to
        self.local = local


class Reject(StageError):  # noqa: N818
    """No further attempt can help this book."""


class Halt(StageError):  # noqa: N818
    """Nothing is wrong with this book: the stage itself cannot work until its cause is gone."""
