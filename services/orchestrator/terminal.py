"""What commands say to a person or a pipe, and how they read numbers from their arguments."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TextIO

from rich.console import RenderableType

from common.json_line import json_line
from services.orchestrator.render import PipeConsole, plain


def open_closed() -> None:
    """Whoever has closed our output wants none of it: a file that is opened later must not get its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as we run


def tell(line: str) -> None:
    """A line on standard output. That nobody reads any more does not stop a command half-way."""
    _write(sys.stdout, line)


def say(sentence: str) -> None:
    """A sentence on standard output, in which nothing can steer the terminal."""
    tell(plain(sentence))


def complain(*sentences: str) -> None:
    """Sentences on standard error, a line each; empty ones are left out."""
    for sentence in filter(None, sentences):
        _write(sys.stderr, plain(sentence))


def tell_json(facts: object) -> None:
    """A line of JSON on standard output; BrokenPipeError when its reader has left, for then a list is over."""
    sys.stdout.write(json_line(facts) + "\n")


def show(what: RenderableType) -> None:
    """A table or text of rich; in a pipe as wide as it needs to be."""
    console().print(what)


def console() -> PipeConsole:
    """Standard output as rich sees it: in a pipe a table is for grep and for logs."""
    made = PipeConsole(highlight=False)
    return made if made.is_terminal else PipeConsole(highlight=False, width=200)


def books(count: object) -> str:
    """So many books, in words for a sentence."""
    return f"{count:,} book{'s' * (count != 1)}"


def count(text: str) -> int:
    """An argument that is a number from 1 on."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def count_or_none(text: str) -> int:
    """The same, or 0."""
    return 0 if text == "0" else count(text)


def seconds(text: str) -> float:
    """An argument that is a time of so many seconds."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


def _write(stream: TextIO, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
