"""The bench's figures as plain text, and the verdict on them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.board_forked import Timing
from tests.bench.board_kill import Fate
from tests.bench.board_rivals import Speed
from tests.bench.rivals import EVERYONE, RIVALS, Contender

KINDS = {
    "claim": "claim: one rename",
    "bare": "bare move: claim, read, rename; no ledger (a queue library's work)",
    "move": "finished move: claim, ledger line, ledger line, rename",
    "attempt": "whole attempt of a stage that does nothing",
}


@dataclass(frozen=True, order=True)
class Case:
    """What is measured at every size."""

    kind: str
    workers: int
    fsync: bool


@dataclass
class Drained:
    """One board, full and then half drained; claims a second, moves a second, seconds to a first claim."""

    claims: tuple[float, float]
    moves: tuple[float, float]
    first: tuple[float, float]


@dataclass
class Results:
    """Everything that was measured."""

    sizes: list[int]
    ours: dict[Case, dict[int, list[Timing]]] = field(default_factory=dict)
    drained: dict[int, Drained] = field(default_factory=dict)
    speeds: dict[str, dict[int, Speed]] = field(default_factory=dict)
    syncs: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)

    def rate(self, case: Case, size: int) -> float:
        """The median rate; 0 when it was not measured."""
        timings = self.ours.get(case, {}).get(size, [])
        return statistics.median(timing.rate for timing in timings) if timings else 0.0

    def flatness(self, case: Case, size: int) -> float:
        """The rate at this size as a part of that at the smallest: the median over the passes, taken pair by pair."""
        sizes = self.ours[case]
        pairs = zip(sizes[size], sizes[self.sizes[0]], strict=True)
        return statistics.median(ours.rate / base.rate for ours, base in pairs)


def ours(results: Results) -> Iterator[str]:
    """Our own rates by case and size, and how flat they are."""
    sizes = results.sizes
    yield f"{'':34}{'':9}" + _cells(f"{size:,}" for size in sizes) + "   ratio to " + f"{sizes[0]:,}"
    kind = ""
    for case in results.ours:
        if case.kind != kind:
            kind = case.kind
            yield KINDS[kind]
        rates = _cells(f"{results.rate(case, size):,.0f}/s" for size in sizes)
        flat = _cells((f"{results.flatness(case, size):.2f}" for size in sizes[1:]), 7)
        plural = "workers" if case.workers > 1 else "worker "
        synced = "with fsync" if case.fsync else "no fsync"
        cpu = statistics.median(t.cpu / t.count for t in results.ours[case][sizes[-1]]) * 1e6
        yield f"    {case.workers} {plural} {synced:<11}{cpu:6,.0f} us CPU each {rates}   {flat}"


def drained(results: Results) -> Iterator[str]:
    """What a bucket costs that is half drained: its folder never shrinks on ext4."""
    yield f"{'':20}{'claims/s':>22}{'durable moves/s':>24}{'ms to a first claim':>26}"
    for size, one in results.drained.items():
        pairs = (one.claims, one.moves, tuple(1000 * value for value in one.first))
        shown = (
            f"{full:>11,.{digits}f}{half:>11,.{digits}f}" for (full, half), digits in zip(pairs, (0, 0, 2), strict=True)
        )
        yield f"{size:>12,} full, half  " + "  ".join(shown)


def speeds(results: Results, workers: Sequence[int]) -> Iterator[str]:
    """Each contender's rates by size."""
    heads = "".join(f"{f'get+ack/s, {number}':>26}" for number in workers)
    yield f"{'':32}{'messages':>10}{'put/s':>24}{heads}   fsyncs a put, a take"
    for name, by_size in results.speeds.items():
        synced = results.syncs.get(name)
        counts = "not counted (no strace)" if synced is None else f"{synced[0]:.1f}, {synced[1]:.1f}"
        for size, one in by_size.items():
            put = f"{one.put:,.0f}" + ("" if one.put_done >= size else f" (time up at {one.put_done:,})")
            takes = "".join(f"{_take(one.takes.get(number)):>26}" for number in workers)
            yield f"{name:<32}{size:>10,}{put:>24}{takes}   {counts}"


def _take(timing: Timing | None) -> str:
    if timing is None:
        return "one process only"
    if timing.troubles:
        return f"{len(timing.troubles)} died: {_last_words(timing.troubles[0])}"
    rate = f"{timing.rate:,.0f}" + (f", {timing.doubled} DOUBLED" if timing.doubled else "")
    return rate if timing.complete else f"{rate} (time up)"


def _last_words(trouble: str) -> str:
    return trouble.strip().rpartition("\n")[2].rpartition(": ")[2][:18]


def fates(results: Results) -> Iterator[str]:
    """What each contender does on kill -9 of a worker that holds a message."""
    notes = {one.name: one.note for one in EVERYONE}
    for name, fate in results.fates.items():
        back = f"kept: back {fate.seconds:.1f} s after the kill, by {fate.how}"
        yield f"{name:<32}{back if fate.kept else 'LOST: no call gave it back'}"
        yield f"{'':<32}delivered after the kill: {fate.deliveries} times; others lost: {fate.others_lost}"
        taken = fate.taken_from_the_living
        yield f"{'':<32}while its worker lives: {f'GIVEN TO ANOTHER TOO by {taken}' if taken else 'left alone'}"
        yield f"{'':<32}({notes[name]})"


def verdict(results: Results) -> Iterator[str]:
    """Whether we are ahead of every library that keeps a message through a kill, with equal durability."""
    shown, behind = [], False
    for rival in (one for one in RIVALS if one.name in results.fates and results.fates[one.name].kept):
        synced = (results.syncs.get(rival.name) or (0.0, 0.0))[1] >= 0.5
        move, bare, durable = (
            _ratio(results, rival, Case(*case))
            for case in (("move", 1, synced), ("bare", 1, synced), ("move", 1, True))
        )
        if move and bare:
            behind = behind or bare < 1
            shown.append(f"{rival.name} {bare:.2f}")
            against = "" if synced else f"; our durable move against it without fsync {durable:.2f}"
            how = "both with fsync" if synced else "both without fsync"
            work = f"the same work {bare:.2f}, with our two ledger lines {move:.2f}"
            yield f"    ours : {rival.name}, {how}: {work}{against}"
    answer = ("no" if behind else "yes") if shown else "not measured"
    ratios = f" (same work, same durability: {', '.join(shown)})" if shown else ""
    yield f"ahead of every library that keeps a message through a kill: {answer}{ratios}"


def _ratio(results: Results, rival: type[Contender], case: Case) -> float:
    """The smallest over the sizes that both were measured at, one worker each; 0 when there is none."""
    found = []
    for size, one in results.speeds.get(rival.name, {}).items():
        theirs, mine = one.takes.get(1), results.rate(case, size)
        if theirs is not None and theirs.rate and mine:
            found.append(mine / theirs.rate)
    return min(found, default=0.0)


def aims(results: Results) -> Iterator[str]:
    """The aims for durable moves, each with what was measured."""
    cases = [case for case in results.ours if case.kind == "move" and case.fsync]
    for case in cases:
        aim = {1: 500, 8: 2_000}.get(case.workers)
        if aim is not None:
            rate = min(results.rate(case, size) for size in results.sizes)
            met = "met" if rate >= aim else "MISSED"
            yield f"durable moves, {case.workers} worker(s), slowest size: {rate:,.0f}/s, aim {aim:,}/s: {met}"
    if cases:
        worst = min(results.flatness(case, size) for case in cases for size in results.sizes)
        met = "met" if worst >= 0.9 else "MISSED"
        yield f"durable moves, any number of workers, flat over the sizes: {worst:.2f} at worst, aim 0.90: {met}"


def as_json(results: Results, versions: Mapping[str, str]) -> dict[str, object]:
    """All of it for a program."""
    return {
        "versions": dict(versions),
        "ours": [
            {"kind": c.kind, "workers": c.workers, "fsync": c.fsync, "size": size, "passes": [vars(t) for t in timings]}
            for c, sizes in results.ours.items()
            for size, timings in sizes.items()
        ],
        "half_drained": {size: vars(one) for size, one in results.drained.items()},
        "speeds": {name: [_speed(one) for one in sizes.values()] for name, sizes in results.speeds.items()},
        "fsyncs": results.syncs,
        "kill": {name: vars(fate) for name, fate in results.fates.items()},
        "left_out": results.left_out,
    }


def _speed(one: Speed) -> dict[str, object]:
    return {**vars(one), "takes": {workers: vars(timing) for workers, timing in one.takes.items()}}


def _cells(texts: Iterable[str], width: int = 12) -> str:
    return "".join(f"{text:>{width}}" for text in texts)
