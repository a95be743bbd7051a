"""A simulated year: a million books, GRIN's limits, one to fifty nodes. What bounds, what is used, what a book costs.

Prints the tables of docs/explanation/scale.md; what is put in, with its sources, stands in year_inputs.py.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict

from tests.bench import year_inputs as given
from tests.bench.year_inputs import LINE, VOLUMES
from tests.bench.year_model import Case, Result, Year, capacities, seconds, uses

NODES = (1, 2, 5, 10, 20, 50)
_OF_NODES = ("CPU", "workers", "the nodes' network")
_USED = ("CPU", "workers", "the volume's writes", "the link from GRIN")


def main(argv: list[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="year", description=__doc__)
    parser.add_argument("--nodes", type=lambda text: tuple(map(int, text.split(","))), default=NODES)
    parser.add_argument("--json", action="store_true", help="all figures of all cases")
    arguments = parser.parse_args(argv)
    if arguments.json:
        print(json.dumps(figures(arguments.nodes), indent=1))
        return
    for title, lines in tables(arguments.nodes).items():
        print(title, "", *lines, "", sep="\n")


def figures(nodes: tuple[int, ...]) -> list[dict[str, object]]:
    """Every case and what came of it."""
    layouts = [(count, layout) for count in nodes for layout in LINE]
    cases = [Case(count, layout) for count, layout in layouts]
    cases += [Case(count, layout, volume, lifted=True) for volume in VOLUMES for count, layout in layouts]
    return [{"case": asdict(case), "result": asdict(Year(case).run())} for case in cases]


def tables(nodes: tuple[int, ...] = NODES) -> dict[str, list[str]]:
    """Each table's title and its lines."""
    return {
        "What a book takes": list(_book()),
        "With GRIN's limits": list(_limited(nodes)),
        "All converted already": list(_lifted(nodes)),
        "Where more nodes stop helping": list(_volumes()),
    }


def _book() -> Iterator[str]:
    yield "| stage | CPU s | writes | reads | MB written | MB read | worker s on EFS |"
    yield "|---|---|---|---|---|---|---|"
    for layout, stages in LINE.items():
        for took, (stage, work) in zip(seconds(layout, VOLUMES["EFS, elastic"]), stages.items(), strict=True):
            moved = f"{work.writes:,.0f} | {work.looks:,.0f} | {work.written:.0f} | {work.read:.0f}"
            yield f"| {stage}, `{layout}` | {work.cpu:.2f} | {moved} | {took:.1f} |"


def _limited(nodes: tuple[int, ...]) -> Iterator[str]:
    yield (
        "| nodes | home after a year | days for 1,000,000 | bounded by | "
        + " | ".join(f"{name} used" for name in _USED)
        + " | asked for again | USD a book: nodes always on | nodes paid while used | volume |"
    )
    yield "|---|---|---|---|" + "---|" * len(_USED) + "---|---|---|---|"
    for count in nodes:
        result = Year(Case(count)).run()
        used = " | ".join(_percent(result.used[name]) for name in _USED)
        costs = f"{result.usd_nodes:.4f} | {result.usd_nodes_paid_while_used:.5f} | {result.usd_volume:.4f}"
        home = f"{result.home_after_a_year:,.0f} | {result.days:.1f} | {_bounds(result)}"
        yield f"| {count} | {home} | {used} | {result.asked_again:,.0f} | {costs} |"


def _lifted(nodes: tuple[int, ...]) -> Iterator[str]:
    yield "| nodes | `files`: books a day | bounded by | USD, nodes | `tar`: books a day | bounded by | USD, nodes |"
    yield "|---|---|---|---|---|---|---|"
    for count in nodes:
        cells = []
        for layout in LINE:
            result = Year(Case(count, layout, lifted=True)).run()
            cells.append(f"{result.a_day:,.0f} | {_bounds(result)} | {result.usd_nodes:.5f}")
        yield f"| {count} | {' | '.join(cells)} |"


def _volumes() -> Iterator[str]:
    yield (
        "| volume | layout | most books a day | bounded by | and then by | nodes that reach it |"
        " days with GRIN's limits, one node | USD a book, volume |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, volume in VOLUMES.items():
        for layout in LINE:
            (most, bound), (_, second), *_ = ceilings(layout, name)
            result = Year(Case(1, layout, name)).run()
            price = f"{result.usd_volume:.4f}" if volume.gb_month else "yours to fill in"
            known = f"{most * given.DAY:,.0f} | {bound} | {second} | {enough(layout, name)}"
            yield f"| {name} | `{layout}` | {known} | {result.days:.0f} | {price} |"


def ceilings(layout: str, volume: str) -> list[tuple[float, str]]:
    """Books a second that each resource lets through when there are nodes beyond number, the narrowest first."""
    have = capacities(1e9, VOLUMES[volume])
    return sorted((have[name] / use, name) for name, use in uses(layout, VOLUMES[volume]).items())


def enough(layout: str, volume: str) -> int:
    """The fewest nodes that reach the narrowest of them."""
    have, use = capacities(1, VOLUMES[volume]), uses(layout, VOLUMES[volume])
    return math.ceil(ceilings(layout, volume)[0][0] / min(have[name] / use[name] for name in _OF_NODES))


def _bounds(result: Result) -> str:
    return ", ".join(f"{name} {_percent(share)}" for name, share in result.bounds.items() if share >= 0.005)


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "< 0.1%"
    return f"{share:.0%}" if share >= 0.01 or not share else f"{share:.1%}"


if __name__ == "__main__":
    main()
