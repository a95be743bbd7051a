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

from simulator.arguments import parser, serving_options
from simulator.server import GrinServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; SIGTERM and SIGINT end it with 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    words = parser()
    args = words.parse_args(arguments)
    if (args.books or args.add) and args.passphrase_file is None:
        words.error("--passphrase-file is needed to encrypt books with")
    try:
        added = _make(args)
        if args.command == "serve":
            _serve(args, added)
    except ValueError as error:
        words.error(str(error))
    return 0


def _leave(*_: object) -> None:
    # The maker's processes would otherwise finish their books first.
    for child in multiprocessing.active_children():
        child.terminate()
    raise SystemExit(0)


def _serve(args: argparse.Namespace, added: list[str]) -> None:
    options = serving_options(args, added)
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


if __name__ == "__main__":
    sys.exit(main())
