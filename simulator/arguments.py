"""The words of `python -m simulator`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from simulator.grin.entry import State
from simulator.grin.faults import Fault, parse
from simulator.grin.holdings import Limits
from simulator.grin.mix import parse_mix
from simulator.grin.variants import KNOWN, Variants
from simulator.grin.weather import every_fault
from simulator.server import Options


def parser() -> argparse.ArgumentParser:
    """The parser of `serve` and `make`."""
    made = argparse.ArgumentParser(prog="python -m simulator", description="Made books, and a GRIN that offers them.")
    commands = made.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make the library only")
    serve = commands.add_parser("serve", help="make the library, unless it is there, and serve it")
    for command in (make, serve):
        _add_making(command)
    _add_serving(serve)
    _add_variants(serve)
    return made


def serving_options(args: argparse.Namespace, added: list[str]) -> Options:
    """What the arguments ask for; `added` are the barcodes of archives that were added."""
    limits = Limits(
        args.conversion_seconds, args.converted_pool, args.queue_limit, args.conversions_per_day, args.daily_quota
    )
    return Options(
        states=dict(args.state),
        only=added if args.books == 0 else [],
        limits=limits,
        token_lifetime=args.token_lifetime,
        person=_person(args.credentials_in),
        faults=[*args.fault, *every_fault(args.every_fault)],
        fault_seed=args.fault_seed,
        inventory=args.inventory,
        mix=args.mix,
        seed=args.seed,
        archive=args.inventory_archive,
        maker=_maker(args),
        speed=args.speed,
        listen=args.listen,
        known_as=args.known_as,
        variants=Variants(**{one.name: getattr(args, one.name) for one in fields(Variants)}),
    )


def _maker(args: argparse.Namespace) -> Callable[[str], Path] | None:
    if not args.inventory or args.inventory_archive or not args.passphrase_file:
        return None
    # It draws pages, which a server of finished books needs nothing of.
    from simulator.ondemand import Binder  # noqa: PLC0415

    passphrase = args.passphrase_file.read_text(encoding="utf-8").removesuffix("\n")
    return Binder(args.folder / "on-demand", args.library, args.seed, args.pages, passphrase)


def _person(file: Path | None) -> dict[str, str] | None:
    if file is None:
        return None
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        return {name: str(facts[name]) for name in ("client_id", "client_secret", "refresh_token")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file} is no authorised user's file: {error!r}") from None


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
    add("--listen", default="127.0.0.1", metavar="HOST", help="where it can be reached; in a container 0.0.0.0")
    add("--known-as", default="127.0.0.1", metavar="HOST", help="the host in the addresses that it gives")
    add("--credentials-out", type=Path, help="where to write an authorised user's file")
    add("--credentials-in", type=Path, help="an authorised user's file to accept, instead of one that is made")
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
    add("--inventory", type=int, default=0, metavar="N", help="so many made-up books more; made when fetched")
    add("--mix", type=_mix, default={}, metavar="STATE=SHARE,...", help="the shares of some states among those")
    add("--inventory-archive", type=Path, metavar="FILE", help="what all of those have as archive")
    add("--token-lifetime", type=float, default=3600, help="seconds that an access token holds")
    add("--until-stdin-closes", action="store_true", help="end with the process that holds the other end")


def _add_variants(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where sources on GRIN disagree or say nothing (see the manual)")
    numbers = {"process_max": int, "retry_after": int, "max_rate": float, "acl_seconds": float}
    for one in fields(Variants):
        option = f"--{one.name.replace('_', '-')}"
        if isinstance(one.default, bool):
            group.add_argument(option, action="store_true")
        elif one.name in KNOWN:
            kind = type(one.default)
            group.add_argument(option, type=kind, choices=[way for way in KNOWN[one.name] if way], default=one.default)
        else:
            group.add_argument(option, type=numbers[one.name], metavar="N", default=one.default)


def _pages(text: str) -> tuple[int, int]:
    least, _, most = text.partition(":")
    return int(least), int(most)


def _addition(text: str) -> tuple[Path, str]:
    path, _, barcode = text.rpartition(":")
    return Path(path), barcode


def _state(text: str) -> tuple[str, State]:
    barcode, _, state = text.partition("=")
    return barcode, State(state)


def _mix(text: str) -> dict[State, float]:
    try:
        return parse_mix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; give STATE=SHARE,..., such as NEW=0.7") from None


def _fault(text: str) -> Fault:
    return parse([json.loads(text)])[0]
