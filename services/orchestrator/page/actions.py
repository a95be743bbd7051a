"""What a person does from the page: the same commands as on the command line, behind the action token.

Nothing is done unless the request is a POST from this page, its token is the one of `board.action_token`, and it says
who asks. What is done leaves the same lines in the books' ledgers and in `logs/operators.jsonl`.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from common import audit, logs
from common.config import Settings
from common.errors import ConfigError
from common.token import TokenError, check_barcode
from services.orchestrator import choosing, pausing
from services.orchestrator.choosing import Choice, Chooser, Command, Outcome
from services.orchestrator.operate import Operation, Order
from services.orchestrator.render import plain
from services.orchestrator.terminal import books

_STAGES = ("pause", "resume")
_LONGEST_NAME, _LONGEST_WHY = 60, 1_000
# So many books that stayed as they are get a sentence each.
_TOLD = 5
READ_ONLY = "This page only shows: the orchestrator was given no action token. Set board.action_token_file to act here."
WRONG = (
    "Nothing was done: that is not the action token. It is in the file that board.action_token_file names, "
    "secrets/board/token for instance."
)
FOREIGN = "Nothing was done: the request did not come from this page."
NO_NAME = "Nothing was done: say who you are, for the audit line."


class Refused(Exception):  # noqa: N818 - said to the person, not an error of the program
    """Why nothing was done: an HTTP code, and a sentence."""

    def __init__(self, code: int, sentence: str, *, guess: bool = False) -> None:
        super().__init__(sentence)
        self.code, self.guess = code, guess


@dataclass
class Done:
    """What has become of a deed, in sentences, and how many books or stages it has changed."""

    said: list[str]
    changed: int


@dataclass(frozen=True)
class Deed:
    """What was asked for: a command and its object, by whom, and why."""

    command: str
    thing: str
    by: str
    why: str
    sure: bool


def deed(
    settings: Settings, headers: Mapping[str, str], form: Mapping[str, str], client: str, token: str | None
) -> Deed:
    """What a form asks for; Refused unless it may."""
    _same_origin(headers)
    if token is None:
        raise Refused(403, READ_ONLY)
    if not hmac.compare_digest(form.get("token", "").encode("utf-8", "replace"), token.encode()):
        logging.getLogger(logs.NAME).warning(f"Somebody at {client} gave the page a wrong action token.")
        raise Refused(403, WRONG, guess=True)
    name = plain(form.get("name", "")).strip()[:_LONGEST_NAME]
    if not name:
        raise Refused(400, NO_NAME)
    command, _, thing = form.get("do", "").partition(" ")
    by, why = f"{name} (page, {client})", plain(form.get("why", "")).strip()[:_LONGEST_WHY]
    asked = Deed(command, thing, by, why, form.get("sure") == thing)
    _check(settings, asked)
    return asked


def done(settings: Settings, asked: Deed, stopping: threading.Event) -> Done:
    """Do it; a deed of many books ends when the orchestrator is stopping, and says how far it came."""
    try:
        return _stage(settings, asked) if asked.command in _STAGES else _books(settings, asked, stopping)
    except ConfigError as error:
        raise Refused(400, f"Nothing was done: {' '.join(error.problems)}") from None


def _same_origin(headers: Mapping[str, str]) -> None:
    """A browser tells where a form came from; whoever is no browser has no page that could be tricked."""
    origin = headers.get("origin")
    if origin is None and headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
        raise Refused(403, FOREIGN)
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise Refused(403, FOREIGN)


def _check(settings: Settings, asked: Deed) -> None:
    if asked.command == "retry-reason" and asked.thing.strip():
        return
    if asked.command in _STAGES:
        if asked.thing:
            settings.row(asked.thing)
        return
    if asked.command not in choosing.COMMANDS:
        known = ", ".join([*choosing.COMMANDS, "retry-reason", *_STAGES])
        raise Refused(400, f"Nothing was done: there is no such action; there are {known}.")
    try:
        check_barcode(asked.thing)
    except TokenError as error:
        raise Refused(400, f"Nothing was done: {error}") from None
    if asked.command == "drop" and not asked.sure:
        raise Refused(400, "Nothing was dropped: tick the box beside the button, too. Its working files would go.")


def _stage(settings: Settings, asked: Deed) -> Done:
    said: list[str] = []
    names = pausing.meant(settings, [asked.thing] if asked.thing else [])
    before = [audit.paused(settings.global_.pipeline_dir, name) is not None for name in names]
    work = pausing.Pausing(settings, names, asked.by, asked.why, said.append)
    work.pause() if asked.command == "pause" else work.resume()
    return Done(said, before.count(asked.command == "resume"))


def _books(settings: Settings, asked: Deed, stopping: threading.Event) -> Done:
    many = asked.command == "retry-reason"
    command = choosing.RETRY if many else choosing.COMMANDS[asked.command]
    choice = Choice(reason=asked.thing) if many else Choice(names=[asked.thing])
    work = Operation(settings, command, Chooser(settings, command, choice), Order(asked.by, asked.why), stopping.is_set)
    result, others = Done([], 0), 0
    try:
        for outcome in work.run():
            result.changed += outcome.done
            others += not outcome.done
            if not many or (not outcome.done and others <= _TOLD):
                result.said.append(_told(outcome))
    finally:
        _record(settings, command, asked, result.changed, others)
    if stopping.is_set():
        result.said.append("The orchestrator is stopping: what was left stays as it was.")
    if many:
        stayed = f"; {others:,} stayed as they are" if others else ""
        result.said.insert(0, f"{books(result.changed)} to be tried again, now{stayed}.")
    return result


def _told(outcome: Outcome) -> str:
    if not outcome.done:
        return f"{outcome.barcode}: {outcome.reason}"
    where = f" in {outcome.bucket}" if outcome.to != "dropped" else ""
    return f"{outcome.barcode} was {outcome.from_}; it is {outcome.to}{where} now."


def _record(settings: Settings, command: Command, asked: Deed, moved: int, others: int) -> None:
    """A line for the whole deed, however it ends: each book's own line is in its ledger already."""
    chosen = {"reason": asked.thing} if asked.command == "retry-reason" else {"barcodes": [asked.thing]}
    figures = {"moved": moved, "unchanged": others}
    with suppress(OSError):
        root = settings.global_.pipeline_dir
        audit.record(root, command.name, by=asked.by, why=asked.why, books=chosen, **figures)
