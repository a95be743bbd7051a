"""The command `report`: its parser, and the CSV or the JSON lines that it writes."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from common import board, durable, listing
from common.config import Settings
from common.errors import ConfigError
from common.json_line import json_line
from common.store import is_url, open_bucket
from services.orchestrator import terminal
from services.orchestrator.cli_operate import names, on_a_board
from services.orchestrator.drafts import draft, keep, sweep
from services.orchestrator.render import plain
from services.orchestrator.report import COLUMNS, Report, Row, Wish, row
from services.orchestrator.report_store import Records
from services.orchestrator.seeding import bucket_for
from services.orchestrator.ticker import Ticker

_WHAT = "tell what is held, a row a book with its record and its checksums, for the catalogue"
_EXAMPLE = "grin-pipeline report --output held.csv"


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The one command; `command` makes a parser of a name, a function, a description and an example."""
    parser = command("report", _report, _WHAT, _EXAMPLE)
    parser.add_argument("barcode", nargs="*", help="only these books; - reads names from standard input, one a line")
    parser.add_argument("--bucket", metavar="NAME", help="only the books whose tokens lie in this bucket of the board")
    parser.add_argument("--since", type=_time, metavar="DATE", help="only what was delivered since then (UTC)")
    parser.add_argument("--versions", action="store_true", help="all versions of a book, not only the one held last")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="CSV with a header, in UTF-8 (the default)")
    form.add_argument("--json", "--jsonl", action="store_true", help="one JSON object a row")
    parser.add_argument("--output", metavar="FILE", help="written whole or not at all (default: standard output)")
    what = "read the records that the ledger does not have from the store; slow"
    parser.add_argument("--read-store", action="store_true", help=what)


def _report(arguments: argparse.Namespace) -> int:
    settings = on_a_board(arguments)
    target = _target(arguments.output)
    with tempfile.NamedTemporaryFile(suffix=".barcodes") as spool:
        report = Report(settings, _wish(settings, arguments, Path(spool.name)), terminal.complain)
        with _output(target) as stream, Ticker(terminal.complain, lambda _: f"{_figures(report)} …"):
            _write(_rows(settings, report, read_store=arguments.read_store), stream, as_json=arguments.json)
    terminal.complain(f"{_figures(report)}{f' in {target}' if target else ''}{_faults(report)}.")
    return 1 if report.faults else 0


def _rows(settings: Settings, report: Report, *, read_store: bool) -> Iterator[Row]:
    common, base = settings.global_, settings.base
    bucket = common.done_bucket if is_url(common.done_bucket) else str(base / common.done_bucket)
    books = report.held()
    if read_store:
        books = Records(lambda name: open_bucket(name or common.done_bucket, base), report.fault).filled(books)
    return (row(one, common.library, bucket) for one in books)


def _figures(report: Report) -> str:
    rows = f"{report.rows:,} row{'s' * (report.rows != 1)}"
    return f"{terminal.books(report.books)} looked at, {rows}"


def _faults(report: Report) -> str:
    return f"; {terminal.books(report.faults)} with problems" if report.faults else ""


# --- what was asked for ---------------------------------------------------------------------------------------------


def _wish(settings: Settings, arguments: argparse.Namespace, spool: Path) -> Wish:
    more = {"since": arguments.since, "versions": arguments.versions}
    if arguments.barcode and arguments.bucket is not None:
        raise ConfigError(["Barcodes and --bucket do not go together."])
    if arguments.bucket is not None:
        return Wish(_in_bucket(bucket_for(settings, arguments.bucket)), **more)
    if arguments.barcode:
        return Wish(names(arguments.barcode, spool), named=True, **more)
    return Wish(**more)


def _in_bucket(bucket: Path) -> Iterator[str]:
    return (barcode for state in board.STATES for barcode in listing.barcodes(bucket, state))


def _time(text: str) -> datetime:
    """An argument that is a day or a time; without a zone it is UTC, as the ledgers are."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        example = "2026-01-31 or 2026-01-31T18:30"
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as {example}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _target(named: str | None) -> Path | None:
    """The file that --output means, behind links; None for standard output."""
    if named in (None, "-"):
        return None
    path = Path(os.path.realpath(str(named)))
    if not path.parent.is_dir():
        raise ConfigError([f"There is no folder {path.parent} for --output {named}."])
    if path.exists() and not path.is_file():
        raise ConfigError(
            [f"--output {named} is no regular file. Leave it out, and the report goes to standard output."]
        )
    return path


# --- how it is written ----------------------------------------------------------------------------------------------


@contextmanager
def _output(target: Path | None) -> Iterator[TextIO]:
    """Where the report goes; a file gets its name when all of it is written."""
    if target is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A catalogue reads UTF-8, whatever this terminal shows.
            sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
        yield sys.stdout
        return
    sweep(target)
    with draft(target) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        yield text
        text.detach()
        keep(file, target)
    durable.fsync_dir(target.parent)


def _write(rows: Iterable[Row], stream: TextIO, *, as_json: bool) -> None:
    if as_json:
        stream.writelines(json_line(one) + "\n" for one in rows)
        return
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    # A terminal obeys what a file only keeps.
    shown = plain if stream.isatty() else str
    writer.writerows((_cell(value, shown) for value in one.values()) for one in rows)


def _cell(value: Any, shown: Callable[[str], str]) -> Any:
    text = "; ".join(value) if isinstance(value, list) else value
    return shown(text) if isinstance(text, str) else text
