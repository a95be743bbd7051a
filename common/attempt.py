"""One claim's way from token to verdict: read, record, process, publish, record, move."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common import board, durable, workfiles
from common.config import FilterRow, Settings
from common.errors import Halt, Lost, Redo, Reject, Retry, StageError, said
from common.ledger import Event, Ledger, NoLedger, attempts, last, redos
from common.metrics import StageMetrics
from common.stage import Book, Facts, Stage
from common.token import NewerToken, Token, TokenError, parse
from common.verdicts import as_facts, as_verdict, backoff, figure, halting

# What an attempt comes to; "halted" and "left" put the token back where it was.
DONE, DEFERRED, FAILED, LOST, HALTED, LEFT = "done", "deferred", "failed", "lost", "halted", "left"
# What a folder that is none says; on the configured one, the same errors are the disk's.
_NO_FOLDER = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENOENT, errno.EACCES, errno.EPERM)
# The ledger's events in which an attempt of a stage begins and may end.
_OF_AN_ATTEMPT = ("attempt", "done", "deferred", "redo", "failed", "halted", "handed_back")
# A token of a newer release is looked at again after so many seconds.
_LOOK_AGAIN = 60.0
# A token that somebody is just writing by hand gets this long to become whole, in seconds.
_YOUNG = 2.0


@dataclass
class Desk:
    """What all attempts of one worker share."""

    settings: Settings
    row: FilterRow
    stage: Stage
    ledger: Ledger
    metrics: StageMetrics
    log: logging.Logger
    server_now: Callable[[], float]


class Attempt:
    """The work on one claim. `run` gives one of the outcomes above; the token is then out of this worker's hands."""

    def __init__(self, desk: Desk, held: board.Claim) -> None:
        self.desk = desk
        self.held = held
        self.halt: Halt | None = None
        self.look_again = 0.0
        """After an outcome of LEFT: the token is worth another look in so many seconds."""
        self.book = Book(held.barcode, Path(), "")
        self.started = time.monotonic()
        self._name = desk.row.name
        self._seen: dict[str, workfiles.Identity] = {}
        self._read_from: str | None = None
        self._publishes = False
        self._woken = False
        self._elsewhere = False

    def run(self) -> str:
        """Work on the book and move its token."""
        try:
            token = self._read_token()
            events = self.desk.ledger.read(self.held.barcode)
            self.book = self._book(token, events)
            return self._work(events)
        except NewerToken as error:
            self.desk.log.warning(str(error), extra={"barcode": self.held.barcode})
            return self._leave(_LOOK_AGAIN)
        except TokenError as error:
            return self._no_token(error)
        except NoLedger as error:
            # Without its story a book cannot be counted, and must not go round for ever.
            self.desk.log.warning(f"The book has failed: {error}.", extra={"barcode": self.held.barcode})
            board.fail(self.held)
            return FAILED
        except Lost as error:
            self.desk.log.warning(str(error), extra={"barcode": self.held.barcode})
            return LOST
        except OSError:
            raise
        except Exception as error:
            # Not the stage's, but our own: whatever nobody has thought of, no book may end a worker.
            self.desk.log.exception("The attempt broke off.", extra={"barcode": self.held.barcode})
            why = f"The worker could not cope with this book: {type(error).__name__}: {said(error)}"
            return self._fail(why, f"The traceback is in logs/{self._name}.jsonl.")

    def hand_back(self, event: str = "handed_back", reason: str = "the worker was told to stop") -> None:
        """Not this book's fault: the token waits again and the attempt, if it was recorded, does not count."""
        if self._is_recorded():
            self._record(event, reason=reason)
        board.give_back(self.held)

    def overrun(self, limit: float) -> None:
        """The watchdog's verdict: the attempt has taken longer than `limit` seconds."""
        reason = f"The attempt took longer than the time limit of {limit:g} seconds."
        self._retry(Retry(reason, "Raise time_limit for this stage in the configuration if the book is just large."))

    # --- reading ---

    def _read_token(self) -> Token:
        try:
            return parse(board.read(self.held), self.held.barcode)
        except FileNotFoundError:
            self._own()
            # It is there: a network file system had not seen it yet.
            return parse(board.read(self.held), self.held.barcode)

    def _no_token(self, error: TokenError) -> str:
        if self._is_young():
            return self._leave(_YOUNG)
        barcode = self.held.barcode
        mend = f'Write {{"barcode": "{barcode}"}} in its place, as a file, then `grin-pipeline retry {barcode}`.'
        return self._fail(str(error), mend)

    def _is_young(self) -> bool:
        """Whether somebody may be writing this token by hand just now."""
        return 0 <= self.desk.server_now() - self.held.since < _YOUNG

    def _leave(self, seconds: float) -> str:
        self.look_again = seconds
        board.put_back(self.held)
        return LEFT

    def _book(self, token: Token, events: list[Event]) -> Book:
        common, base = self.desk.settings.global_, self.desk.settings.base
        self._elsewhere = token.processing_bucket not in ("", str(common.processing_bucket))
        return Book(
            barcode=token.barcode,
            # Relative ones are taken as those of the configuration are: the same for every stage, wherever it runs.
            folder=base / (token.processing_bucket or common.processing_bucket) / token.barcode,
            done_bucket=token.done_bucket or common.done_bucket,
            attempt=attempts(events, self._name) + 1,
            upstream=self.desk.settings.upstream(self._name),
            events=events,
            token=token.members,
        )

    # --- working ---

    def _work(self, events: list[Event]) -> str:
        if self.book.attempt > self.desk.row.attempts:
            times = "once" if self.book.attempt == 2 else f"{self.book.attempt - 1} times"
            died = f"The worker died {times} over this book: killed, crashed or out of memory."
            return self._fail(died, f"See logs/{self._name}.jsonl; give it more memory, then put its token back.")
        self._record("attempt")
        try:
            with self._halting():
                self._seen = workfiles.published(self.book.folder)
                self._read_from = self.book.newest
            facts = self._make(events)
            # While the book is still ours: the next stage's worker may open a scratch folder of its own at any moment.
            self._drop_scratch()
            board.finish(self.held, self.desk.row.output_pipe)
        except (Lost, board.OccupiedError) as error:
            return self._let_go(error)
        except BaseException as error:  # noqa: BLE001 - whatever a stage raises must become a verdict
            return self._verdict(as_verdict(error, self.desk.log, self.held.barcode))
        self._after(facts)
        return DONE

    def _make(self, events: list[Event]) -> Facts:
        target = self.book.folder / self._name
        self._own()
        # The scratch folder comes first: making it takes away that of a worker which lost this claim and wakes up late.
        with self._halting():
            scratch = workfiles.open_scratch(self.book.folder, self.held.id, self._is_live)
            published = target.is_dir()
        self._own()
        if published:
            self._publishes = True
            return self._adopt(events)
        facts = as_facts(self.desk.stage.process(self.book, scratch))
        self._own()
        with self._halting():
            leaves = scratch.is_dir() and not workfiles.is_empty(scratch)
            if leaves:
                self._complete(scratch)
        self._record_done(facts)
        if leaves:
            self._own()
            with self._halting():
                workfiles.publish(scratch, target)
            self._publishes = True
        return facts

    def _is_live(self, claim_id: str) -> bool:
        """Whether some stage's worker holds this book under that claim."""
        name = f"{self.held.barcode}~{claim_id}.json"
        return any((bucket / board.WORKING / name).exists() for bucket in self.desk.settings.bucket_paths())

    def _complete(self, scratch: Path) -> None:
        stage = self.desk.stage
        if not stage.syncs_itself:
            workfiles.sync_files(scratch)
        if not stage.replaces_input and self.book.newest:
            workfiles.carry_over(self.book.input, scratch)
        durable.fsync_tree(scratch)

    def _adopt(self, events: list[Event]) -> Facts:
        """An earlier attempt published and died before it moved the token: its work stands."""
        before = last(events, "done", stage=self._name, late=True)
        facts = {**((before or {}).get("facts") or {}), "adopted": True}
        self._record_done(facts)
        return facts

    def _after(self, facts: Facts) -> None:
        """The token has moved: what is left is tidying, and no longer this book's concern if it fails."""
        seconds = time.monotonic() - self.started
        try:
            self.desk.metrics.finished(seconds, figure(facts, "bytes_in"), figure(facts, "bytes_out"))
            self._tidy()
            self.desk.stage.moved(self.book)
        except Exception:
            self.desk.log.exception("The book moved on; tidying up failed.", extra={"barcode": self.held.barcode})

    def _drop_scratch(self) -> None:
        workfiles.drop_scratch(self.book.folder, self.held.id)

    def _tidy(self) -> None:
        if self._publishes and self._read_from and not self.desk.stage.keeps_input:
            self._remove(self._read_from)

    def _remove(self, *names: str) -> None:
        """Remove published folders as this attempt found them; what others have published since stays."""
        workfiles.remove(self.book.folder, {name: self._seen[name] for name in names if name in self._seen})

    # --- verdicts ---

    def _verdict(self, verdict: StageError) -> str:
        try:
            self._own()
            self._drop_scratch()
            match verdict:
                case Halt():
                    return self._halt(verdict)
                case Redo():
                    return self._redo(verdict)
                case Retry():
                    return self._retry(verdict)
                case _:
                    return self._fail(verdict.reason, verdict.cure)
        except (Lost, board.OccupiedError) as error:
            return self._let_go(error)

    def _halt(self, halt: Halt) -> str:
        self.halt = halt
        self._record("halted", reason=halt.reason, cure=halt.cure)
        board.give_back(self.held)
        return HALTED

    def _retry(self, retry: Retry) -> str:
        number, limit = self.book.attempt, self.desk.row.attempts
        if number >= limit:
            return self._fail(f"{retry.reason} (attempt {number} of {limit})", retry.cure)
        delay = retry.delay if retry.delay is not None else backoff(self.desk.row, number)
        due = self.desk.server_now() + delay
        until = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._record("deferred", reason=retry.reason, cure=retry.cure, until=until)
        board.defer(self.held, due)
        return DEFERRED

    def _redo(self, redo: Redo) -> str:
        upstream, settings = self.book.upstream, self.desk.settings
        begun = self._unfinished_redo()
        to = begun or redo.to or (self._earliest_maker() if redo.local else next(reversed(upstream), ""))
        if to not in upstream:
            return self._fail(f"{redo.reason} No earlier stage can make it again.", redo.cure)
        if not begun:
            if redos(self.book.events, self._name) >= self.desk.row.redos:
                return self._fail(f"{redo.reason} Made again, from the {to} on, it ended the same way.", redo.cure)
            self._record("redo", reason=redo.reason, cure=redo.cure, to=to)
        self._own()
        self._remove(self._name, *upstream[: upstream.index(to) + 1])
        board.finish(self.held, settings.row(to).input_pipe)
        return DEFERRED

    def _earliest_maker(self) -> str:
        """The stage that reads the book's earliest files; the first of all where only our input is left, or nothing."""
        upstream = self.book.upstream
        there = [at for at, name in enumerate(upstream) if name in self._seen]
        return upstream[there[-1] - 1] if there and there[-1] else next(reversed(upstream), "")

    def _unfinished_redo(self) -> str:
        """Where a redo was to go whose worker died before the token had moved: to be completed, not counted again."""
        newest = last(self.book.events, "redo", "done", "failed", "retried") or {}
        begun = (newest.get("event"), newest.get("stage")) == ("redo", self._name) and newest.get("to")
        return begun if begun in self.book.upstream else ""

    def _fail(self, reason: str, cure: str = "") -> str:
        self._record("failed", reason=reason, cure=cure)
        self.desk.log.warning(reason, extra={"barcode": self.held.barcode, "cure": cure})
        board.fail(self.held)
        return FAILED

    def _let_go(self, error: Lost | board.OccupiedError) -> str:
        if isinstance(error, board.OccupiedError):
            return self._fail(f"{error} A book has one token: somebody copied one.", "Remove the copy.")
        if board.holds(self.held):
            if self._woken:
                raise OSError(errno.EIO, "It denies and shows one claim in the same moment", str(self.held.path))
            self._woken = True
            return self._verdict(Retry("A worker that woke up late took this attempt's scratch folder away."))
        self._drop_scratch()
        self.desk.log.warning(str(error), extra={"barcode": self.held.barcode})
        return LOST

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """An error of the file system halts, unless this token alone names a folder that cannot be."""
        try:
            with halting():
                yield
        except Halt as halt:
            cause = halt.__cause__
            if self._elsewhere and isinstance(cause, OSError) and cause.errno in _NO_FOLDER:
                cure = "Mend processing_bucket in the token's file, or take it out, then put the book back."
                raise Reject(f"The token names a folder that cannot be: {cause.strerror}.", cure) from halt
            raise

    # --- the ledger ---

    def _is_recorded(self) -> bool:
        """Whether the ledger holds this attempt as one that counts: begun, and without an end."""
        try:
            newest = last(self.desk.ledger.read(self.held.barcode), *_OF_AN_ATTEMPT, stage=self._name)
        except (NoLedger, PermissionError):
            return False
        return newest is not None and (newest["event"], newest.get("claim")) == ("attempt", self.held.id)

    def _own(self) -> None:
        if not board.holds(self.held):
            raise Lost(f"The claim on {self.held.barcode} was taken back; what was made of it is dropped.")

    def _record(self, event: str, **members: object) -> None:
        members = {key: value for key, value in members.items() if value != ""}
        whose = {"stage": self._name, "worker": self.held.worker, "claim": self.held.id, "attempt": self.book.attempt}
        self.desk.ledger.append(self.held.barcode, event, **whose, **members)

    def _record_done(self, facts: Facts) -> None:
        with halting():
            self._record("done", seconds=round(time.monotonic() - self.started, 3), facts=facts)
