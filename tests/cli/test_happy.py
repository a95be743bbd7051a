"""Every command, when all is well: a real run on a real board, its exit code, and what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.boards import CURE, REASON, Town
from tests.cli.commands import leaves
from tests.cli.happy import ELSEWHERE, ROWS, STORIES
from tests.helpers import Line


def test_no_command_is_without_its_row() -> None:
    """Whoever adds a command adds its row here."""
    assert sorted([*ROWS, *STORIES, *ELSEWHERE]) == sorted(leaves())
    root = Path(__file__).parents[2]
    assert all(f'"{words}"' in (root / path).read_text() for words, path in ELSEWHERE.items())


@pytest.mark.parametrize("words", ROWS)
def test_a_command_does_what_it_says(words: str, town: Town) -> None:
    """It ends with its code, tells what it has done on standard output, and nothing unasked on the other."""
    row = ROWS[words]
    for barcode, state in row.books:
        town.put(barcode, 1, state, reason=REASON, cure=CURE)
    done = town.ask(*shlex.split(row.typed), text=row.text)
    assert row.typed.startswith(words)
    assert done.returncode == row.code, done.stderr
    assert re.search(row.out, done.stdout), done.stdout
    assert re.search(row.err, done.stderr), done.stderr
    for barcode, _ in row.books:
        town.ask("drop", barcode)


@pytest.mark.parametrize("words", STORIES)
def test_a_command_that_is_more_than_a_line(words: str, town: Town, small: Line, tmp_path: Path) -> None:
    """It runs, asks, writes or waits as it should, and ends well."""
    STORIES[words](tmp_path, small, town)
