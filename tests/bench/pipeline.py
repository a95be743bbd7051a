"""The whole pipeline beside the bare shell, on the same books in the same run: CPU seconds, wall seconds, memory.

The shells work on two books at a time. "bare" is the least that makes a package of an encrypted archive that is there
already; "same work" fetches, decrypts, unpacks, verifies, adds the text of all pages, packs, hashes, syncs, publishes
and tidies up, as the pipeline does. "plain tools" are gzip, tar and md5sum, "best tools" have igzip in place of gzip.
The simulated GRIN that both fetch from is not counted. All ways take turns in each round; ratios are medians of the
ratios of each round.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.bench import report
from tests.bench.corpus import Corpus, served
from tests.bench.costs import of_creating
from tests.bench.report import Seen
from tests.bench.shell import Shell, best_tools
from tests.bench.stages import Pipeline

SHELLS = {
    report.BARE_PLAIN: Shell("bare", "plain"),
    report.BARE_BEST: Shell("bare", "best"),
    report.SAME_PLAIN: Shell("same", "plain"),
    report.SAME_BEST: Shell("same", "best"),
}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    arguments = _arguments(argv)
    folder: Path = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    with ExitStack() as servers:
        sets = [(arguments.books, arguments.pages), (1, arguments.big_pages)]
        corpora = [servers.enter_context(served(folder, *one)) for one in sets if one[1]]
        all_seen = [Seen(len(corpus.barcodes), corpus.pages, corpus.size) for corpus in corpora]
        for number in range(arguments.rounds):
            for corpus, seen in zip(corpora, all_seen, strict=True):
                _say(f"round {number + 1} of {arguments.rounds}: {seen.books} book(s) of {seen.size:.0f} MB")
                _round(number, corpus, seen, folder, arguments)
    _print(all_seen, arguments.rounds, load)
    print("", _disk(arguments.pages, folder), sep="\n")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pipeline", description=__doc__)
    parser.add_argument("--books", type=int, default=12, help="how many books")
    parser.add_argument("--pages", type=int, default=480, help="pages of each; 480 make 35 MB")
    parser.add_argument("--big-pages", type=int, default=4100, help="pages of one more, on its own; 0: none")
    parser.add_argument("--rounds", type=int, default=3)
    layouts = {"files": ["files"], "tar": ["tar"], "both": ["files", "tar"]}
    parser.add_argument("--layout", type=layouts.__getitem__, default="both", metavar="files|tar|both")
    parser.add_argument("--brief", action="store_true", help="no bare shells, no stages one by one: half the time")
    parser.add_argument("--quick", action="store_true", help="two tiny books, one round: does the bench itself work?")
    parser.add_argument("--folder", type=Path, default=Path("bench/run"), help="on the disk to be measured")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.books, arguments.pages, arguments.big_pages, arguments.rounds = 2, 6, 0, 1
    return arguments


def _round(number: int, corpus: Corpus, seen: Seen, folder: Path, arguments: argparse.Namespace) -> None:
    """Each way once; every round begins with another one."""
    shells = {
        name: way
        for name, way in SHELLS.items()
        if (best_tools() or way.tools != "best") and not (arguments.brief and way.work == "bare")
    }
    ways = [partial(_shell, name, way, corpus, seen, folder) for name, way in shells.items()]
    ways += [partial(_whole, layout, corpus, seen, folder) for layout in arguments.layout]
    if not arguments.brief:
        ways += [partial(_apart, layout, corpus, seen, folder) for layout in arguments.layout]
    first = number % len(ways)
    for way in [*ways[first:], *ways[:first]]:
        way()


def _shell(name: str, way: Shell, corpus: Corpus, seen: Seen, folder: Path) -> None:
    seen.costs.setdefault(name, []).append(way.cost(corpus, folder / "shell"))


def _whole(layout: str, corpus: Corpus, seen: Seen, folder: Path) -> None:
    cost, idle = Pipeline(layout).whole(corpus, folder / "pipeline")
    seen.costs.setdefault(report.ours(layout), []).append(cost)
    seen.idle.setdefault(layout, []).append(idle)


def _apart(layout: str, corpus: Corpus, seen: Seen, folder: Path) -> None:
    costs, together = Pipeline(layout).apart(corpus, folder / "pipeline")
    seen.apart.setdefault(layout, []).append(costs)
    seen.together.setdefault(layout, []).append(together)


def _print(all_seen: list[Seen], rounds: int, load: float) -> None:
    cores = os.cpu_count() or 1
    print(f"Python {sys.version.split()[0]}, {cores} cores, load {load:.1f} at the start; {rounds} round(s)")
    if load > cores / 2:
        print("THE MACHINE IS BUSY: wall times are longer than they need be, and ratios noisier.")
    if not best_tools():
        print("igzip is missing, so there is no shell with the best tools: apt-get install isal")
    for seen in all_seen:
        print("", *report.table(seen), report.noise(seen), "", *report.stages(seen), sep="\n")
    print("", *report.aims(all_seen[0], all_seen[1] if len(all_seen) > 1 else None), sep="\n")


def _disk(pages: int, folder: Path) -> str:
    """What the files of one book cost here without anything in them."""
    files = 3 * pages + 2
    seconds = of_creating(files, folder)
    told = f"disk: {files:,} empty files cost {seconds:.2f} CPU s to create here, which both pay for each book"
    return f"{told}\n(0.03 for 1,442 on an ext4 with a journal; one without steps over all that was removed before)"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
