"""`init`: asks on a terminal, or takes flags, and writes a first config.yaml."""

from __future__ import annotations

import argparse
import getpass
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.errors import ConfigError
from common.layout import absolute
from services.orchestrator import init, terminal
from services.orchestrator.init_text import Answers

Parser = argparse.ArgumentParser
Factory = Callable[[str, object, str, str], Parser]


def add_commands(command: Factory) -> None:
    """`init`; `command` makes a parser of a name, a function, a description and an example."""
    what = "ask what a first config.yaml needs, and write it with the folders for its secrets"
    parser = command("init", _init, what, "grin-pipeline init --library PRNC --done-bucket /mnt/books")
    parser.add_argument("--library", metavar="CODE", help="GRIN's code for your library")
    parser.add_argument("--done-bucket", metavar="WHERE", help="a folder, or s3://, gs://, az://BUCKET/PREFIX")
    parser.add_argument("--folder", metavar="DIR", help="the work disk: board and books on their way (default: here)")
    parser.add_argument("--passphrase-file", metavar="FILE", help="default: secrets/gpg/passphrase.asc")
    parser.add_argument("--credentials-file", metavar="FILE", help="default: secrets/grin/credentials.json")
    parser.add_argument("--workers", metavar="N", help="decryptors (default: by the processors), a downloader for two")
    parser.add_argument("--convert", action="store_true", default=None, help="have GRIN convert what is available, too")
    parser.add_argument("--yes", action="store_true", help="ask nothing, take the defaults")
    parser.add_argument("--force", action="store_true", help="replace a configuration; a copy of it is kept")


@dataclass(frozen=True)
class _Question:
    """What is asked, in which words; `default` None where there is none. `offered` is a person's default alone."""

    name: str
    words: str
    read: Callable[[str], object]
    default: str | None
    offered: str = ""


def _init(arguments: argparse.Namespace) -> int:
    target = absolute(arguments.config or "config.yaml", Path.cwd())
    init.refuse_if_there(target, force=arguments.force)
    asks = not arguments.yes and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        found = _asked(arguments, target.parent) if asks else _given(arguments, target.parent)
        answers = _answers(found, target.parent)
        typed = _passphrase(answers.passphrase) if asks else None
    except EOFError:
        raise ConfigError(["Nothing was written: not every question was answered."]) from None
    _tell(init.write(target, answers, typed, force=arguments.force), answers)
    return 0


def _questions(home: Path) -> list[_Question]:
    decryptors = str(max(1, init.cores() // 2))
    here = Path.cwd()
    return [
        _Question("library", "GRIN's code for your library, as Google gave it (case matters)", init.library, None),
        _Question(
            "done_bucket",
            "Where finished books go: a folder, or s3://, gs://, az://BUCKET/PREFIX",
            partial(init.bucket, base=here),
            None,
            "done" if home == here else str(home / "done"),
        ),
        _Question(
            "folder",
            "The work disk: a folder for the board and the books on their way",
            partial(init.folder, base=here),
            str(home),
        ),
        _Question(
            "passphrase_file",
            "The file with the library's passphrase",
            partial(init.passphrase_file, base=here),
            str(home / "secrets" / "gpg" / "passphrase.asc"),
        ),
        _Question(
            "credentials_file",
            "The file with Google's credentials",
            partial(init.credentials_file, base=here),
            str(home / "secrets" / "grin" / "credentials.json"),
        ),
        _Question(
            "workers",
            f"How many decryptors at once (this machine has {init.cores()} processors)",
            init.workers,
            decryptors,
        ),
        _Question("convert", "Shall GRIN also convert what it has not converted yet? yes or no", init.yes_or_no, "no"),
    ]


def _flag(arguments: argparse.Namespace, name: str) -> str | None:
    value = getattr(arguments, name)
    return "yes" if value is True else value


def _given(arguments: argparse.Namespace, home: Path) -> dict[str, object]:
    """By flags alone; all that is wrong is told at once."""
    found: dict[str, object] = {}
    problems, missing = [], []
    for question in _questions(home):
        given, flag = _flag(arguments, question.name), f"--{question.name.replace('_', '-')}"
        text = question.default if given is None else given
        if text is None:
            missing.append(flag)
            continue
        try:
            found[question.name] = question.read(text)
        except ValueError as error:
            problems.append(f"{flag}: {error}")
    if missing:
        problems.append(f"Nobody is asked here, so give {' and '.join(missing)}; all else has a default.")
    if problems:
        raise ConfigError([*problems, "Nothing was written."])
    return found


def _asked(arguments: argparse.Namespace, home: Path) -> dict[str, object]:
    """By flags as far as they are given, and a person for the rest; a wrong answer is asked for again."""
    terminal.tell("Enter takes what stands in brackets. Nothing is written before the last answer.\n")
    return {question.name: _answer(question, _flag(arguments, question.name)) for question in _questions(home)}


def _answer(question: _Question, given: str | None) -> object:
    default = question.default or question.offered
    hint = f" [{default}]" if default else ""
    while True:
        text = input(f"{question.words}{hint}: ").strip() if given is None else given
        try:
            return question.read(text or (default if given is None else ""))
        except ValueError as error:
            terminal.complain(str(error))
            given = None


def _answers(found: dict[str, object], home: Path) -> Answers:
    decryptors = int(str(found["workers"]))
    return Answers(
        library=str(found["library"]),
        done=str(found["done_bucket"]),
        work=Path(str(found["folder"])),
        passphrase=Path(str(found["passphrase_file"])),
        credentials=Path(str(found["credentials_file"])),
        token=home / "secrets" / "board" / "token",
        downloaders=max(2, (decryptors + 1) // 2),
        decryptors=decryptors,
        convert=bool(found["convert"]),
    )


def _passphrase(file: Path) -> str | None:
    """The passphrase as somebody types it, unseen; None when its file is there, or they put it there themselves."""
    while not file.exists():
        typed = getpass.getpass(f"The passphrase, for {file} (it is not shown; Enter: I put it there myself): ")
        if not typed:
            return None
        try:
            return init.check_passphrase(typed)
        except ValueError as error:
            terminal.complain(str(error))
    return None


def _tell(made: init.Made, answers: Answers) -> None:
    if made.kept:
        terminal.say(f"What was there before is kept as {made.kept}.")
    terminal.say(f"{made.config} is written; each setting in it says what it is for.")
    if not answers.passphrase.exists():
        terminal.say(f"Put the passphrase into {answers.passphrase}, one line, and run chmod 600 on it.")
    if not answers.credentials.exists():
        how = "`grin-pipeline auth login --client-secret FILE` makes a person's, a service account's come from Google"
        terminal.say(f"Put the credentials into {answers.credentials}, and run chmod 600 on it: {how}.")
    terminal.say(f"Who wants to act on the board's page needs the token in {answers.token}.")
    more = "" if made.config == Path.cwd() / "config.yaml" else f" --config {shlex.quote(str(made.config))}"
    terminal.tell("Then:\n")
    for command, what in (
        ("doctor", "is all of it fit for use?"),
        ("up --sample 5 --until-drained", "bring five books home"),
        ("up", "bring all others"),
    ):
        terminal.say(f"    {f'grin-pipeline {command}{more}':<46}  {what}")
