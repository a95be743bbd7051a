"""The storm's command line: a line a seed, a summary, exit code 1 when anything was violated."""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.board.storm.harness import WITHOUT
from tests.board.storm.oracle import Verdict
from tests.board.storm.storm import Plan, Storm


def main(argv: Sequence[str] | None = None) -> int:
    """Run one storm a seed."""
    arguments = _parser().parse_args(argv)
    # Shared pages stay shared in the workers that are forked from here.
    gc.freeze()
    verdicts = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        verdict = _one(arguments, seed)
        verdicts.append(verdict)
        print(f"seed {seed}: {verdict.line()}", *verdict.wrong(), sep="\n    ", flush=True)
    print(_summary(verdicts))
    return int(any(verdict.wrong() for verdict in verdicts))


def _one(arguments: argparse.Namespace, seed: int) -> Verdict:
    """A storm in a folder of its own, which stays when something is wrong with it."""
    plan = Plan(
        books=arguments.books,
        kills=arguments.kills,
        pauses=arguments.pauses,
        stages=arguments.stages,
        workers=arguments.workers,
        seed=seed,
        reap_after=arguments.reap_after,
        without=arguments.without,
    )
    folder = Path(tempfile.mkdtemp(prefix="storm-", dir=arguments.folder))
    verdict = Storm(folder, plan).run()
    if verdict.wrong() and not arguments.without:
        print(f"seed {seed}: everything is kept in {folder}")
    else:
        shutil.rmtree(folder)
    return verdict


def _summary(verdicts: list[Verdict]) -> str:
    def total(name: str) -> int:
        return sum(int(getattr(verdict, name)) for verdict in verdicts)

    good = sum(not verdict.wrong() for verdict in verdicts)
    return (
        f"{len(verdicts)} seeds, {total('books')} books, {total('blows')} kills and pauses: "
        f"lost {total('lost') + total('stuck')}, doubled {total('doubled')}, torn {total('torn')}, "
        f"inodes changed {total('changed')}, repeated {total('repeated')}; {good} of {len(verdicts)} seeds good"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.board.storm", description=__doc__)
    parser.add_argument("--books", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1_000, help="kill -9 of workers and reapers, a seed")
    parser.add_argument("--pauses", type=int, default=40, help="SIGSTOP past reap_after, then SIGCONT, a seed")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--stages", type=int, default=5, choices=range(3, 10), metavar="3-9")
    parser.add_argument("--workers", type=int, default=2, help="workers a stage")
    parser.add_argument("--reap-after", type=float, default=1.0, help="seconds of silence after which one is dead")
    parser.add_argument("--folder", help="where the boards are made, instead of the temporary folder")
    parser.add_argument("--without", default="", choices=list(WITHOUT), help="take this protection away")
    return parser


if __name__ == "__main__":
    sys.exit(main())
