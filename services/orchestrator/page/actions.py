"""What a person does from the page: the same commands as on the command line, behind the action token.

Nothing is done unless the request is a POST from this page, its token is the one of `board.action_token`, and it says
who asks. What is done leaves the same lines in the books' ledgers and in `logs/operators.jsonl`.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from common import audit, logs
from common.config import Settings
from common.errors import ConfigError
from common.token import TokenError, check_barcode
from services.orchestrator import choosing, pausing
from services.orchestrator.choosing import Choice, Chooser, Command
from services.orchestrator.operate import Operation, Order
from services.orchestrator.render import plain
from services.orchestrator.terminal import books

_STAGES = ("pause", "resume")
_LONGEST_NAME, _LONGEST_WHY = 60, 1_000
# So many books that stayed as they are get a sentence each.
_TOLD = 5
READ_ONLY = "This page only shows: the orchestrator was given no action token. Set board.action_token_file to act here."
WRONG = "Nothing was done: that is not the action token. It is in the file that board.action_token_file names."
FOREIGN = "Nothing was done: the request did not come from this page."
NO_NAME = "Nothing was done: say who you are, for the audit line."


class Refused(Exception):  # noqa: N818 - said to the person, not an error of the program
    """Why nothing was done: an HTTP code, and a sentence."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


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
        raise Refused(403, WRONG)
    name = plain(form.get("name", "")).strip()[:_LONGEST_NAME]
    if not name:
        raise Refused(400, NO_NAME)
    command, _, thing = form.get("do", "").partition(" ")
    by, why = f"{name} (page, {client})", plain(form.get("why", "")).strip()[:_LONGEST_WHY]
    asked = Deed(command, thing, by, why, form.get("sure") == thing)
    _check(settings, asked)
    return asked


def done(settings: Settings, asked: Deed) -> list[str]:
    """Do it; sentences about what has become of it."""
    try:
        if asked.command in _STAGES:
            return _stage(settings, asked)
        return _books(settings, asked)
    except ConfigError as error:
        raise Refused(400, f"Nothing was done: {' '.join(error.problems)}") from None


def _same_origin(headers: Mapping[str, str]) -> None:
    """A browser tells where a form came from; whoever is no browser has no page that could be tricked."""
    origin = headers.get("origin")
    if origin is None and headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
        raise Refused(403, FOREIGN)
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
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


def _stage(settings: Settings, asked: Deed) -> list[str]:
    said: list[str] = []
    names = pausing.meant(settings, [asked.thing] if asked.thing else [])
    work = pausing.Pausing(settings, names, asked.by, asked.why, said.append)
    work.pause() if asked.command == "pause" else work.resume()
    return said


def _books(settings: Settings, asked: Deed) -> list[str]:
    many = asked.command == "retry-reason"
    command = choosing.RETRY if many else choosing.COMMANDS[asked.command]
    choice = Choice(reason=asked.thing) if many else Choice(names=[asked.thing])
    moved, said = 0, []
    others = 0
    try:
        for outcome in Operation(
            settings, command, Chooser(settings, command, choice), Order(asked.by, asked.why)
        ).run():
            moved += outcome.done
            others += not outcome.done
            if not outcome.done and others <= _TOLD:
                said.append(f"{outcome.barcode}: {outcome.reason}")
            elif outcome.done and not many:
                where = f" in {outcome.bucket}" if outcome.to != "dropped" else ""
                said.append(f"{outcome.barcode} was {outcome.from_}; it is {outcome.to}{where} now.")
    finally:
        _record(settings, command, asked, moved, others)
    if many:
        stayed = f"; {others:,} stayed as they are" if others else ""
        said.insert(0, f"{books(moved)} to be tried again, now{stayed}.")
    return said


def _record(settings: Settings, command: Command, asked: Deed, moved: int, others: int) -> None:
    """A line for the whole deed, however it ends: each book's own line is in its ledger already."""
    chosen = {"reason": asked.thing} if asked.command == "retry-reason" else {"barcodes": [asked.thing]}
    figures = {"moved": moved, "unchanged": others}
    with suppress(OSError):
        root = settings.global_.pipeline_dir
        audit.record(root, command.name, by=asked.by, why=asked.why, books=chosen, **figures)
