"""Every command, asked for what cannot be: a sentence with the next step, its exit code, and nothing done."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from tests import warm
from tests.cli.boards import Town
from tests.cli.commands import arguments, leaves, parsers
from tests.cli.wrong import CASES, WITHOUT, Case
from tests.helpers import Line

ALL = [(words, case) for words, cases in CASES.items() for case in cases]


def test_no_command_is_without_its_row() -> None:
    """Whoever adds a command adds its row here."""
    assert sorted(CASES) == sorted(leaves())


def said_well(complaint: str) -> bool:
    """Whether these are sentences for a person, not a traceback."""
    sentences = complaint.splitlines()
    starts = all(re.match("[A-Z`'\"/0-9-]", line) for line in sentences)
    return bool(sentences) and starts and "Traceback" not in complaint and complaint.rstrip()[-1] in ".?:`"


@pytest.mark.parametrize(("words", "case"), ALL, ids=[f"{case.typed} {case.code}" for _, case in ALL])
def test_what_cannot_be(words: str, case: Case, town: Town) -> None:
    """It is said what is wrong, and how it is done; standard output stays empty, the board as it was."""
    before = town.tokens()
    done = town.ask(*shlex.split(case.typed), **dict(case.environ))
    assert case.typed.startswith(words)
    assert done.returncode == case.code, done.stderr
    assert re.search(case.sentence, done.stderr), done.stderr
    assert said_well(done.stderr), done.stderr
    assert town.tokens() == before


@pytest.mark.parametrize("words", [words for words in leaves() if words not in WITHOUT])
def test_without_a_configuration(words: str, tmp_path: Path) -> None:
    """In a folder without a configuration each command says where it has looked; code 2."""
    typed = [*arguments(parsers()[words].example), "--config", f"{tmp_path}/missing.yaml"]
    done = warm.run(typed, dict(os.environ), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "missing.yaml" in done.stderr
    assert said_well(done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


ON_A_BOARD = (
    "status",
    "ls",
    "show",
    "failed",
    "shape",
    "workers",
    "report",
    "retry",
    "hold",
    "release",
    "drop",
    "pause",
)
ON_A_BOARD += ("resume", "drain", "down", "clean", "export", "audit")


@pytest.mark.parametrize("words", ON_A_BOARD)
def test_without_a_board(words: str, small: Line) -> None:
    """Before the first run each command that needs a board says that `up` makes it; code 2, and none is made."""
    done = small.ask(*arguments(parsers()[words].example))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"There is no board at .*; `grin-pipeline up` makes it.\n", done.stderr), done.stderr
    assert not small.root.exists()
