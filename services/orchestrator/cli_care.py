"""The commands that end a run, tidy up after it and pack what support needs: their parsers, and what they print."""

from __future__ import annotations

import argparse

from services.orchestrator import down, terminal
from services.orchestrator.cli_operate import Factory, on_a_board


def add_commands(command: Factory) -> None:
    """All of them; `command` makes a parser of a name, a function, a description and an example."""
    what = "drain and stop what runs on this board from this machine"
    _add_down(command("down", _down, what, "grin-pipeline down --timeout 600"))


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
