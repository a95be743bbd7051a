"""Failed, deferred and held books by cause: what went wrong once, and how often.

Two reasons are one cause when they differ only in what names one book: its barcode, words with a number in them, paths,
what stands in quotation marks, and the plural that goes with a number.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from common import audit, board, listing
from common.token import barcode_of
from services.orchestrator.view import View, iso

# So many ledgers are read at one look, and so many barcodes are named of each cause.
BUDGET, _NAMED = 500, 20
# A folder that changed less than so many seconds before it was listed may have changed again unseen; one that takes
# longer than so many to list is listed in no more than a twentieth of the time.
_SETTLED, _LONG, _SHARE = 2.0, 0.05, 20
# Of a reason and a cure so many characters are kept: a stage may give megabytes, and there may be many such books.
_KEPT = 2_000
# What could not be read is tried again after so many seconds.
_AGAIN = 60.0
# A shorter piece of a reason would find anybody's books, a longer one nobody types. So many causes are told apart.
_SHORTEST, _TYPED, _COMPARED = 8, 60, 200
# An apostrophe inside a word opens nothing.
_QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*")(?!\w)""")
_PLURALS = ((re.compile(r"\bare\b"), "is"), (re.compile(r"\bhave\b"), "has"), (re.compile(r"(\w{3})s\b"), r"\1"))
_SENTENCE = re.compile(r"(?<=[.:;]) ")
# What a number may change: the word behind it, and the verb.
_COUNTED = re.compile(r"(?<=\0) \w+|\b(?:is|are|has|have)\b")
# What stands for a part that differs; it is not printable, and no piece of a reason may hold it.
_GAP = "\0"


@dataclass
class Cause:
    """One cause; `reason` and `cure` are those of the book that has been there longest."""

    reason: str
    cure: str
    match: str = ""
    """A text that all its reasons hold, for `retry --reason`; empty when they have too little in common."""
    others: int = 0
    """Books of other causes in these states that `match` finds too."""
    count: int = 0
    buckets: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    barcodes: list[str] = field(default_factory=list)
    since: float = 0.0
    """When the first of them came there, by the file server; of deferred ones, when the first is due."""

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON line."""
        return {**vars(self), "since": iso(self.since)}


@dataclass(frozen=True)
class _Entry:
    """What was read of a token, as long as it stays the same file with the same mtime."""

    bucket: str
    state: str
    barcode: str
    inode: int
    since: int
    reason: str = ""
    cure: str = ""
    again: float = math.inf


@dataclass
class _Folder:
    """The tokens of one state of a bucket as they were listed last."""

    changed: int = -1
    rests: float = 0.0
    entries: dict[str, _Entry] = field(default_factory=dict)
    unread: int = 0


class Causes:
    """Groups one board's tokens, again and again: a ledger is read once as long as its token stays."""

    def __init__(self, view: View, budget: int | None = BUDGET) -> None:
        self.view = view
        self.unread = 0
        """Tokens that were left for the next looks when `groups` was asked last."""
        self._budget = budget
        self._folders: dict[tuple[str, str], _Folder] = {}
        self._news = True
        self._made: tuple[Sequence[str], list[Cause]] = ((), [])
        # The page and whoever else asks, each in a thread of its own.
        self._lock = threading.Lock()

    def groups(self, states: Sequence[str] = (board.FAILED,)) -> list[Cause]:
        """The causes in these states (`working` has none), the most frequent first. Not to be changed by the caller."""
        with self._lock:
            wanted = [(name, state) for name in self.view.paths for state in states if state != board.WORKING]
            budget, now = self._budget, self.view.now()
            for bucket, state in wanted:
                used = self._look(bucket, state, budget, now)
                budget = None if budget is None else budget - used
            self.unread = sum(self._folders[key].unread for key in wanted)
            if self._news or self._made[0] != states:
                entries = (entry for key in wanted for entry in self._folders[key].entries.values())
                self._made, self._news = (states, _grouped(entries)), False
            return self._made[1]

    def _look(self, bucket: str, state: str, budget: int | None, now: float) -> int:
        """List one folder if it may have changed, read what is new there; how many ledgers that were."""
        folder = self._folders.setdefault((bucket, state), _Folder())
        where = listing.folder_of(self.view.paths[bucket], state)
        changed, began = _changed(where), time.monotonic()
        stale = folder.unread or any(entry.again < began for entry in folder.entries.values())
        if began < folder.rests or (changed == folder.changed and not stale):
            return 0
        entries: dict[str, _Entry] = {}
        used = folder.unread = 0
        for seen in _tokens(bucket, state, where):
            known = folder.entries.get(seen.barcode)
            if known and known.again >= began and (known.inode, known.since) == (seen.inode, seen.since):
                entries[seen.barcode] = known
            elif budget is None or used < budget:
                entries[seen.barcode], used = self._read(seen), used + 1
            else:
                folder.unread += 1
        self._news = self._news or used > 0 or entries.keys() != folder.entries.keys()
        folder.entries, folder.changed = entries, changed if now - changed / 1e9 > _SETTLED else -1
        took = time.monotonic() - began
        if took > _LONG and not used and not folder.unread:
            folder.rests = began + took * _SHARE
        return used

    def _read(self, seen: _Entry) -> _Entry:
        again = math.inf
        try:
            reason, cure = audit.reason(self.view.ledger.read(seen.barcode), seen.state)
        except OSError as error:
            reason, cure, again = f"Its ledger cannot be read: {error}.", "", time.monotonic() + _AGAIN
        # Cut, not marked as cut: pieces of it are looked for in the whole one.
        told = (reason[:_KEPT], cure[:_KEPT])
        return _Entry(seen.bucket, seen.state, seen.barcode, seen.inode, seen.since, *told, again)


def _tokens(bucket: str, state: str, folder: Path) -> Iterator[_Entry]:
    try:
        listed = os.scandir(folder)
    except FileNotFoundError:
        return
    with listed:
        for file in listed:
            barcode = barcode_of(file.name)
            try:
                figures = file.stat(follow_symlinks=False) if barcode else None
            except FileNotFoundError:
                continue
            if barcode and figures:
                yield _Entry(bucket, state, barcode, figures.st_ino, figures.st_mtime_ns)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


# --- grouping -------------------------------------------------------------------------------------------------------


def _grouped(entries: Iterable[_Entry]) -> list[Cause]:
    causes: dict[str, Cause] = {}
    reasons: dict[str, dict[str, None]] = {}
    for entry in sorted(entries, key=lambda one: (one.since, one.barcode)):
        key = _key(entry.reason, entry.barcode)
        cause = causes.get(key)
        if cause is None:
            cause = causes[key] = Cause(entry.reason, entry.cure, since=entry.since / 1e9)
        reasons.setdefault(key, {})[entry.reason] = None
        cause.count += 1
        cause.buckets[entry.bucket] = cause.buckets.get(entry.bucket, 0) + 1
        cause.states[entry.state] = cause.states.get(entry.state, 0) + 1
        if len(cause.barcodes) < _NAMED:
            cause.barcodes.append(entry.barcode)
    ordered = sorted(causes, key=lambda key: -causes[key].count)
    _name(causes, reasons, ordered)
    return [causes[key] for key in ordered]


def _name(causes: dict[str, Cause], reasons: dict[str, dict[str, None]], ordered: list[str]) -> None:
    """Find for each cause a text that all its reasons hold, and no other's if there is such a one."""
    texts = {key: _GAP.join(islice(reasons[key], _NAMED)).casefold() for key in ordered[:_COMPARED]}
    for key in ordered:
        best: tuple[int, str] | None = None
        for piece in _common(causes[key], reasons[key]):
            found = (causes[k].count for k, text in texts.items() if k != key and piece.casefold() in text)
            others = sum(found) if key in texts else 0
            if best is None or others < best[0]:
                best = (others, piece)
            if others == 0:
                break
        if best is not None:
            causes[key].others, causes[key].match = best


def _common(cause: Cause, reasons: Iterable[str]) -> Iterator[str]:
    """The whole reason and pieces of it that every reason holds; first what is easily typed, of that the longest."""
    shape = _shape(cause.reason, cause.barcodes[0])
    texts = (cause.reason, shape, _COUNTED.sub(_GAP, shape), *_SENTENCE.split(shape))
    typed = ("".join(char if char.isprintable() else _GAP for char in text).split(_GAP) for text in texts)
    pieces = {piece.strip(" .,;:") for text in typed for piece in text}
    pieces |= {piece[:_TYPED].rpartition(" ")[0].strip(" .,;:") for piece in pieces if len(piece) > _TYPED}
    shortest = min(_SHORTEST, len(cause.reason.strip(" .,;:")))
    folded = [reason.casefold() for reason in reasons]
    for piece in sorted(pieces, key=lambda text: (not _easy(text), -len(text), text)):
        if len(piece) >= shortest and all(piece.casefold() in reason for reason in folded):
            yield piece


def _easy(piece: str) -> bool:
    """Whether a person can type it after `--reason`, between quotation marks."""
    return len(piece) <= _TYPED and not set(piece) & set("'\"`\\$!")


@lru_cache(maxsize=20_000)
def _key(reason: str, barcode: str) -> str:
    """The same text for reasons that are one cause."""
    text = _shape(reason, barcode).casefold()
    for pattern, one in _PLURALS:
        text = pattern.sub(one, text)
    return text


def _shape(reason: str, barcode: str) -> str:
    """The reason with a gap where it names one book's own things."""
    text = _QUOTED.sub(_GAP, reason.replace(_GAP, " "))
    return " ".join(_word(word, barcode) for word in text.split(" "))


def _word(word: str, barcode: str) -> str:
    core = word.strip(".,;:!?()[]")
    names = "/" in core or _GAP in core or core == barcode or any(char.isdigit() for char in core)
    return word.replace(core, _GAP) if core and names else word
