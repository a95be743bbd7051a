"""The command `inventory`: its parsers, and what they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common import config
from services.orchestrator import terminal
from services.orchestrator.parsing import add_command
from services.orchestrator.render import plain, span
from services.orchestrator.ticker import Ticker

_WHAT = "the list of all books: fetch it, count it, and tell what is available and not converted"
_EXAMPLE = "grin-pipeline inventory show --list available-not-converted"
_LISTS = ("available-not-converted", "available", "in_process", "converted", "failed", "refused", "held", "unknown")


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The one command with its two; `command` makes a parser of a name, a function, a description and an example."""
    parser = command("inventory", _show, _WHAT, _EXAMPLE)
    what = parser.add_subparsers(title="what to do", metavar="refresh | show", required=True)
    fetch = "fetch GRIN's list of all books into the file of global.all_books"
    refresh = add_command(what, "refresh", _refresh, fetch, "grin-pipeline inventory refresh --html", below=True)
    refresh.add_argument("--html", action="store_true", help="from its pages: slower, with titles and states")
    refresh.add_argument("--force", action="store_true", help="believe a list that is more than 5%% shorter")
    show = add_command(what, "show", _show, "count the books by list and by state", _EXAMPLE, below=True)
    show.add_argument("--list", choices=_LISTS, dest="which", metavar="NAME", help=f"name them: {', '.join(_LISTS)}")
    show.add_argument("--offline", action="store_true", help="do not ask GRIN: only the kept file and the board")
    show.add_argument("--json", action="store_true", help="one JSON object, or one a line with --list")


def _refresh(arguments: argparse.Namespace) -> int:
    # Imported here and below: httpx and google-auth take longer to load than other commands take to run.
    from common.grin.client import GrinClient  # noqa: PLC0415
    from services.orchestrator.inventory import Refresh, kept_path  # noqa: PLC0415

    settings = config.load(arguments.config, classes=None)
    kept_path(settings)
    with GrinClient(settings) as client:
        kept = Refresh(settings, client, terminal.complain, html=arguments.html, force=arguments.force).run()
    before = "there was none before" if kept.before is None else f"there were {kept.before:,} before"
    terminal.tell(
        f"{kept.books:,} books ({kept.size / 1e6:,.1f} MB) in {span(kept.seconds)}; {before}. Kept in {kept.path}."
    )
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from common.grin.client import GrinClient  # noqa: PLC0415
    from services.orchestrator.stock import Stock  # noqa: PLC0415

    settings = config.load(arguments.config, classes=None)
    with ExitStack() as stack:
        client = None if arguments.offline else stack.enter_context(GrinClient(settings))
        stock = Stock(settings, client)
        stack.callback(stock.close)
        if client is not None:
            stack.enter_context(Ticker(terminal.complain, lambda seconds: f"Asking GRIN for {span(seconds)} now …"))
        if arguments.which is not None:
            for barcode in stock.barcodes(arguments.which):
                sys.stdout.write((json.dumps({"barcode": barcode}) if arguments.json else barcode) + "\n")
        elif arguments.json:
            terminal.tell_json(stock.facts())
        else:
            terminal.show(_table(stock.facts()))
    return 0


def _table(facts: dict[str, Any]) -> RenderableType:
    """The figures as a table, then the answer to what there is to ask for."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left")
    table.title = Text(f"Books of {plain(facts['library'])}")
    table.add_column("where", no_wrap=True)
    table.add_column("list or state", no_wrap=True)
    table.add_column("books", justify="right", no_wrap=True)
    for where, name, count in _rows(facts):
        table.add_row(*(Text(plain(cell)) for cell in (where, name, f"{count:,}")))
    return Group(table, *(Text(plain(line)) for line in _sentences(facts)))


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    kept = facts["all_books"]
    if kept:
        yield "kept list", "all books", kept["books"]
        yield from (("", state, count) for state, count in (kept["states"] or {}).items())
    for number, (name, count) in enumerate((facts["grin"] or {}).items()):
        yield "" if number else "GRIN", name.replace("_", " "), count
    for number, (name, count) in enumerate(facts["board"].items()):
        yield "" if number else "board", name, count


def _sentences(facts: dict[str, Any]) -> Iterator[str]:
    kept, wanted = facts["all_books"], facts["available_not_converted"]
    if kept:
        yield f"The kept list is {span(kept['age_seconds'])} old ({kept['path']})."
    else:
        yield "No list of all books is kept yet: `grin-pipeline inventory refresh` fetches it to global.all_books."
    if wanted is None:
        yield "What is available is not known offline: `inventory refresh --html` keeps a list with states."
        return
    books = "1 book is" if wanted == 1 else f"{wanted:,} books are"
    yield f"{books} available and not converted, and neither known here, refused, nor tried of late."
    if wanted:
        yield "`grin-pipeline inventory show --list available-not-converted` names them."
