"""`--help` of every command: what it does, what each argument means, and a line that can be typed."""

from __future__ import annotations

import argparse
import os

import pytest

from services.orchestrator.cli import _parser
from services.orchestrator.parsing import GROUPS
from tests import warm
from tests.cli.commands import arguments, parsers

ALL = parsers()


@pytest.mark.parametrize("words", ALL)
def test_help_tells_and_shows(words: str) -> None:
    """It ends well, says what the command does, and its example is a line that the parser takes."""
    done = warm.run([*words.split(), "--help"], {**os.environ, "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert f"usage: grin-pipeline {words} " in said
    assert " ".join(str(ALL[words].description).split()) in said
    examples = [line for line in said.split("Example: ")[1:] if line]
    assert len(examples) == 1, said
    assert max(map(len, done.stdout.splitlines())) <= 80
    parsed = _parser().parse_args(arguments(examples[0]))
    assert callable(parsed.call)
    assert arguments(examples[0])[: len(words.split())] == words.split()


@pytest.mark.parametrize("words", ALL)
def test_every_argument_is_explained(words: str) -> None:
    """Each argument of each command says what it is for, and each description is a sentence."""
    shown = [action for action in ALL[words]._actions if action.help != argparse.SUPPRESS]
    assert [action.dest for action in shown if not (action.help or isinstance(action.choices, dict))] == []
    description = str(ALL[words].description)
    assert description[0].isupper()
    assert description.endswith(".")


def test_no_command_shows_all_of_them_by_what_one_wants() -> None:
    """`grin-pipeline` alone: every command once, in a group, a line each, in 80 columns; code 2, nothing was asked."""
    done = warm.run([], {**os.environ, "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (2, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for name in _parser().commands:
        assert sum(line.startswith(f"  {name} ") for line in lines) == 1, name
    assert [f"{title}:" for title in GROUPS] == [line for line in lines if line.endswith(":") and line != "Options:"]
    assert warm.run(["--help"], {**os.environ, "COLUMNS": "80"}).stdout == done.stdout


def test_each_command_is_in_one_group() -> None:
    """The groups name every command once, and no other."""
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(_parser().commands)
