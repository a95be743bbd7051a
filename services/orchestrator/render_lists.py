"""What a person reads of causes, workers and ages: tables and blocks of lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common import board
from services.orchestrator.causes import Cause
from services.orchestrator.crew import Hand
from services.orchestrator.render import plain, short, span
from services.orchestrator.shape import COLUMNS, MINUTES, Ages

# So many books are named of each cause; --json names some more.
_NAMED = 3
_NO_REASON = "No reason is known: whoever put them there left none."


# --- failed ---------------------------------------------------------------------------------------------------------


def cause(one: Cause, now: float) -> Iterator[str]:
    """A cause as lines: how often and why, what to do, which books, and the command that lets them go on."""
    figure = f"{one.count:>7,}  "
    blank = " " * len(figure)
    yield figure + short(one.reason or _NO_REASON)
    if one.cure:
        yield f"{blank}What to do: {short(one.cure)}"
    named = ", ".join(one.barcodes[:_NAMED])
    more = f" and {one.count - _NAMED:,} more" if one.count > _NAMED else ""
    when = now - one.since
    # Of those that are deferred the mtime is when they are due.
    since = f"the first {span(when)} ago" if when >= 0 else f"the first is due in {span(-when)}"
    yield f"{blank}{named}{more}, in {' and '.join(one.buckets)}, {since}"
    command = retry(one)
    if command:
        others = f"   # and {one.others:,} of other causes" if one.others and "--reason" in command else ""
        yield f"{blank}{command}{others}"


def retry(one: Cause) -> str:
    """The command that lets the books of a cause go on; empty when there is no single one."""
    name = "release" if set(one.states) == {board.HELD} else "retry"
    # What cannot be shown cannot be typed.
    if one.match and one.match.isprintable() and one.count > _NAMED:
        return f"grin-pipeline {name} --reason {shlex.quote(one.match)}"
    if one.count <= len(one.barcodes):
        return f"grin-pipeline {name} {' '.join(shlex.quote(barcode) for barcode in one.barcodes)}"
    return ""


def by_stage(name: str, stage: str, causes: Sequence[Cause]) -> Iterator[str]:
    """The causes of one bucket's failed books, as lines."""
    total = sum(one.buckets[name] for one in causes)
    yield f"{plain(stage or 'no stage')}, {plain(name)}: {total:,}"
    for one in sorted(causes, key=lambda each: -each.buckets[name]):
        yield f"{one.buckets[name]:>7,}  {short(one.reason or _NO_REASON)}"


# --- shape ----------------------------------------------------------------------------------------------------------


def shape(rows: Sequence[Ages], states: Sequence[str]) -> RenderableType:
    """The ages as a table that a terminal of 80 has room for."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    table.title = Text(f"{' and '.join(states).capitalize()}, by age: up to so many minutes")
    table.add_column("bucket", no_wrap=True)
    table.add_column("total", justify="right")
    for column in COLUMNS:
        table.add_column(column.removeprefix("<"), justify="right", no_wrap=True)
    table.add_column("oldest", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_ages(row.bucket, row.counts, row.oldest))
    if len(rows) > 1:
        table.add_section()
        counts = [sum(figures) for figures in zip(*(row.counts for row in rows), strict=True)]
        oldest = max((row.oldest for row in rows if row.oldest is not None), default=None)
        table.add_row(*_ages("all", counts, oldest))
    return table


def _ages(name: str, counts: Sequence[int], oldest: float | None) -> list[Text]:
    figures = [f"{sum(counts)}" if any(counts) else "·", *(_figure(count) for count in counts)]
    styles = ("bold", *("yellow" if at >= len(MINUTES) - 2 else "" for at in range(len(counts))))
    cells = [Text(figure, style=style) for figure, style in zip(figures, styles, strict=True)]
    return [Text(plain(name)), *cells, Text("" if oldest is None else span(oldest))]


def _figure(count: int) -> str:
    """So many tokens in five signs."""
    return f"{count // 1000}k" if count >= 10_000 else str(count or "·")


# --- workers --------------------------------------------------------------------------------------------------------


def workers(hands: Sequence[Hand]) -> RenderableType:
    """Who works, and on what; below the table a sentence for each that does not."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("stage", "host", "pid", "state", "book", "for", "heartbeat", "version"):
        right = column in ("pid", "for", "heartbeat")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for hand in hands:
        table.add_row(
            *(Text("\n".join(map(plain, cell.split("\n")))) for cell in _cells(hand)), style="" if hand.alive else "red"
        )
    notes = [Text(short(note, 1200), style="yellow") for hand in hands for note in _notes(hand)]
    return Group(table, *notes)


def _cells(hand: Hand) -> list[str]:
    facts = [str(hand.facts.get(name) or "") for name in ("stage", "host", "pid", "version")]
    books = "\n".join(hold.barcode for hold in hand.holds)
    spans = "\n".join(span(hold.seconds) for hold in hand.holds)
    beat = "none" if hand.age is None else f"{span(max(0.0, hand.age))} ago"
    return [*facts[:3], _state(hand), books, spans, beat, facts[3]]


def _state(hand: Hand) -> str:
    if not hand.alive:
        return "dead"
    states = {"halted": hand.facts.get("halted"), "paused": hand.paused, "limited": hand.facts.get("limited")}
    at_work = "runs" if hand.facts.get("stage") == "orchestrator" else "works" if hand.holds else "idle"
    return next((name for name, holds in states.items() if holds), at_work)


def _notes(hand: Hand) -> Iterable[str]:
    if hand.fate:
        yield f"{hand.worker}: {hand.fate}."
    elif hand.facts.get("halted"):
        yield f"{hand.worker} has halted: {hand.facts['halted']} {hand.facts.get('cure') or ''}".rstrip()
    elif hand.facts.get("limited"):
        yield f"{hand.worker} waits, because {hand.facts['limited']}."
