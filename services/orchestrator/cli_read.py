"""The commands that read a board: their parsers, and what they print. They change nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from common.errors import ConfigError
from common.token import TokenError, check_barcode
from services.orchestrator import render, terminal
from services.orchestrator.cli_operate import on_a_board
from services.orchestrator.seeding import bucket_for
from services.orchestrator.view import View

Parser = argparse.ArgumentParser
Factory = Callable[[str, object, str, str], Parser]


def add_commands(command: Factory) -> None:
    """All of them; `command` makes a parser of a name, a function, a description and an example."""
    status = command("status", _status, "the board as a table", "grin-pipeline status --json | jq .done")
    ls = command("ls", _ls, "a line a token: where, since when, why", "grin-pipeline ls 02_decrypted")
    ls.add_argument("bucket", nargs="?", help="a bucket's name; without it, every bucket but the last")
    show = command("show", _show, "one book's whole story", "grin-pipeline show 32101081977728")
    show.add_argument("barcode")
    for parser in (status, ls, show):
        parser.add_argument("--json", action="store_true", help="one JSON object, or one a line for a list")


def _status(arguments: argparse.Namespace) -> int:
    facts = View(on_a_board(arguments)).status()
    if arguments.json:
        terminal.tell_json(facts)
    else:
        terminal.console().print(render.status(facts))
        for line in render.metrics(facts):
            terminal.console().print(line, markup=False, soft_wrap=True)
    return 0


def _ls(arguments: argparse.Namespace) -> int:
    view = View(on_a_board(arguments))
    if arguments.bucket is not None:
        bucket_for(view.settings, arguments.bucket)
    rows = view.rows(arguments.bucket)
    if arguments.json:
        for row in rows:
            terminal.tell_json(row.as_dict())
    elif render.ls(rows, terminal.console()) == 0:
        terminal.complain("No token is on its way.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    try:
        check_barcode(arguments.barcode)
    except TokenError as error:
        raise ConfigError([str(error)]) from None
    view = View(on_a_board(arguments))
    places, events = view.story(arguments.barcode)
    if not places and not events:
        terminal.complain(f"Nothing is known of {arguments.barcode}: it was never seeded on this board.")
        return 1
    if arguments.json:
        where = [{"bucket": p.bucket.name, "state": p.state, "worker": p.worker} for p in places]
        terminal.tell_json({"barcode": arguments.barcode, "places": where, "events": events})
    else:
        terminal.console().print(render.story(arguments.barcode, places, events, view.last), soft_wrap=True)
    return 0
