"""What the pipeline's bench has seen, as tables and as answers to what is aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.costs import Cost

SAME_BEST, SAME_PLAIN = "shell, same work, best tools", "shell, same work, plain tools"
BARE_BEST, BARE_PLAIN = "shell, bare, best tools", "shell, bare, plain tools"
IDLE = "start and end without a book"
_AIMS = (
    # layout, against, what, at most
    ("files", SAME_BEST, "cpu", 1.15),
    ("files", SAME_PLAIN, "cpu", 0.45),
    ("tar", SAME_BEST, "cpu", 0.75),
    ("files", SAME_BEST, "wall", 1.0),
    ("tar", SAME_BEST, "wall", 1.0),
)
_MEMORY = 120.0


@dataclass
class Seen:
    """All rounds over one set of books; `size` is the mean of their archives, in MB."""

    books: int
    pages: int
    size: float
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    idle: dict[str, list[Cost]] = field(default_factory=dict)
    """By layout: a run that finds nothing to do."""
    apart: dict[str, list[dict[str, Cost]]] = field(default_factory=dict)
    """By layout, for each round: what each stage has cost."""
    together: dict[str, list[float]] = field(default_factory=dict)
    """By layout, for each round: the most memory of all processes at once, in MB."""


def ours(layout: str) -> str:
    """What a row of the pipeline is called."""
    return f"pipeline, layout: {layout}"


def table(seen: Seen) -> Iterator[str]:
    """A row for each way to do it."""
    yield f"{seen.books} book(s) of {seen.size:.1f} MB encrypted, {seen.pages} pages"
    heads = f"{'CPU/book':>9} {'user':>6} {'sys':>6} {'wall s':>7} {'book/min':>8} {'MB':>5}"
    yield f"{'':<32} {heads}   CPU: of same best, same plain   wall: of same best"
    for name, costs in seen.costs.items():
        yield _row(seen, name, costs)
    for layout, idle in seen.idle.items():
        bare = [less(whole, start) for whole, start in zip(seen.costs[ours(layout)], idle, strict=True)]
        yield _row(seen, f"  the same without {IDLE.split(' without', maxsplit=1)[0]}", bare)
        yield f"{f'  {IDLE}, all of it':<32} {_median(idle, 'cpu'):9.2f} CPU s, {_median(idle, 'wall'):.1f} s"


def less(whole: Cost, start: Cost) -> Cost:
    """A run's cost without that of one that found nothing to do."""
    return Cost(whole.user - start.user, whole.system - start.system, whole.wall - start.wall, whole.memory)


def stages(seen: Seen) -> Iterator[str]:
    """A row for each stage: its own processes' cost, its start among it."""
    for layout, rounds in seen.apart.items():
        yield f"each stage as a process of its own, layout: {layout}, {seen.books} book(s) of {seen.size:.0f} MB"
        yield f"{'':<32} {'CPU/book':>9} {'user':>6} {'sys':>6} {'busy s/book':>12} {'MB':>5}"
        for name in rounds[0]:
            costs = [one[name] for one in rounds]
            figures = [_median(costs, key) / seen.books for key in ("cpu", "user", "system", "wall")]
            cells = f"{figures[0]:9.3f} {figures[1]:6.3f} {figures[2]:6.3f} {figures[3]:12.3f}"
            yield f"  {name:<30} {cells} {_median(costs, 'memory'):5.0f}"
        whole = statistics.median(sum(cost.cpu for cost in one.values()) for one in rounds) / seen.books
        yield f"  {'all of them':<30} {whole:9.3f} {'':>26} {statistics.median(seen.together[layout]):5.0f}"


def aims(small: Seen, big: Seen | None) -> Iterator[str]:
    """What is aimed at, what was seen, and whether that is met; spreads are the least and the most of all rounds."""
    for layout, against, what, most in _AIMS:
        if ours(layout) in small.costs and against in small.costs:
            found = ratios(small.costs[ours(layout)], small.costs[against], what)
            middle = statistics.median(found)
            said = f"{middle:.2f} ({min(found):.2f} to {max(found):.2f})"
            yield f"{what} of layout: {layout} / {against}: {said}, at most {most:g}: {_verdict(middle <= most)}"
    for layout, rounds in big.apart.items() if big else ():
        name, memory = max(
            ((name, cost.memory) for one in rounds for name, cost in one.items() if name != "up"),
            key=lambda pair: pair[1],
        )
        said = f"{memory:.0f} MB ({name})"
        yield f"memory of a stage, layout: {layout}: {said}, at most {_MEMORY:g}: {_verdict(memory <= _MEMORY)}"


def noise(seen: Seen) -> str:
    """How far the rounds lie apart."""
    spreads = {
        what: max(_spread([getattr(cost, what) for cost in costs]) for costs in seen.costs.values())
        for what in ("cpu", "user", "wall")
    }
    told = ", ".join(f"{what} {spread:.0%}" for what, spread in spreads.items())
    return f"noise: the rounds of one row differ by up to {told} of their median"


def ratios(costs: list[Cost], others: list[Cost], what: str) -> list[float]:
    """Round by round."""
    return [getattr(cost, what) / getattr(other, what) for cost, other in zip(costs, others, strict=True)]


def _row(seen: Seen, name: str, costs: list[Cost]) -> str:
    cpu, user, system = (_median(costs, key) / seen.books for key in ("cpu", "user", "system"))
    wall, memory = _median(costs, "wall"), _median(costs, "memory")
    figures = f"{cpu:9.2f} {user:6.2f} {system:6.2f} {wall:7.1f} {seen.books / wall * 60:8.0f} {memory:5.0f}"
    beside = [_ratio(costs, seen, SAME_BEST, "cpu"), _ratio(costs, seen, SAME_PLAIN, "cpu")]
    return f"{name:<32} {figures}   {beside[0]:>17} {beside[1]:>11}   {_ratio(costs, seen, SAME_BEST, 'wall'):>18}"


def _ratio(costs: list[Cost], seen: Seen, against: str, what: str) -> str:
    """The median of the rounds' ratios; empty where the other was not run."""
    if against not in seen.costs:
        return ""
    return f"{statistics.median(ratios(costs, seen.costs[against], what)):.2f}"


def _median(costs: list[Cost], key: str) -> float:
    return statistics.median(getattr(cost, key) for cost in costs)


def _spread(values: list[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"
