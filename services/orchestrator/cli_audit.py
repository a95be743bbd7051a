"""The command `audit`: its parser, and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress

from common import audit, config
from common.config import Settings
from common.errors import ConfigError
from common.json_line import json_line
from common.token import TokenError, check_barcode
from services.orchestrator import terminal, up
from services.orchestrator.auditing import Audit, Orders, Result, Summary
from services.orchestrator.discrepancy import KINDS
from services.orchestrator.render import plain

_EXAMPLE = "grin-pipeline audit --fix --dry-run"
_WHAT = "compare ledger, board, store and lists, and set right what does not agree"


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The one command; `command` makes a parser of a name, a function, a description and an example."""
    parser = command("audit", _audit, _WHAT, _EXAMPLE)
    parser.add_argument("barcode", nargs="*", help="only these books; all of them when none is named")
    parser.add_argument("--fix", action="store_true", help="bring what is missing, changed or stuck onto its way again")
    parser.add_argument("--rebuild", action="store_true", help="write lost ledgers from the provenances in the store")
    parser.add_argument("--deep", action="store_true", help="read every object and compare its SHA-256")
    parser.add_argument("--no-grin", action="store_true", help="do not ask GRIN")
    parser.add_argument("--limit", type=terminal.count, metavar="N", help="end after N results")
    parser.add_argument(
        "--force", action="store_true", help="although most books, or an older done bucket, are missing"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what --fix or --rebuild would do")
    parser.add_argument("--json", action="store_true", help="a JSON object a result, the summary as the last")


def _audit(arguments: argparse.Namespace) -> int:
    orders = _orders(arguments)
    audited = Audit(_settings(arguments), orders, terminal.complain)
    try:
        for result in audited.run():
            _print(result, as_json=arguments.json)
    finally:
        if (orders.fix or orders.rebuild) and not orders.dry_run:
            _record(audited, arguments)
    _sum_up(audited.summary, as_json=arguments.json)
    return 1 if audited.summary.remain else 0


def _orders(arguments: argparse.Namespace) -> Orders:
    bad = []
    for text in arguments.barcode:
        try:
            check_barcode(text)
        except TokenError as error:
            bad.append(str(error))
    if bad:
        raise ConfigError([*bad, "Nothing was done."])
    return Orders(
        by=audit.who(),
        barcodes=tuple(dict.fromkeys(arguments.barcode)),
        fix=arguments.fix,
        rebuild=arguments.rebuild,
        deep=arguments.deep,
        grin=not arguments.no_grin,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        force=arguments.force,
    )


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = config.load(arguments.config, classes=None)
    root = settings.global_.pipeline_dir
    if arguments.rebuild and not arguments.dry_run:
        # The whole board may be what was lost.
        up.prepare(settings)
    if not root.is_dir():
        raise ConfigError([f"There is no board at {root} yet; `grin-pipeline up` makes it."])
    return settings


def _record(audited: Audit, arguments: argparse.Namespace) -> None:
    """A line for the whole command, however it ends: each book's own line is in its ledger already."""
    chosen = {"barcodes": arguments.barcode[:20]} if arguments.barcode else {"all": True}
    kinds = {"fix": arguments.fix, "rebuild": arguments.rebuild}
    figures = {"fixed": audited.summary.fixed, "remain": audited.summary.remain}
    with suppress(OSError):
        audit.record(audited.sightings.root, "audit", by=audited.orders.by, books=chosen, **kinds, **figures)


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        terminal.tell(json_line(result.as_dict()))
        return
    found = result.found
    end = f"→ {result.done}." if result.done else found.cure
    terminal.tell(plain(f"{found.barcode:<20}  {found.what:<12}  {found.detail.rstrip('.')}.  {end}"))


def _sum_up(summary: Summary, *, as_json: bool) -> None:
    kinds = {kind: summary.kinds[kind] for kind in KINDS if summary.kinds[kind]}
    if as_json:
        figures = {"books": summary.books, "failed": summary.failed, "fixed": summary.fixed, "remain": summary.remain}
        terminal.tell(json_line({"summary": {**figures, "findings": kinds}}))
        return
    told = [f"{terminal.books(summary.books)} of the ledger looked at"]
    told += [f"{count:,} {kind}" for kind, count in kinds.items()] or ["everything agrees"]
    told += [f"{summary.fixed:,} set right"] if summary.fixed else []
    told += [f"{summary.failed:,} have failed (`grin-pipeline ls` tells why)"] if summary.failed else []
    terminal.complain(f"{'; '.join(told)}.")
