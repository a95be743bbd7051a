"""The commands that end a run, tidy up after it and pack what support needs: their parsers, and what they print."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from common import audit, listing
from common.config import Settings
from common.errors import ConfigError
from common.reaper import Reaper
from services.orchestrator import clean, down, terminal
from services.orchestrator.clean import Cleaner, Leftover
from services.orchestrator.cli_operate import Factory, on_a_board

if TYPE_CHECKING:
    from services.orchestrator.export import Packed

# So many things get a line each; --json has them all.
_SHOWN = 20
# A reaper looks so often, in parts of reap_after, and after so many of them it has seen enough.
_LOOK, _LOOKS = 10, 13


def add_commands(command: Factory) -> None:
    """All of them; `command` makes a parser of a name, a function, a description and an example."""
    what = "drain and stop what runs on this board from this machine"
    _add_down(command("down", _down, what, "grin-pipeline down --timeout 600"))
    what = "remove what killed processes have left; never a book, nor what a live worker uses"
    _add_clean(command("clean", _clean, what, "grin-pipeline clean --dry-run"))
    what = "pack what support needs into one file, without secrets, paths and names"
    _add_export(command("export", _export, what, "grin-pipeline export --no-barcodes --output board.tar.gz"))


def _add_down(parser: argparse.ArgumentParser) -> None:
    limit = "wait no longer for what was told to drain (default: `grace` and 15 more)"
    parser.add_argument("--timeout", type=terminal.seconds, metavar="SECONDS", help=limit)
    parser.add_argument("--now", action="store_true", help="let workers hand their books back at once")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be stopped")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _down(arguments: argparse.Namespace) -> int:
    settings = on_a_board(arguments)
    one = down.Down(settings, terminal.complain if arguments.json else terminal.say)
    dry_run = arguments.dry_run
    report = one.plan() if dry_run else one.run(arguments.timeout, at_once=arguments.now)
    facts = one.facts(report)
    if arguments.json:
        terminal.tell_json(facts)
    else:
        down.tell(facts, settings, terminal.say, would=dry_run)
    return 0 if dry_run or report.quiet else 3


# --- clean ----------------------------------------------------------------------------------------------------------


def _add_clean(parser: argparse.ArgumentParser) -> None:
    claims = "first give back the books of dead workers, which `up` does by itself; it takes `reap_after` seconds"
    parser.add_argument("--claims", action="store_true", help=claims)
    parser.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON object a thing")


def _clean(arguments: argparse.Namespace) -> int:
    settings = on_a_board(arguments)
    say = terminal.complain if arguments.json else terminal.say
    if arguments.claims:
        say(_waiting(settings) if arguments.dry_run else _reap(settings))
    found = list(Cleaner(settings).find())
    if not found:
        say("Nothing is left over.")
        return 0
    if not arguments.json:
        _list(found)
    if arguments.dry_run:
        _tell_json(found, arguments, removed=False)
        return 0
    if not arguments.yes and not _agreed():
        return 2
    return _remove(settings, found, arguments)


def _remove(settings: Settings, found: list[Leftover], arguments: argparse.Namespace) -> int:
    left = [one for one in found if not clean.removed(one)]
    gone = [one for one in found if one not in left]
    freed = sum(one.size for one in gone)
    _tell_json(gone, arguments, removed=True)
    _tell_json(left, arguments, removed=False)
    audit.record(settings.global_.pipeline_dir, "clean", by=audit.who(), removed=len(gone), bytes=freed)
    for one in left[:_SHOWN]:
        terminal.complain(f"{one.path} is there still: it is in use again, or may not be removed by you.")
    if not arguments.json:
        terminal.say(f"{len(gone):,} removed, {freed:,} bytes freed.")
    return 1 if left else 0


def _list(found: list[Leftover]) -> None:
    for one in found[:_SHOWN]:
        terminal.say(f"{one.kind:<12}  {one.size:>15,}  {one.path}: {one.why}")
    if len(found) > _SHOWN:
        terminal.say("… (--json names all)")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(one.kind for one in found).items())
    terminal.say(f"{len(found):,} left over ({kinds}), {sum(one.size for one in found):,} bytes.")


def _tell_json(some: list[Leftover], arguments: argparse.Namespace, *, removed: bool) -> None:
    for one in some if arguments.json else ():
        facts = {"kind": one.kind, "path": str(one.path), "bytes": one.size, "why": one.why, "removed": removed}
        terminal.tell_json(facts)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        terminal.complain("Removing needs --yes where nobody can be asked. Nothing was done.")
        return False
    sys.stderr.write("Remove it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    terminal.complain("Nothing was done.")
    return False


def _waiting(settings: Settings) -> str:
    claims = sum(1 for bucket in settings.bucket_paths() for _ in listing.claims(bucket))
    return f"{terminal.books(claims)} in work now; those of workers that give no sign of life would be given back."


def _reap(settings: Settings) -> str:
    """Watch every claim's worker for long enough, and give back those of the dead."""
    limit = settings.global_.reap_after
    reaper, given = Reaper(settings.global_.pipeline_dir, settings.bucket_paths(), limit), 0
    for _ in range(_LOOKS):
        given += reaper.turn()
        if not any(True for bucket in settings.bucket_paths() for _ in listing.claims(bucket)):
            break
        time.sleep(limit / _LOOK)
    return f"{terminal.books(given)} of dead workers given back."


# --- export ---------------------------------------------------------------------------------------------------------


def _add_export(parser: argparse.ArgumentParser) -> None:
    made = "a .tar.gz, written whole or not at all (default: grin-pipeline-export-TIME.tar.gz, here)"
    parser.add_argument("--output", type=Path, metavar="FILE", help=made)
    some = "failed books with their ledgers, and deferred and held ones, N of each at most (default: 50)"
    parser.add_argument("--books", type=terminal.count_or_none, default=50, metavar="N", help=some)
    lines = "the last N lines of each log (default: 1000)"
    parser.add_argument("--lines", type=terminal.count_or_none, default=1000, metavar="N", help=lines)
    parser.add_argument("--no-barcodes", action="store_true", help="replace barcodes by numbers, and take titles out")
    parser.add_argument("--no-doctor", action="store_true", help="do not try out the board's disk")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _export(arguments: argparse.Namespace) -> int:
    # Imported here: nothing else needs it, and all commands shall start fast.
    from services.orchestrator.export import Limits, export  # noqa: PLC0415

    settings = on_a_board(arguments)
    named = arguments.output or Path(time.strftime("grin-pipeline-export-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    target = Path(os.path.realpath(named))
    if not target.parent.is_dir():
        raise ConfigError([f"There is no folder {target.parent} for --output {named}."])
    if target.exists() and not target.is_file():
        raise ConfigError([f"--output {named} is no regular file."])
    limits = Limits(
        arguments.books, arguments.lines, barcodes=not arguments.no_barcodes, doctor=not arguments.no_doctor
    )
    _tell_packed(export(settings, target, limits), as_json=arguments.json)
    return 0


def _tell_packed(packed: Packed, *, as_json: bool) -> None:
    if as_json:
        terminal.tell_json({**vars(packed), "path": str(packed.path)})
        return
    for name, size in packed.names.items():
        terminal.say(f"{size:>12,}  {name}")
    taken = ", ".join(f"{kind} {count:,} times" for kind, count in sorted(packed.taken.items())) or "nothing"
    terminal.say(f"{packed.path}: {packed.size:,} bytes, readable by you alone. Taken out: {taken}.")
    for file in packed.unread:
        terminal.complain(f"What is in this secret file is not known here, and was not looked for: {file}.")
    terminal.say(f"Look through it before you send it: tar -xzOf {packed.path} | less")
