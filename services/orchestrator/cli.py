"""The `grin-pipeline` command."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

from common import __version__, config
from common import run as stage_run
from common.errors import ConfigError, StageError
from common.shedding import shed
from services.orchestrator import (
    cli_audit,
    cli_auth,
    cli_care,
    cli_completion,
    cli_convert,
    cli_init,
    cli_inventory,
    cli_operate,
    cli_read,
    cli_report,
    cli_try,
    demo,
    doctor,
    parsing,
    render,
    seeding,
    terminal,
    up,
)
from services.orchestrator.progress import Progress
from services.orchestrator.seeding import Tally, Wish

# `seed` says so often how far it is, in books.
_REPORT_EVERY = 10_000
_EPILOG = "Exit codes: 0 fine, 1 books failed, 2 usage or configuration, 3 the board is unhealthy."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    terminal.open_closed()
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a sign shows a question mark instead.
        sys.stdout.reconfigure(errors="replace")
    try:
        code: int = arguments.call(arguments)
    except ConfigError as error:
        terminal.complain(*error.problems)
        return 2
    except StageError as error:
        terminal.complain(error.reason, render.of_a_command(error.cure))
        return 3
    except BrokenPipeError:
        # Whoever read the list has seen enough; nothing must be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        terminal.complain(
            f"That could not be done: {error}.", "See that the disk is there, has space and may be written to."
        )
        return 3
    except KeyboardInterrupt:
        terminal.complain("Interrupted.")
        return 130
    return code


# --- commands -------------------------------------------------------------------------------------------------------


def _up(arguments: argparse.Namespace) -> int:
    secrets = shed()
    settings = config.load(arguments.config, classes=None if arguments.no_stages else "all", secrets=secrets)
    if not arguments.no_stages:
        up.check_stages(settings)
    orders = up.Orders(_wish(arguments), arguments.until_drained, arguments.no_stages, arguments.patience)
    progress = Progress(terminal.console())
    try:
        return up.Up(settings, orders, secrets, progress).run()
    finally:
        progress.close()


def _stage(arguments: argparse.Namespace) -> int:
    return stage_run.run(arguments.name, arguments)


def _seed(arguments: argparse.Namespace) -> int:
    settings, wish = config.load(arguments.config, classes=None), _wish(arguments)
    if wish.source_of(settings) is None and not wish.barcodes:
        raise ConfigError(["Which books? Give --barcode, --from, or `seed: {from: …}` in the configuration."])
    bucket = seeding.bucket_for(settings, arguments.at)
    if kept := seeding.kept_list(settings, wish.source_of(settings)):
        terminal.complain(
            f"The books come from the kept list {kept}; `grin-pipeline inventory refresh` brings a new one."
        )
    tally, told, began = Tally(), 0, time.monotonic()
    with seeding.Source(settings, wish) as barcodes:
        # Nothing is made before the source has answered.
        first = list(islice(barcodes, 1))
        if not arguments.dry_run:
            up.prepare(settings)
        for tally in seeding.seed(settings, chain(first, barcodes), bucket, dry_run=arguments.dry_run):
            if (tally.new + tally.known) // _REPORT_EVERY > told:
                told = (tally.new + tally.known) // _REPORT_EVERY
                rate = (tally.new + tally.known) / (time.monotonic() - began)
                terminal.complain(f"{tally.new:,} new, {tally.known:,} known already, {rate:,.0f} a second …")
    would = "would be " if arguments.dry_run else ""
    terminal.say(f"{tally.new:,} {would}seeded in {bucket.name}, {tally.known:,} were known already.")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    # The orchestrator's own image holds no stage, but may have been given the store's keys.
    store = not arguments.no_stages
    stages = store and os.environ.get("STAGE") != "orchestrator"
    settings = config.load(arguments.config, classes="all" if stages else None, secrets=shed())
    first = arguments.prepare or arguments.brief
    skip = {*(doctor.before_start(settings, brief=arguments.brief) if first else ())}
    if arguments.offline:
        skip.add(doctor.GRIN)
    code = doctor.run(settings, terminal.console(), arguments.json, store=store, stages=stages, skip=skip)
    if arguments.prepare and code == 0:
        up.prepare(settings)
    return code


def _demo(arguments: argparse.Namespace) -> int:
    names = ("folder", "books", "poisoned", "seed", "slow", "stay")
    return demo.run(demo.Play(**{name: getattr(arguments, name) for name in names}), terminal.console())


# --- the pieces they share ------------------------------------------------------------------------------------------


def _wish(arguments: argparse.Namespace) -> Wish:
    return Wish(tuple(arguments.barcode), arguments.source, arguments.sample, arguments.limit, arguments.at)


# --- the parser -----------------------------------------------------------------------------------------------------


def _parser() -> parsing.Parser:
    parser = parsing.Parser(
        prog="grin-pipeline", description="Brings a library's digitised books home from Google.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=f"grin-pipeline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_up(commands)
    cli_read.add_commands(partial(_command, commands))
    _add_doctor(commands)
    one = _command(commands, "stage", _stage, "run one stage in the foreground", "grin-pipeline stage decryptor")
    one.add_argument("name", help="the stage's name in the configuration")
    stage_run.add_arguments(one)
    seed = _command(commands, "seed", _seed, "put new books on the board", "grin-pipeline seed --from barcodes.txt")
    _add_wish(seed)
    seed.add_argument("--dry-run", action="store_true", help="only say what would be seeded")
    cli_operate.add_commands(partial(_command, commands))
    cli_auth.add_commands(partial(_command, commands))
    cli_audit.add_commands(partial(_command, commands))
    cli_care.add_commands(partial(_command, commands))
    cli_completion.add_commands(partial(_command, commands), parser)
    cli_convert.add_commands(partial(_command, commands))
    cli_init.add_commands(partial(_command, commands))
    cli_inventory.add_commands(partial(_command, commands))
    cli_report.add_commands(partial(_command, commands))
    cli_try.add_commands(partial(_command, commands))
    what = "simulator, books and a whole run, in one command"
    trial = parsing.add_command(commands, "demo", _demo, what, "grin-pipeline demo --books 5", config=False)
    trial.add_argument("--folder", type=Path, default=Path("demo"), help="everything happens in here (default: demo)")
    trial.add_argument("--books", type=terminal.count, default=20, help="how many (default: 20)")
    trial.add_argument(
        "--poisoned", type=terminal.count_or_none, default=3, help="how many of them are bad (default: 3)"
    )
    trial.add_argument("--seed", type=int, default=1, help="other books for another number (default: 1)")
    trial.add_argument("--slow", action="store_true", help="each stage takes its time, so that one can watch the page")
    stay = "keep GRIN, stages and page after the last book, until Ctrl-C: to look at failed books, hold, release, retry"
    trial.add_argument("--stay", action="store_true", help=stay)
    return parser


def _add_up(commands: parsing.Commands[parsing.Parser]) -> None:
    everything = _command(
        commands,
        "up",
        _up,
        "prepare, seed, run and supervise all stages",
        "grin-pipeline up --until-drained --sample 20",
    )
    everything.add_argument("--until-drained", action="store_true", help="end when no book is on its way any more")
    everything.add_argument("--no-stages", action="store_true", help="only seed, reap and show; stages run elsewhere")
    everything.add_argument(
        "--patience",
        type=terminal.seconds,
        default=60.0,
        metavar="SECONDS",
        help="with --until-drained: end with code 3 when everything has been halted for so long (default: 60)",
    )
    _add_wish(everything)


def _add_doctor(commands: parsing.Commands[parsing.Parser]) -> None:
    what = "check everything before the first run: disk, login, passphrase, store, stages; each with its cure"
    check = _command(commands, "doctor", _doctor, what, "grin-pipeline doctor --config config.yaml")
    elsewhere = "only the board and its disk; stages and keys are elsewhere"
    check.description = f"{check.description} What killed processes have left: `grin-pipeline clean --claims`."
    check.add_argument("--no-stages", action="store_true", help=elsewhere)
    check.add_argument("--prepare", action="store_true", help="make the board's folders when all is well")
    brief = "leave out what takes long; for whoever waits to start"
    check.add_argument("--brief", action="store_true", help=brief)
    check.add_argument("--offline", action="store_true", help="do not ask GRIN")
    check.add_argument("--json", action="store_true", help="one JSON object, or one a line for a list")


def _add_wish(parser: argparse.ArgumentParser) -> None:
    books = "seed this book; may be repeated"
    parser.add_argument("--barcode", action="append", default=[], metavar="B", help=books)
    sources = "seed the books of: converted, available, all_books, a file, or - for standard input"
    parser.add_argument("--from", "--barcodes-file", dest="source", metavar="SOURCE", help=sources)
    parser.add_argument("--sample", type=terminal.count, metavar="N", help="seed N of them, always the same N")
    parser.add_argument("--limit", type=terminal.count, metavar="N", help="seed the first N of them")
    parser.add_argument("--at", metavar="BUCKET", help="seed into this bucket instead of the first")


def _command(
    commands: parsing.Commands[parsing.Parser], name: str, call: object, what: str, example: str
) -> argparse.ArgumentParser:
    return parsing.add_command(commands, name, call, what, example)


if __name__ == "__main__":
    sys.exit(main())
