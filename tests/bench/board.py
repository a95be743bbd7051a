"""The board's own speed, beside that of the queue libraries, on this machine in this run.

Claims, finished moves and whole attempts a second, with and without fsync, by forked workers, on boards of different
sizes that are visited in turn, so that a noisy machine is noisy for all of them; then each library's rates, taken in
turn with ours, and what becomes of a message whose holder is killed. "no fsync" is a measurement only: nothing of the
product works that way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from importlib import metadata
from pathlib import Path
from types import FrameType

from tests.bench import board_report as report
from tests.bench.board_fill import room_for, scratch
from tests.bench.board_results import Results, as_json
from tests.bench.board_run import Run, say
from tests.bench.rivals import versions

_PARTS = ("ours", "rivals", "kill")


def main() -> None:
    """Measure and print."""
    arguments, load = _arguments(), os.getloadavg()[0]
    signal.signal(signal.SIGTERM, _end)
    try:
        found = versions()
    except metadata.PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install -r tests/bench/requirements.txt") from None
    with scratch(arguments.folder.absolute()) as folder:
        run = Run(arguments, _room(arguments, folder), folder)
        run.all()
        _print(arguments, run.results, found, load)
        if arguments.json:
            arguments.json.write_text(json.dumps({"versions": found, **as_json(run.results)}, indent=1) + "\n")
        say("removing the files")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="board", description=__doc__)
    parser.add_argument("--sizes", type=_numbers, default=[1_000, 10_000, 100_000, 1_000_000], help="waiting tokens")
    parser.add_argument("--rival-sizes", type=_numbers, default=[1_000, 10_000, 100_000], help="messages")
    parser.add_argument("--workers", type=_numbers, default=[1, 2, 4, 8], help="processes at once")
    parser.add_argument("--moves", type=int, default=1_500, help="for each case, size and round")
    parser.add_argument("--rounds", type=int, default=2, help="how often all is measured; medians are shown")
    parser.add_argument("--bound", type=float, default=6.0, help="seconds that a library gets for one figure")
    parser.add_argument("--quick", action="store_true", help="10,000 tokens at most, one round: two minutes")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=_PARTS, help="of ours,rivals,kill")
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


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _room(arguments: argparse.Namespace, folder: Path) -> Results:
    results = Results([])
    beside = arguments.rival_sizes if "rivals" in arguments.parts else []
    for size, why in room_for(sorted({*arguments.sizes, *beside}), folder):
        if why:
            say(f"{size:,} tokens are left out: {why}")
            results.left_out[size] = why
        elif size in arguments.sizes:
            results.sizes.append(size)
    if not results.sizes:
        raise SystemExit(f"{folder} has no room for a board.")
    return results


def _print(arguments: argparse.Namespace, results: Results, found: dict[str, str], load: float) -> None:
    cores = os.cpu_count() or 1
    libraries = ", ".join(f"{name} {version}" for name, version in found.items())
    print(f"Python {sys.version.split()[0]}, {cores} cores, load {load:.1f} at the start; {libraries}")
    print(f"{arguments.rounds} rounds of {arguments.moves:,} moves in passes that visit all sizes in turn; medians")
    if load > cores / 2:
        print("THE MACHINE IS BUSY: rates are lower than it can do, and ratios noisier.")
    for size, why in results.left_out.items():
        print(f"{size:,} tokens were left out: {why}")
    sections = {
        "Our own rates": report.ours(results) if results.ours else [],
        "A bucket that is half drained, one worker": report.drained(results) if results.drained else [],
        "Beside the libraries": report.beside(results),
        "kill -9 of a worker that holds a message": report.fates(results),
        "Verdict": [*report.aims(results), *report.verdict(results)],
    }
    for title, lines in sections.items():
        if text := "\n".join(lines):
            print(f"\n{title}\n{text}")


if __name__ == "__main__":
    main()
