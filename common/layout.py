"""How the stages of a configuration hang together: what must hold for their names, buckets and file systems.

Works on the rows as they stand in the file, so that a wrong type in one row hides nothing about the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.yaml_lines import Problem

RESERVED = frozenset({"ledger", "workers", "paused", "logs", "seeding", "dropped", "grin"})


@dataclass(frozen=True)
class Link:
    """One stage as an edge from bucket to bucket, and its place in the list."""

    index: int
    name: str
    input: Path
    output: Path

    def pipes(self) -> Iterator[tuple[str, Path]]:
        """Both buckets with their keys."""
        yield "input_pipe", self.input
        yield "output_pipe", self.output

    def problem(self, key: str, text: str) -> Problem:
        """A problem with a key of this row."""
        return Problem(("filters", self.index, key), f"`filters[{self.index}].{key}` {text}")


def absolute(path: str | Path, base: Path) -> Path:
    """The path, relative to `base`, without dots; links are left as they are."""
    return Path(os.path.abspath(base / Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links


def links(rows: Any, base: Path) -> list[Link]:
    """The rows that have a name and both pipes; what others lack is told by the types."""
    found = []
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        keys = [row.get(key) if isinstance(row, Mapping) else None for key in ("name", "input_pipe", "output_pipe")]
        if all(isinstance(key, str) and key for key in keys):
            name, source, target = map(str, keys)
            found.append(Link(index, name, absolute(source, base), absolute(target, base)))
    return found


def layout_problems(line: Sequence[Link], pipeline_dir: Path | None) -> Iterator[Problem]:
    """All that is wrong with the line as a whole; `pipeline_dir` is None where the file does not say it."""
    yield from _twice(line)
    yield from _circles(line)
    board = pipeline_dir or (line[0].input.parent if line else None)
    if board is not None:
        yield from _outside(line, board, declared=pipeline_dir is not None)
        yield from _elsewhere(line, board)


def _twice(line: Sequence[Link]) -> Iterator[Problem]:
    names: dict[str, int] = {}
    inputs: dict[Path, str] = {}
    for link in line:
        if link.name in names:
            yield link.problem("name", f"is the name of filters[{names[link.name]}] too; each stage needs its own.")
        if link.input in inputs:
            other = inputs[link.input]
            yield link.problem("input_pipe", f"is the input of {other} too; two stages would take each other's tokens.")
        names.setdefault(link.name, link.index)
        inputs.setdefault(link.input, link.name)


def _circles(line: Sequence[Link]) -> Iterator[Problem]:
    after = {link.input: link for link in reversed(line)}
    told: set[int] = set()
    for link in line:
        circle = _walk(link, after)
        if circle and not told.intersection(one.index for one in circle):
            told.update(one.index for one in circle)
            yield link.problem("output_pipe", _round(circle))


def _walk(start: Link, after: Mapping[Path, Link]) -> list[Link]:
    walked = [start]
    while (following := after.get(walked[-1].output)) is not None and following not in walked:
        walked.append(following)
    return walked if walked[-1].output == start.input else []


def _round(circle: Sequence[Link]) -> str:
    if len(circle) == 1:
        return "is the input of the same stage; a finished token needs another bucket."
    names = " → ".join(link.name for link in [*circle, circle[0]])
    return f"closes a circle ({names}); a token would never be done."


def _outside(line: Sequence[Link], board: Path, *, declared: bool) -> Iterator[Problem]:
    whose = "pipeline_dir" if declared else "that the first bucket lies in"
    for link in line:
        for key, pipe in link.pipes():
            if pipe.parent != board:
                yield link.problem(key, f"is not directly in the folder {whose}, {board}; all buckets share one.")
            if pipe.name in RESERVED:
                reserved = ", ".join(sorted(RESERVED))
                yield link.problem(key, f"is called {pipe.name}, a name that the board needs itself ({reserved}).")


def _elsewhere(line: Sequence[Link], board: Path) -> Iterator[Problem]:
    device = _device(board)
    told: set[Path] = set()
    for link in line:
        for key, pipe in link.pipes():
            if pipe not in told and _device(pipe) != device:
                told.add(pipe)
                yield link.problem(key, f"is on another file system than {board}; tokens are renamed, never copied.")


def _device(path: Path) -> int:
    for place in (path, *path.parents):
        try:
            return place.stat().st_dev
        except OSError:
            continue
    return -1
