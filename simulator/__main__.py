"""`python -m simulator serve|make`: a library of made books, and a GRIN that offers them."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from simulator.grin.entry import State
from simulator.grin.faults import Fault, parse
from simulator.grin.holdings import Limits
from simulator.grin.mix import parse_mix
from simulator.grin.weather import every_fault
from simulator.server import GrinServer, Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; SIGTERM and SIGINT end it with 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    parser = _parser()
    args = parser.parse_args(arguments)
    if (args.books or args.add) and args.passphrase_file is None:
        parser.error("--passphrase-file is needed to encrypt books with")
    try:
        added = _make(args)
        if args.command == "serve":
            _serve(args, added)
    except ValueError as error:
        parser.error(str(error))
    return 0


def _leave(*_: object) -> None:
    # The maker's processes would otherwise finish their books first.
    for child in multiprocessing.active_children():
        child.terminate()
    raise SystemExit(0)


def _serve(args: argparse.Namespace, added: list[str]) -> None:
    limits = Limits(
        args.conversion_seconds, args.converted_pool, args.queue_limit, args.conversions_per_day, args.daily_quota
    )
    options = Options(
        states=dict(args.state),
        only=added if args.books == 0 else [],
        limits=limits,
        token_lifetime=args.token_lifetime,
        faults=[*args.fault, *every_fault(args.every_fault)],
        fault_seed=args.fault_seed,
        inventory=args.inventory,
        mix=args.mix,
        seed=args.seed,
        archive=args.inventory_archive,
        speed=args.speed,
    )
    with GrinServer(args.folder, args.library, args.port, options) as server:
        if args.credentials_out:
            server.credentials_file(args.credentials_out)
        if args.service_account_out:
            server.service_account_file(args.service_account_out)
        if args.client_secret_out:
            server.client_secret_file(args.client_secret_out)
        addresses = {"base_url": server.url, "token_uri": server.token_uri, "auth_uri": server.auth_uri}
        told = {**addresses, "library": args.library}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        _wait(args.until_stdin_closes)


def _wait(until_stdin_closes: bool) -> None:
    # Read by its descriptor: a thread that waits in sys.stdin holds a lock which the interpreter's end needs.
    while until_stdin_closes and os.read(0, 4096):
        pass
    if not until_stdin_closes:
        threading.Event().wait()


def _make(args: argparse.Namespace) -> list[str]:
    """Make what is asked for; the barcodes of added archives."""
    if not args.books and not args.add:
        return []
    # The maker draws pages, which a server of finished books needs nothing of.
    from simulator.library import add_archive, make_library  # noqa: PLC0415

    passphrase = args.passphrase_file.read_text(encoding="utf-8").removesuffix("\n")
    made = make_library(
        args.folder,
        library=args.library,
        count=args.books,
        poisoned=args.poisoned,
        seed=args.seed,
        pages=args.pages,
        passphrase=passphrase,
        report=_say,
    )
    for path, barcode in args.add:
        add_archive(made, barcode, path, passphrase)
    return [barcode for _, barcode in args.add]


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make the library only")
    serve = commands.add_parser("serve", help="make the library, unless it is there, and serve it")
    for command in (make, serve):
        _add_making(command)
    _add_serving(serve)
    return parser


def _add_making(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="the library's folder")
    add("--library", default="TESTLIB", help="GRIN's code of the library")
    add("--books", type=int, default=20, help="how many books to make; 0: none")
    add("--poisoned", type=int, default=0, help="how many of them are bad")
    add("--seed", type=int, default=1, help="the same seed makes the same books")
    add("--pages", type=_pages, default=(6, 14), metavar="MIN:MAX", help="pages of a book")
    add("--passphrase-file", type=Path, help="what the archives are encrypted with")
    add("--add", type=_addition, action="append", default=[], metavar="FILE.tar.gz:BARCODE", help="one more book")


def _add_serving(parser: argparse.ArgumentParser) -> None:
    add, limits = parser.add_argument, Limits()
    add("--port", type=int, default=0, help="0: any free one")
    add("--credentials-out", type=Path, help="where to write an authorised user's file")
    add("--service-account-out", type=Path, help="where to write a service account's key file")
    add("--client-secret-out", type=Path, help="where to write an installed client's file")
    add("--state", type=_state, action="append", default=[], metavar="BARCODE=STATE", help="not CONVERTED at the start")
    add("--fault", type=_fault, action="append", default=[], metavar="JSON", help="as in POST /_simulator/faults")
    add("--every-fault", type=float, default=0, metavar="CHANCE", help="each kind of fault, as likely as this (0 to 1)")
    add("--fault-seed", type=int, default=1, help="the same seed throws the same dice")
    add("--conversion-seconds", type=float, default=limits.conversion_seconds, help="how long a conversion takes")
    add("--converted-pool", type=int, default=limits.converted_pool, help="how many archives are kept")
    add("--queue-limit", type=int, default=limits.queue_limit, help="how many books may wait for conversion")
    add("--conversions-per-day", type=float, default=0, help="at which pace conversions end; 0: each on its own")
    add("--daily-quota", type=int, default=0, help="how many conversions end in a day at most; 0: no limit")
    add("--speed", type=float, default=1, help="how many seconds of GRIN's clock go by in one second")
    add("--inventory", type=int, default=0, metavar="N", help="so many made-up books more, which are only in the lists")
    add("--mix", type=parse_mix, default={}, metavar="STATE=SHARE,...", help="the shares of some states among those")
    add("--inventory-archive", type=Path, metavar="FILE", help="what all of those have as archive; else 404")
    add("--token-lifetime", type=float, default=3600, help="seconds that an access token holds")
    add("--until-stdin-closes", action="store_true", help="end with the process that holds the other end")


def _pages(text: str) -> tuple[int, int]:
    least, _, most = text.partition(":")
    return int(least), int(most)


def _addition(text: str) -> tuple[Path, str]:
    path, _, barcode = text.rpartition(":")
    return Path(path), barcode


def _state(text: str) -> tuple[str, State]:
    barcode, _, state = text.partition("=")
    return barcode, State(state)


def _fault(text: str) -> Fault:
    return parse([json.loads(text)])[0]


if __name__ == "__main__":
    sys.exit(main())
