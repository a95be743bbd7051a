"""The bench's figures as plain text, and the verdict on them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

from tests.bench.board_forked import Timing
from tests.bench.board_results import CONTROL, Beside, Case, Results, rate_of
from tests.bench.rivals import EVERYONE, RIVALS

KINDS = {
    "claim": "claim: one rename",
    "bare": "bare move: claim, read, rename; no ledger (a queue library's work)",
    "move": "finished move: claim, ledger line, ledger line, rename",
    "attempt": "whole attempt of a stage that does nothing",
}
_SHORT = {"bare": "bare move, no ledger", "move": "finished move"}


def ours(results: Results) -> Iterator[str]:
    """Our own rates by case and size, and how flat they are; what the control differs by is noise."""
    sizes = results.sizes
    heads = _cells((f"{size:,}" for size in sizes[1:]), 11) + f"{'noise':>9}"
    yield f"{'':27}{'CPU us each':>13}" + _cells(f"{size:,}" for size in sizes) + f"   ratio to {sizes[0]:,}: {heads}"
    kind = ""
    for case, by_size in results.ours.items():
        if case.kind != kind:
            kind = case.kind
            yield KINDS[kind]
        rates = _cells(f"{results.rate(case, size):,.0f}/s" for size in sizes)
        flat = _cells((f"{results.flatness(case, size):.2f}" for size in sizes[1:]), 11)
        noise = f"{results.flatness(case, CONTROL):.2f}"
        cpu = statistics.median(timing.cpu / timing.count for timing in by_size[sizes[-1]]) * 1e6
        gap = " " * len(f"ratio to {sizes[0]:,}: ")
        yield f"    {_workers(case):<23}{cpu:13,.0f}{rates}   {gap}{flat}{noise:>9}"


def drained(results: Results) -> Iterator[str]:
    """What a bucket costs that is half drained: its folder never shrinks on ext4."""
    heads = ("claims/s: full", "durable moves/s: full", "ms to a first claim: full")
    yield f"{'tokens':>12}{'':4}" + "".join(f"{head:>26}{'half':>10}" for head in heads)
    for size, one in results.drained.items():
        claims = f"{one.claims[0]:26,.0f}{one.claims[1]:10,.0f}"
        moves = f"{one.moves[0]:26,.0f}{one.moves[1]:10,.0f}"
        yield f"{size:>12,}{'':4}{claims}{moves}{1000 * one.first[0]:26.2f}{1000 * one.first[1]:10.2f}"


def beside(results: Results) -> Iterator[str]:
    """Ours and each library's rates, a block for each size."""
    for size, one in results.beside.items():
        workers = sorted({number for by_workers in one.theirs.values() for number in by_workers})
        heads = "".join(f"{f'get+ack/s, {number} w.':>24}" for number in workers)
        yield f"{f'{size:,} messages':<52}{'put/s':>28}{heads}{'fsyncs a put, a take':>24}"
        yield from _our_rows(results, one, workers)
        for name, by_workers in one.theirs.items():
            takes = "".join(f"{_take(by_workers.get(number)):>24}" for number in workers)
            yield f"    {name:<48}{_put(one, name):>28}{takes}{_syncs(results, name):>24}"


def _our_rows(results: Results, one: Beside, workers: list[int]) -> Iterator[str]:
    us = EVERYONE[0].name
    for kind, fsync in sorted({(case.kind, case.fsync) for case in one.ours}, reverse=True):
        label = f"{us}, {_SHORT[kind]}{'' if fsync else ', no fsync'}"
        product = (kind, fsync) == ("move", True)
        put, counts = (_put(one, us), _syncs(results, us)) if product else ("", "")
        takes = "".join(f"{_take(one.ours.get(Case(kind, number, fsync)), ''):>24}" for number in workers)
        yield f"    {label:<48}{put:>28}{takes}{counts:>24}"


def _put(one: Beside, name: str) -> str:
    rate, count = one.puts[name]
    return f"{rate:,.0f}" + ("" if count >= one.size else f" (time up at {count:,})")


def _syncs(results: Results, name: str) -> str:
    counts = results.syncs.get(name)
    return "not counted" if counts is None else f"{counts[0]:.1f}, {counts[1]:.1f}"


def _take(timings: list[Timing] | None, none: str = "one process only") -> str:
    if timings is None:
        return none
    for timing in timings:
        if timing.troubles:
            return f"{len(timing.troubles)} died: {_last_words(timing.troubles[0])}"
    doubled = sum(timing.doubled for timing in timings)
    rate = f"{rate_of(timings):,.0f}" + (f", {doubled} DOUBLED" if doubled else "")
    return rate if all(timing.complete for timing in timings) else f"{rate} (time up)"


def _last_words(trouble: str) -> str:
    return trouble.strip().rpartition("\n")[2].rpartition(": ")[2][:18]


def fates(results: Results) -> Iterator[str]:
    """What each contender does on kill -9 of a worker that holds a message."""
    notes = {one.name: one.note for one in EVERYONE}
    for name, fate in results.fates.items():
        back = f"kept: back {fate.seconds:.1f} s after the kill, by {fate.how}"
        times = f"delivered {fate.deliveries} times after the kill, " if fate.deliveries > 1 else ""
        yield f"{name:<32}{times}{back if fate.kept else 'LOST: no call gave it back'}"
        if fate.others_lost:
            yield f"{'':<32}{fate.others_lost} other messages LOST"
        taken = fate.taken_from_the_living
        yield f"{'':<32}while its worker lives: {f'GIVEN TO ANOTHER TOO by {taken}' if taken else 'left alone'}"
        yield f"{'':<32}({notes[name]})"


def aims(results: Results) -> Iterator[str]:
    """The aims for durable moves, each with what was measured."""
    cases = [case for case in results.ours if case.kind == "move" and case.fsync]
    for case in cases:
        aim = {1: 500, 8: 2_000}.get(case.workers)
        if aim is not None:
            rate = min(results.rate(case, size) for size in results.sizes)
            yield f"durable moves, {_workers(case)}, slowest size: {rate:,.0f}/s, aim {aim:,}/s: {_met(rate >= aim)}"
    if cases:
        worst = min(results.flatness(case, size) for case in cases for size in results.sizes)
        noise = min(results.flatness(case, CONTROL) for case in cases)
        said = f"{worst:.2f} of {results.sizes[0]:,}'s at worst, aim 0.90: {_met(worst >= 0.9)}"
        yield f"durable moves, flat over the sizes: {said} (two boards of the same size: {noise:.2f} at worst)"


def verdict(results: Results) -> Iterator[str]:
    """Whether our finished moves are ahead of every library that keeps a message through a kill, as durable as its."""
    shown: dict[str, float] = {}
    for rival in (one for one in RIVALS if one.name in results.fates and results.fates[one.name].kept):
        synced, name = results.is_synced(rival.name), rival.name
        move, bare, durable = (
            results.ratio(Case(*case), name) for case in (("move", 1, synced), ("bare", 1, synced), ("move", 1, True))
        )
        if move:
            shown[name] = move
            against = "" if synced else f"; our durable move against it without fsync {durable:.2f}"
            work = f"finished move, two ledger lines more than it does, {move:.2f}; the same work as it does {bare:.2f}"
            yield f"    ours : {name}, ours {'with fsync' if synced else 'without fsync as it is'}: {work}{against}"
    ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in shown.items())
    word = "yes" if min(shown.values(), default=0.0) >= 1 else "no"
    answer = f"{word} (finished moves, as durable: {ratios})" if shown else "not measured"
    yield f"ahead of every library that keeps a message through a kill: {answer}"


def _workers(case: Case) -> str:
    return f"{case.workers} worker{'s' if case.workers > 1 else ' '} {'with fsync' if case.fsync else 'no fsync'}"


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def _cells(texts: Iterable[str], width: int = 13) -> str:
    return "".join(f"{text:>{width}}" for text in texts)
