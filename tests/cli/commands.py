"""Every command there is, from the parser itself: a command without its rows in the tables here is found."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from services.orchestrator.cli import _parser
from services.orchestrator.parsing import Parser

# What a shell does with a command line, and its parser never sees.
_OF_THE_SHELL = ("|", "<", ">", ";", "&&")


def parsers() -> dict[str, Parser]:
    """The parser of each command by its words, such as `auth login`."""
    return dict(_below(_parser()))


def leaves() -> list[str]:
    """The commands that do something, and are not only a word before others."""
    return [words for words, parser in parsers().items() if not parser.commands]


def option_of(words: str, name: str) -> bool:
    """Whether a command has this option."""
    return any(name in action.option_strings for action in parsers()[words]._actions)


def arguments(line: str) -> list[str]:
    """The arguments that a shell gives to `grin-pipeline` for this line."""
    words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    assert words[0] == "grin-pipeline", line
    ends = [words.index(sign) for sign in _OF_THE_SHELL if sign in words]
    return words[1 : min(ends, default=len(words))]


def _below(parser: Parser) -> Iterator[tuple[str, Parser]]:
    for one in parser.commands.values():
        yield one.prog.removeprefix("grin-pipeline "), one
        yield from _below(one)
