"""`convert`: what is available but not converted, asked for within GRIN's limits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from common import config
from common.config import Settings
from common.errors import ConfigError
from common.settings import SeedSettings
from services.orchestrator import terminal, up
from services.orchestrator.render import plain

Factory = Callable[[str, object, str, str], argparse.ArgumentParser]
_FILL = (
    "It fills GRIN's queue whatever the pool can keep: what is converted and not fetched in time is pushed out again."
)
_OTHERS = {
    "in process": "in GRIN's queue already",
    "converted": "converted already",
    "known here": "on the board or delivered already",
    "refused": "refused by GRIN once and for all",
    "failed": "failed in conversion, to be asked for again later",
    "answered otherwise": "answered by GRIN with words that nobody knows, to be asked for again later",
    "asked lately": "asked for lately, on none of GRIN's lists yet",
    "given up": "asked for several times and never seen again; --again asks once more",
}
_ANSWERS = {
    "accepted": "accepted",
    "in_process": "in the queue already",
    "converted": "converted already",
    "refused": "refused",
    "other": "answered otherwise",
}


def add_commands(command: Factory) -> None:
    """The one command; `command` makes a parser of a name, a function, a description and an example."""
    what = "ask GRIN to convert what is available and not converted"
    parser = command("convert", _convert, what, "grin-pipeline convert --dry-run")
    parser.add_argument("barcode", nargs="*", help="these books only; - reads names from standard input, one a line")
    parser.add_argument("--limit", type=terminal.count, metavar="N", help="ask for no more than N books")
    parser.add_argument("--dry-run", action="store_true", help="read GRIN's lists, and say what would be asked for")
    parser.add_argument("--again", action="store_true", help="also what was refused, has failed, or was asked for")
    parser.add_argument("--fill-queue", action="store_true", help="up to the queue's limit, whatever the pool keeps")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _convert(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config, classes=None)
    if not settings.heads():
        raise ConfigError(["There is no stage under filters, so nothing could be done with what GRIN converts."])
    with _named(settings, arguments.barcode) as barcodes:
        return _run(settings, arguments, barcodes)


def _run(settings: Settings, arguments: argparse.Namespace, barcodes: Iterable[str] | None) -> int:
    # Imported here: httpx and google-auth take longer to load than `status` takes to run.
    from common.grin.client import GrinClient  # noqa: PLC0415
    from services.orchestrator.asked import Asked  # noqa: PLC0415
    from services.orchestrator.conversion import Busy, Conversion, alone, whole_round  # noqa: PLC0415

    asked = Asked(settings, dry_run=arguments.dry_run)
    with GrinClient(settings) as client:
        conversion = Conversion(settings, client, asked)
        again, limit = arguments.again, arguments.limit
        if arguments.dry_run:
            conversion.look(fill_queue=arguments.fill_queue)
            _tell(arguments, whole_round(conversion, barcodes, limit, again=again, dry_run=True).as_dict())
            return 0
        # Nothing is made before GRIN has answered.
        next(client.barcodes("in_process"), None)
        up.prepare(settings)
        try:
            with alone(settings):
                conversion.look(fill_queue=arguments.fill_queue)
                report = whole_round(conversion, barcodes, limit, again=again, dry_run=False)
        except Busy as busy:
            terminal.complain(str(busy))
            return 1
        except BaseException:
            if conversion.report.asked:
                # However it ends, a person should know how far it came.
                _tell(arguments, conversion.report.as_dict())
            raise
        _tell(arguments, report.as_dict())
    bad = report.asked["refused"] + report.asked["other"]
    return 1 if bad and barcodes is not None else 0


@contextmanager
def _named(settings: Settings, given: list[str]) -> Iterator[Iterable[str] | None]:
    """The books that were named, all checked before anything is done; None when none was."""
    from services.orchestrator.seeding import Source, Wish  # noqa: PLC0415

    if not given:
        yield None
        return
    names = tuple(name for name in given if name != "-")
    no_limits = settings.model_copy(update={"seed": SeedSettings()})
    with Source(no_limits, Wish(barcodes=names)) as first:
        if "-" not in given:
            yield first
            return
        with Source(no_limits, Wish(source="-")) as more:
            yield (name for some in (first, more) for name in some)


def _tell(arguments: argparse.Namespace, facts: dict[str, object]) -> None:
    if arguments.json:
        terminal.tell_json(facts)
        return
    for line in _lines(facts, arguments):
        sys.stdout.write(plain(line) + "\n")


def _lines(facts: Mapping[str, object], arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.fill_queue:
        yield _FILL
    yield _room(facts)
    if arguments.dry_run:
        yield f"{terminal.books(facts['would_ask'])} would be asked for."
    else:
        answers = _counted(facts["answers"], _ANSWERS)
        yield f"Asked GRIN to convert {terminal.books(facts['asked'])}{': ' if answers else ''}{', '.join(answers)}."
    if facts["no_room"]:
        yield f"{terminal.books(facts['no_room'])} more are wanted: later, when there is room, or without --limit."
    others = _counted(facts["not_asked"], _OTHERS)
    if others:
        yield "Not asked for:"
        yield from (f"  {line}" for line in others)
    for words, count in sorted(_dict(facts["other_answers"]).items()):
        yield f'GRIN\'s words for {terminal.books(count)}: "{words}"'
    if facts["ended"]:
        yield str(facts["ended"])


def _room(facts: Mapping[str, object]) -> str:
    queue, pool = facts["queue_room"], facts["pool_room"]
    kept = "" if pool is None else f", room in its pool for {pool:,} more"
    return f"GRIN's queue has room for {terminal.books(queue)}{kept}."


def _counted(counts: object, names: Mapping[str, str]) -> list[str]:
    return [f"{count:,} {names.get(why, why)}" for why, count in _dict(counts).items() if count]


def _dict(value: object) -> dict[str, int]:
    return value if isinstance(value, dict) else {}
