"""The commands by which a person acts on a board: their parsers, and what they print."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from common import audit, config
from common.config import Settings
from common.errors import ConfigError
from common.json_line import json_line
from common.token import TokenError, check_barcode
from services.orchestrator import choosing, pausing, terminal
from services.orchestrator.choosing import Choice, Chooser, Command, Outcome
from services.orchestrator.operate import Operation, Order
from services.orchestrator.seeding import bucket_for

# So many books get a line each, and so many bad barcodes; --json has them all.
_SHOWN = 20
_REPORT_EVERY = 10_000
Parser = argparse.ArgumentParser
Factory = Callable[[str, object, str, str], Parser]

_HELP = {
    "retry": (choosing.RETRY, "let failed and deferred books be tried again, now", "--reason 'not converted'"),
    "hold": (choosing.HOLD, "put books aside until they are released", "32101081977728 --why 'wrong edition'"),
    "release": (choosing.RELEASE, "let held books go on; bring back a dropped one", "--bucket 01_incoming"),
    "drop": (choosing.DROP, "take books off the board and remove their working files", "--yes - < barcodes.txt"),
}


def add_commands(command: Factory) -> None:
    """All of them; `command` makes a parser of a name, a function, a description and an example."""
    for name, (_, what, example) in _HELP.items():
        _add_choice(command(name, _operate, what, f"grin-pipeline {name} {example}"), name)
    pause = command("pause", _pause, "let stages claim nothing more", "grin-pipeline pause uploader")
    resume = command("resume", _resume, "let paused stages go on", "grin-pipeline resume uploader")
    drain = command("drain", _drain, "pause, and wait until no book is in work", "grin-pipeline drain --timeout 600")
    drain.add_argument(
        "--timeout", type=terminal.seconds, metavar="SECONDS", help="then end with code 3 and what still works"
    )
    for parser in (pause, resume, drain):
        parser.add_argument("stage", nargs="*", help="stages by name; all of them when none is named")
        _add_common(parser)


def _add_choice(parser: Parser, name: str) -> None:
    parser.add_argument("barcode", nargs="*", help="books by name; - reads names from standard input, one a line")
    parser.add_argument("--bucket", metavar="NAME", help="the books of one bucket")
    parser.add_argument("--reason", metavar="TEXT", help="those whose reason, as `ls` shows it, holds this text")
    parser.add_argument("--all", action="store_true", help="all of the board; books that are done stay as they are")
    parser.add_argument("--json", action="store_true", help="one JSON object a book")
    if name == "drop":
        parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=_HELP[name][0])
    _add_common(parser)


def _add_common(parser: Parser) -> None:
    parser.add_argument("--why", default="", metavar="TEXT", help="for the audit line")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


# --- retry, hold, release, drop -------------------------------------------------------------------------------------


def _operate(arguments: argparse.Namespace) -> int:
    settings = on_a_board(arguments)
    command: Command = arguments.command
    with tempfile.NamedTemporaryFile(suffix=".barcodes") as spool:
        chooser = Chooser(settings, command, _choice(settings, arguments, Path(spool.name)))
        if command is choosing.DROP and not arguments.dry_run and not arguments.yes and not _agreed(chooser, arguments):
            return 2
        order = Order(audit.who(), arguments.why, arguments.dry_run)
        report = _Report(command, as_json=arguments.json, dry_run=arguments.dry_run)
        try:
            for outcome in Operation(settings, command, chooser, order).run():
                report.add(outcome)
        finally:
            if not arguments.dry_run:
                _record(settings, arguments, order, report)
        report.end()
    return 1 if report.faults else 0


def _record(settings: Settings, arguments: argparse.Namespace, order: Order, report: _Report) -> None:
    """A line for the whole command, however it ends: each book's own line is in its ledger already."""
    asked = {"barcodes": arguments.barcode[:_SHOWN], "bucket": arguments.bucket, "reason": arguments.reason}
    chosen = {key: value for key, value in asked.items() if value} or {"all": True}
    figures = {"moved": report.moved, "unchanged": report.others}
    with suppress(OSError):
        audit.record(
            settings.global_.pipeline_dir, arguments.command.name, by=order.by, why=order.why, books=chosen, **figures
        )


def _choice(settings: Settings, arguments: argparse.Namespace, spool: Path) -> Choice:
    filtered = arguments.bucket is not None or arguments.reason is not None
    if bool(arguments.barcode) + filtered + arguments.all != 1:
        rule = "Give barcodes, or -, or --bucket and --reason, which combine, or --all."
        asked = bool(arguments.barcode) or filtered or arguments.all
        raise ConfigError([f"{'These do not go together' if asked else 'Which books'}{'. ' if asked else '? '}{rule}"])
    if arguments.reason is not None and not arguments.reason.strip():
        raise ConfigError(["--reason is empty; --all means all books."])
    bucket = bucket_for(settings, arguments.bucket) if arguments.bucket is not None else None
    return Choice(names(arguments.barcode, spool) if arguments.barcode else None, bucket, arguments.reason or "")


class Names:
    """Barcodes from the command line and from a file, gone through as often as one likes."""

    def __init__(self, given: list[str], spool: Path) -> None:
        self.given = given
        self.spool = spool

    def __iter__(self) -> Iterator[str]:
        return chain((name for name in self.given if name != "-"), (text for _, text in self.lines()))

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines of the file that are not empty and no comment, with their numbers."""
        with self.spool.open(encoding="utf-8-sig", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if (text := line.strip()) and not text.startswith("#"):
                    yield number, text


def names(given: list[str], spool: Path) -> Names:
    """What was named; all of it is checked before anything is done."""
    if "-" in given:
        with spool.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
    named = Names(given, spool)
    bad = []
    for where, text in chain((("", g) for g in given if g != "-"), ((f"line {n}: ", t) for n, t in named.lines())):
        try:
            check_barcode(text)
        except TokenError as error:
            bad.append(f"{where}{error}")
    if bad:
        more = [f"… and {len(bad) - _SHOWN} more."] if len(bad) > _SHOWN else []
        raise ConfigError([*bad[:_SHOWN], *more, "Nothing was done."])
    return named


def _agreed(chooser: Chooser, arguments: argparse.Namespace) -> bool:
    """One named book is dropped at once; for more a person is asked, or a script says --yes."""
    if len(arguments.barcode) == 1 and "-" not in arguments.barcode:
        return True
    if not sys.stdin.isatty():
        terminal.complain(
            "Dropping more than one book at once needs --yes where nobody can be asked. Nothing was done."
        )
        return False
    books = terminal.books(sum(1 for _ in chooser.chosen()))
    sys.stderr.write(f"Take {books} off the board and remove their working files? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    terminal.complain("Nothing was done.")
    return False


class _Report:
    """Counts outcomes and prints them; that nobody reads any more does not stop a command half-way."""

    def __init__(self, command: Command, *, as_json: bool, dry_run: bool) -> None:
        self.command = command
        self.as_json = as_json
        self.dry_run = dry_run
        self.moved = self.others = self.faults = 0
        self._would = "would be " if dry_run else ""

    def add(self, outcome: Outcome) -> None:
        """One more book."""
        moved = outcome.done or (self.dry_run and not outcome.fault and outcome.from_ != outcome.to)
        self.moved, self.others = self.moved + moved, self.others + (not moved)
        self.faults += outcome.fault
        if self.as_json:
            terminal.tell(json_line(outcome.as_dict()))
        elif moved and self.moved <= _SHOWN:
            terminal.tell(f"{outcome.barcode:<20}  {outcome.bucket:<16}  {outcome.from_} → {outcome.to}")
        elif moved and self.moved == _SHOWN + 1:
            terminal.tell("… (--json names all)")
        if not moved and not self.as_json and self.others <= _SHOWN:
            terminal.complain(f"{outcome.barcode}: {outcome.reason}")
        if (self.moved + self.others) % _REPORT_EVERY == 0:
            terminal.complain(f"{self.moved:,} {self._would}{self.command.event}, {self.others:,} not …")

    def end(self) -> None:
        """The figures, once more in a sentence."""
        if self.as_json:
            return
        others = f"; {self.others:,} not" if self.others else ""
        terminal.tell(f"{terminal.books(self.moved)} {self._would}{self.command.event}{others}.")


# --- pause, resume, drain -------------------------------------------------------------------------------------------


def _pause(arguments: argparse.Namespace) -> int:
    _pausing(arguments).pause()
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    _pausing(arguments).resume()
    return 0


def _drain(arguments: argparse.Namespace) -> int:
    return 0 if _pausing(arguments).drain(arguments.timeout) else 3


def _pausing(arguments: argparse.Namespace) -> pausing.Pausing:
    settings = on_a_board(arguments)
    stages = pausing.meant(settings, arguments.stage)
    return pausing.Pausing(settings, stages, audit.who(), arguments.why, terminal.say, arguments.dry_run)


# --- the pieces they share ------------------------------------------------------------------------------------------


def on_a_board(arguments: argparse.Namespace) -> Settings:
    """The configuration; ConfigError when there is no board yet."""
    settings = config.load(arguments.config, classes=None)
    root = settings.global_.pipeline_dir
    if not root.is_dir():
        raise ConfigError([f"There is no board at {root} yet; `grin-pipeline up` makes it."])
    return settings
