"""In what order the bench measures: always in turn, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from itertools import product
from pathlib import Path

from tests.bench.board_fill import Filled
from tests.bench.board_kill import fate
from tests.bench.board_moves import first_claim, measure
from tests.bench.board_results import CONTROL, Beside, Case, Drained, Results
from tests.bench.board_rivals import Queue, queue, syncs
from tests.bench.rivals import EVERYONE

_BEGAN = time.monotonic()
# What a kind costs decides how much of it is measured.
_PART = {"claim": 1.0, "bare": 0.5, "move": 1.0, "attempt": 0.34}
# How often ours and the libraries take their turns at one size.
_PASSES = 3


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {text}", file=sys.stderr, flush=True)


class Run:
    """One run of the bench in a folder of its own."""

    def __init__(self, arguments: argparse.Namespace, results: Results, folder: Path) -> None:
        self.arguments = arguments
        self.results = results
        self.folder = folder
        self.beside = [size for size in arguments.rival_sizes if size not in results.left_out]
        self.boards: dict[int, Filled] = {}

    def all(self) -> None:
        """Every part that was asked for."""
        parts = self.arguments.parts
        if "ours" in parts:
            self._open([CONTROL, *self.results.sizes])
            for number in range(self.arguments.rounds):
                self._round(number + 1)
        if "rivals" in parts:
            self._open(self.beside)
            for size in self.beside:
                self._beside(size)
            for contender in EVERYONE:
                say(f"{contender.name}: counting fsync")
                self.results.syncs[contender.name] = syncs(contender, self.folder / "syncs")
        if "ours" in parts:
            for size in self.results.sizes:
                self._half_drain(size)
        if "kill" in parts:
            self._kill()

    def _open(self, keys: list[int]) -> None:
        for key in keys:
            if key not in self.boards:
                size = self.results.sizes[0] if key == CONTROL else key
                say(f"filling a board with {size:,} tokens")
                filled = self.boards[key] = Filled(self.folder / f"board{key}", size)
                filled.root.mkdir()
                filled.prepare()
                filled.fill()

    # --- ours ---

    def _round(self, number: int) -> None:
        chunk = max(1, min(self.arguments.moves, self.results.sizes[0] // 2))
        for kind, workers, fsync in product(_PART, self.arguments.workers, (True, False)):
            if (kind == "claim" and fsync) or (kind == "bare" and workers > 1):
                continue
            case = Case(kind, workers, fsync)
            say(f"round {number}: {kind}, {workers} worker(s), {'with' if fsync else 'no'} fsync")
            for turn in range(max(1, round(self.arguments.moves * _PART[kind] / chunk))):
                self._turn(case, chunk, backwards=bool(turn % 2))

    def _turn(self, case: Case, chunk: int, *, backwards: bool) -> None:
        """The same on every board, one after the other."""
        keys = [CONTROL, *self.results.sizes]
        for key in reversed(keys) if backwards else keys:
            timing = measure(self.boards[key], case.kind, case.workers, chunk, fsync=case.fsync)
            self.results.ours.setdefault(case, {}).setdefault(key, []).append(timing)

    def _half_drain(self, size: int) -> None:
        say(f"half draining {size:,} tokens")
        filled, one = self.boards[size], self.results.drained.setdefault(size, Drained())
        total = max(1, min(self.arguments.moves, size // 8))
        for half in (False, True):
            if half:
                filled.half_drain()
            one.first.append(statistics.median(first_claim(filled) for _ in range(5)))
            one.claims.append(measure(filled, "claim", 1, total, fsync=False).rate)
            one.moves.append(measure(filled, "move", 1, total, fsync=True).rate)

    # --- the libraries ---

    def _beside(self, size: int) -> None:
        place, one = self.folder / f"rivals-{size}", Beside(size)
        self.results.beside[size] = one
        queues = []
        for contender in EVERYONE:
            say(f"{contender.name}: putting {size:,} messages")
            queues.append(queue(contender, place / contender.__name__, size, self.arguments.bound))
        os.sync()
        one.puts = {each.contender.name: (each.rate, each.count) for each in queues}
        for number in range(_PASSES):
            say(f"{size:,} messages, ours and the libraries in turn: pass {number + 1} of {_PASSES}")
            self._pass(one, queues[1:])
        shutil.rmtree(place)

    def _pass(self, one: Beside, queues: list[Queue]) -> None:
        """The same number of messages from our board and from each queue, at most so many seconds."""
        workers = sorted({1, max((number for number in self.arguments.workers if number <= 4), default=1)})
        share = 2 + _PASSES * len(workers)
        most = max(1, min(self.arguments.moves // _PASSES, one.size // share))
        for kind, number, fsync in product(("move", "bare"), workers, (True, False)):
            timing = measure(self.boards[one.size], kind, number, most, fsync=fsync)
            one.ours.setdefault(Case(kind, number, fsync), []).append(timing)
        for each in queues:
            total = max(1, min(most, each.count // share))
            for number in workers if each.contender.processes else [1]:
                timing = each.take(number, total, self.arguments.bound / _PASSES)
                one.theirs.setdefault(each.contender.name, {}).setdefault(number, []).append(timing)

    def _kill(self) -> None:
        for contender in EVERYONE:
            say(f"{contender.name}: kill -9 of a worker that holds a message")
            self.results.fates[contender.name] = fate(contender, self.folder / f"kill-{contender.__name__}")
