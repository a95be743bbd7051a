"""In pipes and scripts: readers that leave, closed outputs, no colours, small and old terminals."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

from tests.cli.boards import Town
from tests.helpers import GRIN_PIPELINE
from tests.terminals import sent

LISTS = ("ls", "report")


def shell(town: Town, line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A line in bash, in which G is the program with its configuration behind it."""
    program = (
        f'g() {{ command=$1; shift; {" ".join(GRIN_PIPELINE)} "$command" --config "$C" "$@"; }}; set -o pipefail; '
    )
    whole = {**os.environ, "C": str(town.config), **environ}
    return subprocess.run(
        ["bash", "-c", program + line], env=whole, capture_output=True, text=True, check=False, errors="surrogateescape"
    )


@pytest.mark.parametrize("command", LISTS)
def test_a_reader_that_leaves(command: str, town: Town) -> None:
    """`| head -0` ends the list: code 0 or 1, as without it, and not a word."""
    done = shell(town, f"g {command} | head -c 0")
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("command", ["status --json", "report"])
def test_nowhere_to_write(command: str, town: Town) -> None:
    """With standard output closed, or on a full device, a command ends without a traceback; a full device is said."""
    closed = shell(town, f"g {command} >&-")
    assert "Traceback" not in closed.stderr
    full = shell(town, f"g {command} > /dev/full")
    assert "Traceback" not in full.stderr
    assert (full.returncode, "No space left" in full.stderr) == (3, True)


def test_an_old_terminal(town: Town) -> None:
    """Under LANG=C, and where Python speaks ASCII, signs that cannot be shown become question marks; JSON is whole."""
    old = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in ("status", "status --json"):
        done = shell(town, f"g {command}", **old)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout.isascii()


@pytest.mark.parametrize("columns", ["1", "20", "40"])
def test_a_small_terminal(columns: str, town: Town) -> None:
    """However small a terminal, tables and help are drawn, and a line a token stays one line."""
    for command in ("status", "shape", "workers", "--help"):
        done = town.ask(command, COLUMNS=columns)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert len(town.ask("ls", "02_decrypted", COLUMNS=columns).stdout.splitlines()) == 3


def test_colours(town: Town) -> None:
    """Colours on a terminal, none with NO_COLOR and none in a pipe."""
    assert "\x1b[" in on_a_terminal(town, "ls", "01_incoming")
    assert "\x1b[3" not in on_a_terminal(town, "ls", "01_incoming", NO_COLOR="1")
    assert "\x1b" not in town.ask("ls").stdout + town.ask("status").stdout


def on_a_terminal(town: Town, *command: str, **environ: str) -> str:
    """What a real terminal is sent."""
    child, fd = pty.fork()
    if child == 0:
        whole = {**os.environ, "TERM": "xterm", **environ}
        os.execvpe(GRIN_PIPELINE[0], [*GRIN_PIPELINE, command[0], "--config", str(town.config), *command[1:]], whole)
    return sent(child, fd)[1]
