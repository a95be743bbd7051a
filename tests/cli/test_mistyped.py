"""What the parser itself refuses: a sentence, what was perhaps meant, the next step; code 2."""

from __future__ import annotations

import os

import pytest

from tests import warm
from tests.cli.commands import parsers

MISTYPED = {
    "hodl": ("There is no command `hodl`. Did you mean `hold`?", "`grin-pipeline --help` shows all commands."),
    "qqqq": ("There is no command `qqqq`.", "`grin-pipeline --help` shows all commands."),
    "--config c.yaml status": (
        "There is no command `c.yaml`.",
        "Options stand behind the command. `grin-pipeline --help` shows all commands.",
    ),
    "--jsn": ("Something is missing: `grin-pipeline` needs a command.", "Options stand behind"),
    "auth lgin": ("There is no command `auth lgin`. Did you mean `login`?", "For example: `grin-pipeline auth probe`."),
    "auth": ("Something is missing: `grin-pipeline auth` needs one of login, status, probe.", "For example: "),
    "show": ("Something is missing: `grin-pipeline show` needs BARCODE.", "For example: `grin-pipeline show 3210"),
    "auth login": ("Something is missing: `grin-pipeline auth login` needs --client-secret.", "For example: "),
    "ls --jsn": ("There is no option --jsn for `grin-pipeline ls`. Did you mean `--json`?", "For example: "),
    "ls a b": ("There is one argument too many for `grin-pipeline ls`: 'b'.", "For example: "),
    "ls --json=3": ("The option --json takes no value; '3' is too much.", "For example: "),
    "audit --f": ("The option --f may mean each of --fix, --force; write it out.", "For example: "),
    "seed --limit": ("The option --limit needs a value.", "For example: "),
    "seed --limit 0": ("The option --limit: '0' is no whole number from 1 on.", "For example: "),
    "demo --seed x": ("The option --seed wants a whole number, and 'x' is none.", "For example: "),
    "report --csv --json": ("Only one of --json/--jsonl and --csv can be given.", "For example: "),
    "inventory show --list availble": ("There is no 'availble' for --list. Did you mean `available`?", "For example: "),
    "inventory show --list x": ("There is no 'x' for --list. There are: available-not-converted, ", "For example: "),
}


@pytest.mark.parametrize("line", MISTYPED)
def test_a_mistyped_line(line: str) -> None:
    """It is said what is wrong and what to do, in two lines without a usage."""
    done = warm.run(line.split(), dict(os.environ))
    assert (done.returncode, done.stdout) == (2, "")
    wrong, then = done.stderr.splitlines()
    assert wrong.startswith(MISTYPED[line][0])
    assert then.startswith(MISTYPED[line][1])


@pytest.mark.parametrize("words", parsers())
def test_every_command_names_the_option_that_was_meant(words: str) -> None:
    """A letter too many in --help: the option is found, and the command's own example is shown."""
    done = warm.run([*words.split(), "--helpp"], dict(os.environ))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(f"`grin-pipeline {words} --help` tells more.")


def test_words_of_the_command_line_cannot_steer_the_terminal() -> None:
    """Control characters in an argument are shown, not sent."""
    for bad in ("\x1b]0;owned\x07", "a\u202eb", "a\nb", os.fsdecode(b"\xff\xfe")):
        for line in ([bad], ["ls", "x", bad], ["ls", f"--{bad}"], ["inventory", "show", "--list", bad]):
            done = warm.run(line, dict(os.environ))
            assert done.returncode == 2
            assert len(done.stderr.splitlines()) == 2
            assert all(char.isprintable() or char == "\n" for char in done.stderr)
