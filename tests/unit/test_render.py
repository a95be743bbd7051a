"""What a person reads: one line a thing, nothing that a terminal would obey, and pipes that may close."""

from __future__ import annotations

import subprocess

import pytest

from services.orchestrator import render
from tests.helpers import GRIN_PIPELINE, Line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (42, "42 s"),
        (134.4, "2.2 min"),
        (600, "10 min"),
        (3_333, "56 min"),
        (9000, "2.5 h"),
        (864_000, "10 d"),
    ],
)
def test_spans(seconds: float | None, text: str) -> None:
    """Lengths of time are said as people say them."""
    assert render.span(seconds) == text


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "See whether this machine can reach it; the stage goes on by itself.",
            "See whether this machine can reach it.",
        ),
        ("The stage goes on by itself when GRIN answers again.", "Try again when GRIN answers again."),
        ("Make the bucket. The stage goes on by itself.", "Make the bucket."),
        ("The stage goes on by itself. Or not.", "Or not."),
        ("Mend it; this stage goes on.", "Mend it; this stage goes on."),
    ],
)
def test_what_errors_say_in_a_command(said: str, told: str) -> None:
    """A command ends, so it says nothing of stages that go on by themselves."""
    assert render.of_a_command(said) == told


def test_hostile_words_stay_words() -> None:
    """Line ends become spaces, and what a terminal would obey is shown instead."""
    assert render.plain("a\nb\x1b[2Jc\u202e é") == "a b\\x1b[2Jc\\u202e é"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A board on which one book has failed, with a reason of several lines."""
    folder = tmp_path_factory.mktemp("board")
    line = Line(folder, "")
    line.stage("hop", "Hop", 0)
    (folder / "their_module.py").write_text(
        "from common.stage import Stage, Reject\n"
        "class Hop(Stage):\n"
        "    def process(self, book, work):\n"
        "        raise Reject('one\\ntwo\\x1b[2J', 'Look.')\n"
    )
    line.seed(["A1"])
    assert line.drain() == 1
    return line


def test_a_line_a_token(line: Line) -> None:
    """`ls` is one line a token whatever the reason holds, and `show` passes nothing on to the terminal."""
    assert len(line.ask("ls").stdout.splitlines()) == 1
    assert "\x1b" not in line.ask("ls").stdout + line.ask("show", "A1").stdout


@pytest.mark.parametrize("command", ["ls", "status"])
def test_a_reader_that_leaves(line: Line, command: str) -> None:
    """`grin-pipeline ls | head -0` is no error."""
    whole = [*GRIN_PIPELINE, command, "--config", str(line.config)]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=line.environ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (0, b"")


def test_odd_ledgers_can_be_shown(line: Line) -> None:
    """A ledger that holds anything, or is none, breaks neither ls nor show. The last test: it spoils the board."""
    with (line.root / "ledger" / "A1" / "A1.jsonl").open("a") as file:
        file.write('{"event": "done", "facts": [1]}\n{"event": "failed", "reason": 7}\n')
    assert line.ask("show", "A1").returncode == 0
    (line.root / "ledger" / "A1" / "A1.jsonl").unlink()
    (line.root / "ledger" / "A1" / "A1.jsonl").mkdir()
    assert "cannot be read" in line.ask("ls").stdout
    shown = line.ask("show", "A1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "cannot be read" in shown.stdout
