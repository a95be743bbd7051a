"""`init`: makes a library's config.yaml and the folders of its secrets. Nothing is written before all of it is good."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from common import config, durable
from common.errors import ConfigError
from common.layout import absolute
from common.store import is_url, wrong
from services.orchestrator.init_text import Answers, text

_LIBRARY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# A worker needs some hundred MB; more than this many is no machine's first line.
MOST_WORKERS = 256


@dataclass(frozen=True)
class Made:
    """What was written, in the order it was."""

    config: Path
    kept: Path | None
    """The copy of what was there before."""
    folders: tuple[Path, ...]
    passphrase: Path | None


# --- one answer: what it means, or ValueError with a sentence -------------------------------------------------------


def library(given: str) -> str:
    """GRIN's code of a library."""
    if not _LIBRARY.fullmatch(given):
        raise ValueError(f"{given[:80]!r} is no library's code: letters, digits and - _ . as in PRNC or Harvard.")
    return given


def bucket(given: str, base: Path) -> str:
    """Where finished books go: a URL as it stands, or the whole path of a folder that can be made."""
    if not given.strip():
        raise ValueError("Where do finished books go? Name a folder, or s3://, gs:// or az://BUCKET/PREFIX.")
    if problem := wrong(given):
        raise ValueError(problem)
    return given if is_url(given) else str(folder(given, base))


def folder(given: str, base: Path) -> Path:
    """A folder that is there and can be written to, or can be made."""
    path = _path(given, base)
    above = durable.existing_ancestor(path)
    if not above.is_dir():
        raise ValueError(f"{path} cannot be a folder: {above} is a file.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be used: you may not write to {above}.")
    return path


def passphrase_file(given: str, base: Path) -> Path:
    """A file with the passphrase in it, or the place for one."""
    path = secret_file(given, base)
    if path.exists():
        check_passphrase(_read(path).removesuffix("\n").removesuffix("\r"), str(path))
    return path


def check_passphrase(given: str, where: str = "That") -> str:
    """A passphrase as gpg takes it from a file."""
    if not given:
        raise ValueError(f"{where} holds no passphrase: it is one line, as Google gave it.")
    if set(given) & set("\r\n\0"):
        raise ValueError(f"{where} holds more than one line: a passphrase is one line and nothing else.")
    return given


def credentials_file(given: str, base: Path) -> Path:
    """A file with Google's credentials, or the place for one."""
    path = secret_file(given, base)
    if path.exists():
        try:
            whole = isinstance(json.loads(_read(path)), dict)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            raise ValueError(f"{path} holds no credentials: it should be the JSON file as Google made it.")
    return path


def secret_file(given: str, base: Path) -> Path:
    """A file that others cannot read, or the place for one."""
    path = _path(given, base)
    if not path.exists():
        folder(str(path.parent), base)
    elif not path.is_file():
        raise ValueError(f"{path} is not a file.")
    elif path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read or changed by others. Run: chmod 600 {path}")
    return path


def workers(given: str) -> int:
    """A number of workers."""
    if not (given.isdecimal() and 1 <= int(given) <= MOST_WORKERS):
        raise ValueError(f"{given[:20]!r} is no number of workers from 1 to {MOST_WORKERS}.")
    return int(given)


def yes_or_no(given: str) -> bool:
    """An answer to a question."""
    if given.lower() not in {"y", "yes", "n", "no"}:
        raise ValueError("Please answer yes or no.")
    return given.lower().startswith("y")


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _path(given: str, base: Path) -> Path:
    if not given.strip() or not given.isprintable():
        raise ValueError("A path should have a name, and no character that cannot be shown.")
    return absolute(given, base)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None


# --- writing --------------------------------------------------------------------------------------------------------


def refuse_if_there(target: Path, *, force: bool) -> None:
    """ConfigError when there is a configuration already."""
    if os.path.lexists(target) and not force:
        cure = "Go to a folder of its own, name another file with --config, or give --force, which keeps a copy."
        raise ConfigError([f"{target} is there already. {cure}"])
    if target.is_dir():
        raise ConfigError([f"{target} is a folder: name a file with --config."])


def write(target: Path, answers: Answers, typed: str | None, *, force: bool) -> Made:
    """Make the folders, the passphrase's file if it was typed, and at last the configuration, once it loads."""
    refuse_if_there(target, force=force)
    durable.make_dirs(target.parent)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        durable.write_new(draft, text(answers, target.parent).encode())
        # Nothing else of this machine's may make it good or bad: the file must hold alone.
        config.load(draft, classes=None, environ={})
        folders = tuple(path for path in _secret_folders(answers) if _made_private(path))
        kept = _keep(target) if os.path.lexists(target) else None
        passphrase = answers.passphrase if typed is not None else None
        if passphrase and typed is not None:
            durable.write_new(passphrase, f"{typed}\n".encode(), 0o600)
        if not answers.token.exists():
            durable.write_new(answers.token, f"{secrets.token_hex(16)}\n".encode(), 0o600)
        _place(draft, target, force=force)
    finally:
        draft.unlink(missing_ok=True)
    durable.fsync_dir(target.parent)
    return Made(target, kept, folders, passphrase)


def _secret_folders(answers: Answers) -> list[Path]:
    return list(dict.fromkeys(path.parent for path in (answers.passphrase, answers.credentials, answers.token)))


def _made_private(path: Path) -> bool:
    """Make a folder that nobody else can enter, and those above it; False when it was there."""
    if path.is_dir():
        return False
    missing = [path, *(above for above in path.parents if not above.is_dir())]
    for one in reversed(missing):
        one.mkdir(mode=0o700)
    return True


def _keep(target: Path) -> Path:
    """A second name for what is there now: it stays when the first is given to the new file."""
    copy = target.with_name(f"{target.name}.{time.strftime('%Y-%m-%dT%H%M%S')}-{secrets.token_hex(2)}.old")
    os.link(target, copy)
    return copy


def _place(draft: Path, target: Path, *, force: bool) -> None:
    if force:
        durable.replace(draft, target)
        return
    try:
        # Unlike a rename, it never takes the name from a file that somebody has put there meanwhile.
        os.link(draft, target)
    except FileExistsError:
        raise ConfigError([f"{target} has just been made by somebody else, and was left as it is."]) from None
