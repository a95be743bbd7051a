"""`init`: a first config.yaml, by flags or by answers; all of it or nothing, and never over what is there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from common import config
from services.orchestrator.init_text import Answers, text
from tests import warm
from tests.helpers import GRIN_PIPELINE

ROOT = Path(__file__).parents[2]
GOOD = ("--library", "PRNC", "--done-bucket", "books")


def init(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command, where nobody can be asked."""
    return warm.run(["init", *more], dict(os.environ), cwd=folder)


def names(folder: Path) -> set[str]:
    """Every name below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def answered(folder: Path, *lines: str, more: tuple[str, ...] = ()) -> tuple[int, str]:
    """The command with a person before it: the exit code, and what their terminal shows."""
    keyboard, terminal = pty.openpty()
    command = [*GRIN_PIPELINE, "init", *more]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with subprocess.Popen(command, **pipes, cwd=folder, env=environ, start_new_session=True) as process:
        os.close(terminal)
        shown = b""
        # Typed only once its question is there: before a hidden one, what was typed earlier is thrown away.
        for line in lines:
            while not shown.rstrip(b" ").endswith(b":"):
                shown += os.read(keyboard, 4096)
            shown += b"\n"
            os.write(keyboard, line.encode())
        with suppress(OSError):
            while more_shown := os.read(keyboard, 4096):
                shown += more_shown
    os.close(keyboard)
    return process.returncode, shown.decode()


def test_the_template_is_the_shipped_configuration(tmp_path: Path) -> None:
    """With the shipped answers the template says what config.yaml says, key by key and value by value."""
    secrets = tmp_path / "secrets"
    files = [secrets / name for name in ("gpg/passphrase.asc", "grin/credentials.json", "board/token")]
    answers = Answers("TESTLIB", str(tmp_path / "done"), tmp_path, *files)
    assert yaml.safe_load(text(answers, tmp_path)) == yaml.safe_load((ROOT / "config.yaml").read_text())


def test_every_setting_has_a_comment(tmp_path: Path) -> None:
    """Each setting that a person may want to change has a sentence above it."""
    lines = text(
        Answers("L", "s3://b/p", tmp_path, tmp_path / "p", tmp_path / "c", tmp_path / "t"), tmp_path
    ).splitlines()
    of_all = lines[: lines.index("filters:")] + lines[lines.index("board:") :]
    bare = [line for before, line in pairwise(of_all) if re.match(r"  \w+: ", line) and "#" not in before]
    assert bare == []


def test_flags_are_enough(tmp_path: Path) -> None:
    """Two flags make a configuration that loads, private folders for the secrets, and three commands to go on with."""
    done = init(tmp_path, *GOOD)
    settings = config.load(tmp_path / "config.yaml", environ={})
    assert done.returncode == 0, done.stderr
    assert (settings.global_.library, settings.global_.done_bucket) == ("PRNC", str(tmp_path / "books"))
    folders = {"secrets", "secrets/gpg", "secrets/grin", "secrets/board"}
    assert names(tmp_path) == {"config.yaml", "secrets/board/token"} | folders
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in folders} == {0o700}
    assert (tmp_path / "secrets/board/token").stat().st_mode & 0o777 == 0o600
    assert settings.board.token() and settings.board.token() not in done.stdout + (tmp_path / "config.yaml").read_text()
    for command in ("doctor", "up --sample 5 --until-drained", "up"):
        assert f"    grin-pipeline {command} " in done.stdout


def test_all_flags(tmp_path: Path) -> None:
    """Work disk, secrets, workers and conversions are what the flags say, odd characters and all."""
    disk, passphrase = tmp_path / "my: disk #1", tmp_path / "kept" / "it's.asc"
    passphrase.parent.mkdir()
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    more = ["--folder", str(disk), "--passphrase-file", str(passphrase), "--workers", "6", "--convert", "--yes"]
    at = tmp_path / "etc" / "mine.yaml"
    done = init(tmp_path, "--library", "NO", "--done-bucket", "s3://books/of/ours", "--config", str(at), *more)
    settings = config.load(at, environ={})
    assert done.returncode == 0, done.stderr
    assert (settings.global_.library, settings.global_.done_bucket) == ("NO", "s3://books/of/ours")
    assert settings.bucket_paths()[0] == disk / "pipeline" / "00_to_download"
    assert (settings.row("decryptor").workers, settings.row("downloader").workers) == (6, 3)
    assert settings.seed.convert
    assert settings.global_.passphrase() == "correct horse"
    assert "correct horse" not in at.read_text() + done.stdout + done.stderr
    assert f"grin-pipeline doctor --config {at}" in done.stdout


def test_nobody_can_be_asked(tmp_path: Path) -> None:
    """On a pipe it says which flags it needs, with code 2, and writes nothing."""
    done = init(tmp_path)
    assert (done.returncode, names(tmp_path)) == (2, set())
    assert "give --library and --done-bucket;" in done.stderr
    assert "give --done-bucket;" in init(tmp_path, "--library", "PRNC").stderr


def _secret(folder: Path, content: str, mode: int = 0o600) -> None:
    (folder / "secret").write_text(content)
    (folder / "secret").chmod(mode)


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--library", "../evil", "no library's code"),
        ("--library", "", "no library's code"),
        ("--done-bucket", "s4://x", "unknown kind"),
        ("--done-bucket", "s3:bucket", "s3://BUCKET"),
        ("--done-bucket", "", "Where do finished books go"),
        ("--done-bucket", "secret/done", "is a file"),
        ("--folder", "secret/work", "cannot be a folder"),
        ("--folder", "a\x1b[2Jb", "cannot be shown"),
        ("--workers", "0", "no number of workers"),
        ("--workers", "many", "no number of workers"),
        ("--credentials-file", "secret", "holds no credentials"),
        ("--passphrase-file", ".", "is not a file"),
    ],
)
def test_wrong_answers(tmp_path: Path, flag: str, value: str, says: str) -> None:
    """A wrong answer is a sentence that names its flag, with code 2; nothing is written."""
    _secret(tmp_path, "no json")
    done = init(tmp_path, *GOOD, flag, value)
    assert (done.returncode, names(tmp_path)) == (2, {"secret"}), done
    assert f"{flag}: " in done.stderr
    assert says in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [("", 0o600, "holds no passphrase"), ("a\nb\n", 0o600, "one line"), ("good\n", 0o644, "chmod 600")],
    ids=["empty", "two lines", "open to all"],
)
def test_wrong_passphrase_files(tmp_path: Path, content: str, mode: int, says: str) -> None:
    """A passphrase's file that the decryptor could not use is found now."""
    _secret(tmp_path, content, mode)
    done = init(tmp_path, *GOOD, "--passphrase-file", "secret")
    assert (done.returncode, names(tmp_path)) == (2, {"secret"})
    assert says in done.stderr


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A configuration is never overwritten; with --force a copy of it is kept, and the secrets are not touched."""
    (tmp_path / "config.yaml").write_text("mine\n")
    refused = init(tmp_path, *GOOD)
    assert (refused.returncode, names(tmp_path)) == (2, {"config.yaml"})
    assert "--force" in refused.stderr
    (tmp_path / "secrets" / "board").mkdir(parents=True)
    (tmp_path / "secrets" / "board" / "token").write_text("ours\n")
    assert init(tmp_path, *GOOD, "--force").returncode == 0
    assert (tmp_path / "secrets" / "board" / "token").read_text() == "ours\n"
    [kept] = tmp_path.glob("config.yaml.*.old")
    assert kept.read_text() == "mine\n"
    assert config.load(tmp_path / "config.yaml", environ={}).global_.library == "PRNC"


def test_a_person_is_asked(tmp_path: Path) -> None:
    """One question after the other, wrong answers asked again; the passphrase is typed unseen into a private file."""
    typed = "correct horse battery"
    code, shown = answered(
        tmp_path, "no good\n", "PRNC\n", "books\n", "\n", "\n", "\n", "3\n", "maybe\n", "yes\n", f"{typed}\n"
    )
    assert code == 0, shown
    settings = config.load(tmp_path / "config.yaml", environ={})
    assert "no library's code" in shown
    assert "Please answer yes or no." in shown
    assert (settings.global_.library, settings.row("decryptor").workers, settings.seed.convert) == ("PRNC", 3, True)
    file: Any = settings.global_.gpg_passphrase_file
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{typed}\n", 0o600)
    assert typed not in shown + (tmp_path / "config.yaml").read_text()


def test_enter_takes_a_folder_beside_the_configuration(tmp_path: Path) -> None:
    """Finished books have a place in brackets too; a script still has to name one."""
    code, shown = answered(tmp_path, "PRNC\n", *["\n"] * 7)
    assert code == 0, shown
    assert "az://BUCKET/PREFIX [done]: " in shown
    assert config.load(tmp_path / "config.yaml", environ={}).global_.done_bucket == str(tmp_path / "done")


def test_a_person_goes_away(tmp_path: Path) -> None:
    """Who ends it half-way has written nothing; what is given by flags is not asked for."""
    code, shown = answered(tmp_path, "books\n", "\x04", more=("--library", "PRNC"))
    assert (code, names(tmp_path)) == (2, set())
    assert "Nothing was written" in shown
    assert "code for your library" not in shown


def test_its_help() -> None:
    """--help shows an example."""
    done = warm.run(["init", "--help"], dict(os.environ))
    assert (done.returncode, "grin-pipeline init --library PRNC" in done.stdout) == (0, True)
