"""What a person reads: tables on a terminal, plain lines in a pipe. Colours respect NO_COLOR."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from common import audit, board
from services.orchestrator.view import Row

_SIZES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_OUTSIDE = (
    "  From outside: `docker compose port orchestrator 8080`, or `kubectl port-forward deployment/orchestrator 8080`, "
    "for the board's."
)
# What errors say for a stage, which tries again: alone, behind another sentence, or within one.
_BY_ITSELF = re.compile(r"[;,] (?:the|this) \w+ goes on by itself(?=\.)|(?:^| )The \w+ goes on by itself\.")
_BY_ITSELF_WHEN = re.compile(r"(?:^|(?<= ))The \w+ goes on by itself(?= when )")
_COLOURS = {"working": "cyan", "deferred": "yellow", "failed": "red", "held": "magenta"}


def plain(text: str) -> str:
    """One line that a terminal only shows: reasons hold words of gpg and names from archives, which may be hostile."""
    return "".join(char if char.isprintable() else " " if char.isspace() else ascii(char)[1:-1] for char in text)


def short(text: str, most: int = 600) -> str:
    """The same, of a length that a list can bear; `show` and --json have all of it."""
    line = plain(text)
    return line if len(line) <= most else f"{line[: most - 2]} …"


def of_a_command(text: str) -> str:
    """What an error says, for a command: it ends, and does not go on by itself as a stage does."""
    return _BY_ITSELF_WHEN.sub("Try again", _BY_ITSELF.sub("", text)).strip()


class PipeConsole(Console):
    """A console whose reader may leave: rich would end the process with an error of its own."""

    def on_broken_pipe(self) -> None:
        """Let the caller know."""
        raise BrokenPipeError


def as_text(what: RenderableType) -> str:
    """The same without colours, for whoever is no terminal."""
    console = Console(file=io.StringIO(), width=120, highlight=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def span(seconds: float | None) -> str:
    """A length of time as a person says it: 42 s, 7.5 min, 35 min, 3.5 h, 12 d."""
    if seconds is None:
        return "unknown"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            figure = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{figure if seconds < 10 * size else round(seconds / size)} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes as a person says them: 3.2 GB."""
    unit, step = next((pair for pair in _SIZES if count >= pair[1]), ("bytes", 1.0))
    return f"{count / step:.3g} {unit}"


def span_between(low: float, high: float) -> str:
    """Two lengths of time as a range: 3.1 to 4 h, 50 min to 2.5 h; as one when they hardly differ: about 7 min."""
    first, last = span(low), span(high)
    if high < 1.05 * low or first == last:
        return f"about {last}"
    return f"{first.split()[0] if first.split()[-1] == last.split()[-1] else first} to {last}"


def status(facts: dict[str, Any]) -> RenderableType:
    """The board as a table, then what a person must know."""
    # Two blanks between columns: the board of a whole line fits a terminal of 80.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    table.title = Text(f"Board {plain(facts['board'])}")
    table.add_column("bucket", no_wrap=True)
    for state in board.STATES:
        table.add_column(state, justify="right", style=_COLOURS.get(state, ""))
    table.add_column("oldest", justify="right")
    table.add_column("workers", no_wrap=True)
    stages = {stage["input"]: stage for stage in facts["stages"]}
    for bucket in facts["buckets"]:
        figures = [str(bucket[state] or "·") for state in board.STATES]
        oldest = "" if bucket["oldest_seconds"] is None else span(bucket["oldest_seconds"])
        cells = (plain(bucket["name"]), *figures, oldest, _stage(stages.get(bucket["name"])))
        table.add_row(*(Text(cell) for cell in cells))
    parts: list[RenderableType] = [
        table,
        *_flows(facts["stages"]),
        Text("\n".join(short(line, 1200) for line in notes(facts))),
    ]
    # A blank line between them.
    return Group(*[part for each in parts for part in (each, Text(""))][:-1])


def _flows(stages: Sequence[dict[str, Any]]) -> list[Table]:
    """A table of what passes each stage, where somebody watches that."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("stage", no_wrap=True)
    for column in ("books/h, 15 min", "bytes/h", "books/h, 24 h", "bytes/h"):
        table.add_column(column, justify="right")
    for stage in stages:
        if stage["flow"]:
            cells = (_figure(name, figure) for name, figure in stage["flow"].items())
            table.add_row(Text(plain(stage["name"])), *cells)
    return [table] if table.rows else []


def _figure(name: str, figure: float | None) -> str:
    if figure is None:
        return "unknown"
    return size(figure) if name.startswith("bytes") else f"{figure:,.0f}" if figure >= 10 else f"{figure:.2g}"


def notes(facts: dict[str, Any]) -> list[str]:
    """Sentences below the table: progress, halts, failures."""
    rate = facts["books_per_hour"]
    dropped = f", {facts['dropped']} dropped" if facts.get("dropped") else ""
    lines = [f"{facts['done']} done, {facts['left']} on their way, {facts['failed']} failed{dropped}."]
    if facts["left"] and any(stage["workers"] for stage in facts["stages"]):
        lines.append(f"{rate:,.0f} books an hour, {_eta(facts)}." if rate else "No throughput to reckon with yet.")
    limit = (facts.get("limit") or {}).get("why", "")
    for stage in facts["stages"]:
        if stage["halted"]:
            lines.append(f"{stage['name']} has halted: {stage['halted']} {stage['cure'] or ''}".rstrip())
        if stage["limited"] and not limit.startswith(f"{stage['name']} waits"):
            lines.append(f"{stage['name']} waits, because {stage['limited']}.")
        if stage["paused"]:
            lines.append(audit.pause_sentence(stage["name"], stage.get("pause") or {}))
    lines += [f"What limits the line: {limit}"] if limit else []
    lines += grin(facts.get("grin") or {})
    if facts["failed"]:
        lines.append(
            "`grin-pipeline failed --by reason` says why, and what to do; `grin-pipeline show BARCODE` tells all."
        )
    return lines


def _eta(facts: dict[str, Any]) -> str:
    """How long it will still take; where nobody watches each stage only the last one's pace is known."""
    if any(stage["flow"] for stage in facts["stages"]):
        between = facts["eta_seconds_range"]
        return f"{span_between(*between)} to go" if between else "time to go not known yet"
    return f"about {span(facts['eta_seconds'])} to go"


def grin(known: Mapping[str, Any]) -> list[str]:
    """Sentences about GRIN's lists, as a running orchestrator knows them."""
    lists = known.get("lists")
    words = {"available": "available", "in_process": "in process", "converted": "converted", "failed": "failed"}
    counts = [f"{lists[name]:,} {word}" for name, word in words.items() if name in lists] if lists else []
    newer = known.get("new_versions")
    versions = f" {newer:,} delivered {'book has' if newer == 1 else 'books have'} a newer version." if newer else ""
    lines = [f"At GRIN: {', '.join(counts)}.{versions}"] if counts else []
    return [*lines, *([str(known["trouble"])] if known.get("trouble") else [])]


def _stage(stage: dict[str, Any] | None) -> str:
    if stage is None:
        return ""
    count = len(stage["workers"])
    state = "halted" if stage["halted"] else "paused" if stage["paused"] else count
    return f"{stage['name']} ({state})"


def metrics(facts: dict[str, Any]) -> list[str]:
    """Where every process of the board serves its metrics; and how one gets there from outside of containers."""
    found = [("the board", [one["metrics"] for one in facts["orchestrators"] if one["metrics"]])]
    found += [(stage["name"], [w["metrics"] for w in stage["workers"] if w["metrics"]]) for stage in facts["stages"]]
    lines = [f"  {name:<14} {'  '.join(urls)}" for name, urls in found if urls]
    if all("//127.0.0.1:" in url for _, urls in found for url in urls):
        return ["Metrics:", *lines] if lines else []
    return ["Metrics, by the names that processes and containers have among themselves:", *lines, _OUTSIDE]


def ls(rows: Iterable[Row], console: Console) -> int:
    """A line a token, streamed; how many there were."""
    count = 0
    for row in rows:
        tries = f"{row.attempts} attempt{'s' * (row.attempts != 1)}" if row.attempts else ""
        # A terminal of 80 has no room for the time, and a script no use for the span alone.
        since = f"{row_span(row):<9}" if console.is_terminal else f"{row.since}  {row_span(row):<9}"
        parts = [f"{row.bucket:<14}", f"{row.state:<8}", f"{row.barcode:<18}", since, tries, row.worker or ""]
        why = f"{row.reason} → {row.cure}" if row.cure else row.reason
        line = plain("  ".join(part for part in (*parts, short(why, 1200)) if part)).rstrip()
        console.print(Text(line, style=_COLOURS.get(row.state, "")), soft_wrap=True)
        count += 1
    return count


def row_span(row: Row) -> str:
    """How long a token has been where it is, or when it is due."""
    return span(row.seconds) if row.seconds >= 0 else f"in {span(-row.seconds)}"


def failures(rows: Iterable[Row]) -> list[str]:
    """Each failed book: where, why, and what to do."""
    lines = []
    for row in rows:
        lines.append(short(f"  {row.barcode}  in {row.bucket}: {row.reason}"))
        if row.cure:
            lines.append(short(f"      What to do: {row.cure}"))
    return lines
