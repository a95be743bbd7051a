"""The commands that read a board: their parsers, and what they print. They change nothing.

They end with 0 whatever they find, so that a script tells a board with failed books from one that cannot be read.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice

from rich.live import Live

from common import board
from common.errors import ConfigError
from common.token import TokenError, check_barcode
from services.orchestrator import booklog, render, render_lists, render_story, terminal
from services.orchestrator.causes import Cause, Causes
from services.orchestrator.cli_operate import on_a_board
from services.orchestrator.crew import crew
from services.orchestrator.seeding import bucket_for
from services.orchestrator.shape import shape
from services.orchestrator.view import Row, View

Parser = argparse.ArgumentParser
Factory = Callable[[str, object, str, str], Parser]
# A terminal is drawn anew so often, and a pipe gets a table so often, in seconds.
_TERMINAL, _PIPE = 2.0, 10.0
# What has a cause: where `failed` looks.
_FAILED = (board.FAILED, board.DEFERRED, board.HELD)
_JSON = "one JSON object, or one a line for a list"


def add_commands(command: Factory) -> None:
    """All of them; `command` makes a parser of a name, a function, a description and an example."""
    status = command("status", _status, "the board as a table", "grin-pipeline status --watch")
    status.add_argument(
        "--watch",
        nargs="?",
        type=_pause,
        const=0.0,
        metavar="SECONDS",
        help="show it again and again until Ctrl-C (every 2 seconds; into a pipe every 10)",
    )
    ls = command("ls", _ls, "a line a token: where, since when, why", "grin-pipeline ls 02_decrypted --state failed")
    _add_filters(ls, "all of them", board.STATES)
    show = command("show", _show, "one book's whole story", "grin-pipeline show 32101081977728")
    show.add_argument("barcode", help="the book's name, as `ls` shows it")
    failed = command("failed", _failed, "what has failed, and why", "grin-pipeline failed --by reason")
    _add_filters(failed, "failed", _FAILED)
    failed.add_argument("--by", choices=("reason", "stage"), help="count them by cause, or by stage and cause")
    ages = command("shape", _shape, "how old the tokens of each bucket are", "grin-pipeline shape --state deferred")
    _add_bucket(ages)
    _add_states(ages, "waiting", board.STATES)
    workers = command("workers", _workers, "who works, on which book, and who is dead", "grin-pipeline workers --json")
    for parser in (status, ls, show, failed, ages, workers):
        parser.add_argument("--json", action="store_true", help=_JSON)


def _add_filters(parser: Parser, default: str, states: Sequence[str]) -> None:
    _add_bucket(parser)
    _add_states(parser, default, states)
    parser.add_argument("--limit", type=terminal.count, metavar="N", help="end after N lines")


def _add_bucket(parser: Parser) -> None:
    parser.add_argument("bucket", nargs="?", help="a bucket's name; without it, every bucket but the last")


def _add_states(parser: Parser, default: str, states: Sequence[str]) -> None:
    what = f"only tokens in this state; may be repeated (default: {default})"
    parser.add_argument("--state", action="append", choices=states, help=what)


def _pause(text: str) -> float:
    return max(0.2, terminal.seconds(text))


# --- status ---------------------------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    view = View(on_a_board(arguments))
    if arguments.watch is None:
        _tell_status(view, as_json=arguments.json)
        return 0
    # Ctrl-C is how one stops looking.
    with suppress(KeyboardInterrupt):
        _watch(view, arguments.watch, as_json=arguments.json)
    return 0


def _tell_status(view: View, *, as_json: bool) -> None:
    facts = view.status()
    if as_json:
        terminal.tell_json(facts)
    else:
        terminal.console().print(render.status(facts))
        _tell(render.metrics(facts))


def _watch(view: View, pause: float, *, as_json: bool) -> None:
    console = terminal.console()
    if as_json or not console.is_terminal:
        while True:
            _tell_status(view, as_json=as_json)
            sys.stdout.flush()
            time.sleep(pause or (_TERMINAL if as_json else _PIPE))
    with Live(render.status(view.status()), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            time.sleep(pause or _TERMINAL)
            live.update(render.status(view.status()), refresh=True)


# --- ls, failed -----------------------------------------------------------------------------------------------------


def _ls(arguments: argparse.Namespace) -> int:
    view = _view(arguments)
    rows = view.rows(arguments.bucket, arguments.state or board.STATES)
    if _list(rows, arguments) == 0:
        terminal.complain("No token is on its way." if arguments.state is None else "No token is in this state.")
    return 0


def _failed(arguments: argparse.Namespace) -> int:
    view = _view(arguments)
    states = arguments.state or [board.FAILED]
    if arguments.by is not None:
        return _by_cause(view, states, arguments)
    names = view.paths if arguments.bucket is None else [arguments.bucket]
    rows = chain.from_iterable(view.rows(name, states) for name in names)
    if _list((row for row in rows if row.state in states), arguments) == 0:
        _none(states)
    return 0


def _list(rows: Iterator[Row], arguments: argparse.Namespace) -> int:
    """Print rows up to the limit; how many there were."""
    shown = islice(rows, arguments.limit)
    count = _list_json(shown) if arguments.json else render.ls(shown, terminal.console())
    if arguments.limit is not None and next(rows, None) is not None:
        terminal.complain(f"There are more: --limit {arguments.limit} ended the list.")
    return count


def _list_json(rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        terminal.tell_json(row.as_dict())
        count += 1
    return count


def _by_cause(view: View, states: list[str], arguments: argparse.Namespace) -> int:
    found = [one for one in Causes(view, budget=None).groups(states) if arguments.bucket in {None, *one.buckets}]
    if not found:
        _none(states)
    elif arguments.by == "reason":
        now = view.now()
        for one in found[: arguments.limit]:
            if arguments.json:
                terminal.tell_json({**one.as_dict(), "command": render_lists.retry(one) or None})
            else:
                _tell(render_lists.cause(one, now))
    else:
        _by_stage(view, found, arguments)
    return 0


def _by_stage(view: View, found: list[Cause], arguments: argparse.Namespace) -> None:
    stages = {row.input_pipe.name: row.name for row in view.settings.filters}
    for name in view.paths if arguments.bucket is None else [arguments.bucket]:
        here = sorted((one for one in found if name in one.buckets), key=lambda one: -one.buckets[name])
        if here and arguments.json:
            total = sum(one.buckets[name] for one in here)
            causes = [{"reason": one.reason, "match": one.match, "count": one.buckets[name]} for one in here]
            stage = stages.get(name)
            terminal.tell_json({"stage": stage, "bucket": name, "count": total, "causes": causes[: arguments.limit]})
        elif here:
            _tell(islice(render_lists.by_stage(name, stages.get(name, ""), here), arguments.limit))


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        terminal.console().print(render.plain(line), markup=False, soft_wrap=True)


def _none(states: list[str]) -> None:
    terminal.complain(f"No book is {' or '.join(states)}.")


# --- show -----------------------------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    try:
        check_barcode(arguments.barcode)
    except TokenError as error:
        raise ConfigError([str(error)]) from None
    view = View(on_a_board(arguments))
    told = render_story.tell(view, arguments.barcode)
    if not told.places and not told.events:
        terminal.complain(
            f"Nothing is known of {arguments.barcode}: it was never seeded on this board.",
            f"`grin-pipeline seed --barcode {shlex.quote(arguments.barcode)}` puts it there.",
        )
        return 1
    log, whole = booklog.lines(view.root / "logs", arguments.barcode)
    told = replace(told, log=log, whole=whole)
    if arguments.json:
        terminal.tell_json(told.as_dict())
    else:
        terminal.console().print(render_story.story(told), soft_wrap=True)
    return 0


# --- shape, workers -------------------------------------------------------------------------------------------------


def _shape(arguments: argparse.Namespace) -> int:
    view, states = _view(arguments), arguments.state or [board.WAITING]
    rows = shape(view, states, arguments.bucket)
    if arguments.json:
        for row in rows:
            terminal.tell_json(row.as_dict(states))
    else:
        terminal.show(render_lists.shape(rows, states))
    return 0


def _workers(arguments: argparse.Namespace) -> int:
    hands = crew(View(on_a_board(arguments)))
    if arguments.json:
        for hand in hands:
            terminal.tell_json(hand.as_dict())
    elif hands:
        terminal.show(render_lists.workers(hands))
    else:
        terminal.complain("No worker is on this board; `grin-pipeline up` starts them.")
    return 0


# --- the pieces they share ------------------------------------------------------------------------------------------


def _view(arguments: argparse.Namespace) -> View:
    view = View(on_a_board(arguments))
    if arguments.bucket is not None:
        bucket_for(view.settings, arguments.bucket)
    return view
