"""`try`: one stage of the configuration on one book, on a board of its own."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import config, run, trial
from common.errors import ConfigError
from common.shedding import shed
from common.token import TokenError, check_barcode
from services.orchestrator import terminal

Factory = Callable[[str, object, str, str], argparse.ArgumentParser]
_MEANS = {
    "done": "done: the book goes on to the next stage.",
    "deferred": "Retry: the book waits, and is tried again.",
    "redo": "Redo: the book is made again by earlier stages.",
    "failed": "Reject: the book fails, and waits for a person.",
    "halted": "Halt: the stage waits, and tries the same book again.",
}


def add_commands(command: Factory) -> None:
    """`try`; `command` makes a parser of a name, a function, a description and an example."""
    what = "try one stage on the files of one book, on a board of its own"
    parser = command(
        "try",
        _try,
        what,
        "grin-pipeline try modifier --input processing/32101081977728/extractor --barcode 32101081977728",
    )
    parser.add_argument("name", help="the stage's name in the configuration")
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="what the stage before has left")
    parser.add_argument("--barcode", metavar="B", help="the book's (default: the folder's name)")
    parser.add_argument("--output", type=Path, metavar="NEW", help="a new folder that keeps what the stage makes")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _try(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config, classes=arguments.name, secrets=shed())
    row = settings.row(arguments.name)
    if problems := run.problems_of(run.make_stage(settings, row)):
        raise ConfigError(problems)
    book, barcode = arguments.input.absolute(), _barcode(arguments)
    if not book.is_dir():
        raise ConfigError(
            [f"{book} is no folder: name one that holds a book's files, as the stage before leaves them."]
        )
    if arguments.output is not None and arguments.output.exists():
        raise ConfigError([f"{arguments.output} is there already: name a new folder with --output."])
    with tempfile.TemporaryDirectory(prefix="grin-pipeline-try-") as temporary:
        folder = arguments.output or Path(temporary, "trial")
        tried = trial.attempt(config.stage_class(row), book, folder, barcode=barcode, settings=settings, row=row)
        _tell(tried, row.name, arguments)
    return 0 if tried.outcome == "done" else 1


def _barcode(arguments: argparse.Namespace) -> str:
    try:
        return check_barcode(arguments.barcode or arguments.input.absolute().name)
    except TokenError as error:
        raise ConfigError([f"{error} Give the book's own with --barcode."]) from None


def _tell(tried: trial.Trial, name: str, arguments: argparse.Namespace) -> None:
    listed = [
        {"name": str(path.relative_to(tried.left)), "bytes": path.stat().st_size, "new": path in tried.new}
        for path in tried.files
    ]
    if arguments.json:
        whole = {"stage": name, "outcome": tried.outcome, "reason": tried.reason, "cure": tried.cure}
        return terminal.tell_json(whole | {"facts": tried.facts, "files": listed, "traceback": tried.traceback})
    terminal.complain(*tried.traceback.splitlines())
    terminal.say(f"{name}: {_MEANS[tried.outcome]}")
    for sentence in filter(None, (tried.reason, tried.cure)):
        terminal.say(f"  {sentence}")
    for fact, value in tried.facts.items():
        terminal.say(f"  {fact}: {value}")
    for file in listed:
        terminal.say(f"{file['bytes']:>14,} bytes  {'new' if file['new'] else 'as it was':<9}  {file['name']}")
    if arguments.output is not None:
        terminal.say(f"All of it is in {arguments.output}.")
    return None
