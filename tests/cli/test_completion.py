"""Completion as a person meets it: the script in a real bash, and Tab pressed in a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import board, config
from services.orchestrator import cli_completion
from tests import warm
from tests.cli.boards import REASON, Town
from tests.helpers import GRIN_PIPELINE, Line

_ASK = """
source "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_grin_pipeline
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder with the program and its script, as an environment for bash."""
    folder = tmp_path_factory.mktemp("bash")
    program = folder / "grin-pipeline"
    program.write_text(f'#!/bin/sh\nexec {" ".join(GRIN_PIPELINE)} "$@"\n')
    program.chmod(0o755)
    script = warm.run(["completion", "bash"], dict(os.environ))
    assert (script.returncode, script.stderr) == (0, "")
    (folder / "script").write_text(script.stdout)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SCRIPT": str(folder / "script"), "PS1": "> "}


def pressed(bash: dict[str, str], *words: str) -> list[str]:
    """What bash offers when Tab is pressed behind these words."""
    whole = ["bash", "-c", _ASK, "-", "grin-pipeline", *words]
    done = subprocess.run(whole, env=bash, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def test_commands_options_and_choices(bash: dict[str, str]) -> None:
    """The commands that begin so, those of a command, its options, and what an option may be."""
    assert pressed(bash, "sta") == ["stage", "status"] or pressed(bash, "sta") == ["status", "stage"]
    assert sorted(pressed(bash, "auth", "")) == ["login", "probe", "status"]
    assert pressed(bash, "drop", "--y") == ["--yes"]
    assert sorted(pressed(bash, "failed", "--by", "")) == ["reason", "stage"]
    assert pressed(bash, "completion", "z") == ["zsh"]


def test_names_on_the_board(bash: dict[str, str], town: Town) -> None:
    """Buckets, stages and books of the board that --config names; a book's special characters are quoted."""
    town.put("PAY$HOME.1", 1, "failed", reason=REASON)
    here = ("--config", str(town.config))
    assert pressed(bash, "ls", *here, "02") == ["02_decrypted"]
    assert pressed(bash, "pause", *here, "d") == ["downloader", "decryptor"]
    assert pressed(bash, "hold", *here, "--bucket", "05") == ["05_uploaded"]
    assert pressed(bash, "show", *here, "PAY\\$H") == ["PAY\\$HOME.1"]
    assert {"FAILED-1", "FAILED-2"} <= set(pressed(bash, "retry", "HELD", *here, "FAIL"))
    assert pressed(bash, "show", "--config", "/nowhere.yaml", "FAIL") == [""]
    town.ask("drop", "PAY$HOME.1")


def test_tab_in_a_terminal(bash: dict[str, str], town: Town) -> None:
    """A book whose name has a $ is finished by Tab, and reaches the command as it is."""
    town.put("TAB$x", 1, "failed", reason=REASON)
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**bash, "TERM": "dumb", "HISTFILE": ""})
    try:
        os.write(terminal, b'source "$SCRIPT"; echo re""ady\n')
        _read(terminal, b"ready\r\n")
        os.write(terminal, f"grin-pipeline show --json --config {town.config} TAB\t\n".encode())
        assert b'"barcode": "TAB$x"' in _read(terminal, b'"log_is_whole"')
        os.write(terminal, b"exit\n")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
        town.ask("drop", "TAB$x")


def _read(terminal: int, until: bytes, seconds: float = 20) -> bytes:
    said, end = b"", time.monotonic() + seconds
    while until not in said:
        assert time.monotonic() < end, said
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 65536)
    return said


def test_a_full_board_is_not_listed_to_its_end(small: Line) -> None:
    """Of very many books no more are offered than anybody reads, those that have failed first."""
    small.seed([f"B{number}" for number in range(250)])
    bucket = small.bucket(0)
    board.path_of(bucket, "B7", board.WAITING).rename(board.path_of(bucket, "B7", board.FAILED))
    found = list(cli_completion.names(config.load(small.config, classes=None), "barcodes", "B"))
    assert (len(found), found[0]) == (200, "B7")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells(shell: str, tmp_path: Path) -> None:
    """Their scripts name every command, and ask for the names on the board; no other command loads what writes them."""
    script = warm.run(["completion", shell], dict(os.environ), cwd=tmp_path).stdout
    assert all(word in script for word in ("inventory", "no-browser", "names barcodes", "available-not-converted"))
    told = "import sys; from services.orchestrator.cli import _parser; _parser(); print('shtab' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_which_shell() -> None:
    """Without a shell it is said which there are; code 2."""
    done = warm.run(["completion"], dict(os.environ))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "For which shell? `grin-pipeline completion bash`; there are bash, zsh, fish.\n"
