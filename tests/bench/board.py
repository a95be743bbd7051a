"""The board's own speed, beside that of the queue libraries, on this machine in this run.

Claims, finished moves and whole attempts a second, with and without fsync, by forked workers, on boards of different
sizes that are visited in turn, so that a noisy machine is noisy for all of them; then each library's rates, and what
becomes of a message whose holder is killed. "no fsync" is a measurement only: nothing of the product works that way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from importlib import metadata
from itertools import product
from pathlib import Path
from types import FrameType

from tests.bench import board_report as report
from tests.bench.board_fill import Filled, room_for, scratch
from tests.bench.board_forked import Timing
from tests.bench.board_kill import fate
from tests.bench.board_moves import first_claim, measure
from tests.bench.board_report import Case, Drained, Results
from tests.bench.board_rivals import speed, syncs
from tests.bench.rivals import EVERYONE, versions

_BEGAN = time.monotonic()
# Attempts cost several times as much as moves, so that a part of them tells as much.
_PART = {"claim": 1.0, "bare": 0.5, "move": 1.0, "attempt": 0.34}


def main() -> None:
    """Measure and print."""
    arguments, load = _arguments(), os.getloadavg()[0]
    signal.signal(signal.SIGTERM, _end)
    try:
        found = versions()
    except metadata.PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install -r tests/bench/requirements.txt") from None
    with scratch(arguments.folder.absolute()) as folder:
        results = _room(arguments, folder)
        if "ours" in arguments.parts:
            _measure_ours(arguments, results, folder)
        if "rivals" in arguments.parts:
            _measure_rivals(arguments, results, folder)
        if "kill" in arguments.parts:
            _kill(results, folder)
        _print(arguments, results, found, load)
        if arguments.json:
            arguments.json.write_text(json.dumps(report.as_json(results, found), indent=1) + "\n")
        _say("removing the files")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="board", description=__doc__)
    parser.add_argument("--sizes", type=_numbers, default=[1_000, 10_000, 100_000, 1_000_000], help="waiting tokens")
    parser.add_argument("--rival-sizes", type=_numbers, default=[1_000, 10_000, 100_000], help="messages")
    parser.add_argument("--workers", type=_numbers, default=[1, 2, 4, 8], help="processes at once")
    parser.add_argument("--moves", type=int, default=1_500, help="for each case, size and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--bound", type=float, default=10.0, help="seconds that a library gets for one figure")
    parser.add_argument("--quick", action="store_true", help="10,000 tokens at most, one round: two minutes")
    parser.add_argument("--parts", type=_words, default=["ours", "rivals", "kill"], help="of ours,rivals,kill")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures for a program")
    parser.add_argument("--folder", type=Path, default=Path("bench/run"), help="on the disk to be measured")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes = [size for size in arguments.sizes if size <= 10_000]
        arguments.rival_sizes = [size for size in arguments.rival_sizes if size <= 10_000]
        arguments.moves, arguments.rounds, arguments.bound = min(arguments.moves, 1_000), 1, 5.0
    return arguments


def _numbers(text: str) -> list[int]:
    return sorted(int(float(part)) for part in text.split(","))


def _words(text: str) -> list[str]:
    return text.split(",")


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {text}", file=sys.stderr, flush=True)


def _room(arguments: argparse.Namespace, folder: Path) -> Results:
    results = Results([])
    for size, why in room_for(arguments.sizes, folder):
        if why:
            _say(f"{size:,} tokens are left out: {why}")
            results.left_out[size] = why
        else:
            results.sizes.append(size)
    if not results.sizes:
        raise SystemExit(f"{folder} has no room for a board.")
    return results


# --- ours ---


def _measure_ours(arguments: argparse.Namespace, results: Results, folder: Path) -> None:
    boards = [_filled(folder / str(size), size) for size in results.sizes]
    chunk = max(1, min(arguments.moves, results.sizes[0] // 2))
    for number in range(arguments.rounds):
        for kind, workers, fsync in product(_PART, arguments.workers, (True, False)):
            if (kind == "claim" and fsync) or (kind == "bare" and workers > 1):
                continue
            _say(f"round {number + 1}: {kind}, {workers} worker(s), {'with' if fsync else 'no'} fsync")
            passes = max(1, round(arguments.moves * _PART[kind] / chunk))
            case = Case(kind, workers, fsync)
            _passes(results.ours.setdefault(case, {}), case, boards, chunk, passes)
    for filled in boards:
        _say(f"half draining {filled.size:,} tokens")
        results.drained[filled.size] = _drained(filled, arguments.moves)


def _filled(root: Path, size: int) -> Filled:
    _say(f"filling a board with {size:,} tokens")
    root.mkdir()
    filled = Filled(root, size)
    filled.prepare()
    filled.fill()
    return filled


def _passes(into: dict[int, list[Timing]], case: Case, boards: list[Filled], chunk: int, passes: int) -> None:
    """Each pass does the same on every board, one after the other, in turning order."""
    for number in range(passes):
        for filled in boards if number % 2 else reversed(boards):
            timing = measure(filled, case.kind, case.workers, chunk, fsync=case.fsync)
            into.setdefault(filled.size, []).append(timing)


def _drained(filled: Filled, moves: int) -> Drained:
    total = min(moves, filled.size // 8)
    claims, durable, first = [], [], []
    for half in (False, True):
        if half:
            filled.half_drain()
        first.append(statistics.median(first_claim(filled) for _ in range(5)))
        claims.append(measure(filled, "claim", 1, total, fsync=False).rate)
        durable.append(measure(filled, "move", 1, total, fsync=True).rate)
    return Drained((claims[0], claims[1]), (durable[0], durable[1]), (first[0], first[1]))


# --- the others ---


def _measure_rivals(arguments: argparse.Namespace, results: Results, folder: Path) -> None:
    workers = _rival_workers(arguments)
    for contender in EVERYONE:
        place = folder / "rival"
        for size in arguments.rival_sizes:
            _say(f"{contender.name}: {size:,} messages")
            found = speed(contender, place, size, workers, arguments.moves, arguments.bound)
            results.speeds.setdefault(contender.name, {})[size] = found
        results.syncs[contender.name] = syncs(contender, place)


def _kill(results: Results, folder: Path) -> None:
    for contender in EVERYONE:
        _say(f"{contender.name}: kill -9 of a worker that holds a message")
        results.fates[contender.name] = fate(contender, folder / f"kill-{contender.__name__}")


def _rival_workers(arguments: argparse.Namespace) -> list[int]:
    return sorted({1, max(number for number in arguments.workers if number <= 4)} if arguments.workers else {1})


def _print(arguments: argparse.Namespace, results: Results, found: dict[str, str], load: float) -> None:
    libraries = ", ".join(f"{name} {version}" for name, version in found.items())
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f} at the start; {libraries}")
    print(f"{arguments.rounds} rounds of {arguments.moves:,} moves in passes that visit all sizes in turn; medians\n")
    for size, why in results.left_out.items():
        print(f"{size:,} tokens were left out: {why}")
    sections = {
        "Our own rates": report.ours(results),
        "A bucket that is half drained": report.drained(results),
        "Beside the libraries": report.speeds(results, _rival_workers(arguments)),
        "kill -9 of a worker that holds a message": report.fates(results),
        "Verdict": [*report.aims(results), *report.verdict(results)],
    }
    for title, lines in sections.items():
        print(f"{title}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
