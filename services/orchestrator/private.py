"""What is private about a board and its machine, as far as it can be known: secrets, folders, hosts and people."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from common.config import Settings
from common.settings import Section

# A variable or a key of such a name holds a secret, unless it only says where one is.
SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase|code)?$|pass(?:word|wd|phrase)|secret|token(?!s)|credential|api[-_]?key|(?:access|private|account)"
    r"[-_]?key|signature|cookie|authorization|connection[-_]?string|session[-_]?id",
    re.IGNORECASE,
)
_WHERE = re.compile(r"(?:file|files|uri|url|path|dir|sock|bucket|expir\w*|count|method)$", re.IGNORECASE)
# What stands in credentials and is the same for everybody.
_PUBLIC = re.compile(r"^type$|_uri$|_url$|^universe_domain$")
_SHORTEST_LEAF, _LARGEST = 6, 1 << 20
# Names that many machines and accounts have, and words of our own.
_NOBODY = frozenset({"root", "user", "app", "nobody", "admin", "localhost", "orchestrator", "grin", "none", "null"})
# What everybody talks to, or only oneself.
PUBLIC_HOST = re.compile(
    r"(?:^|\.)(?:google|googleapis)\.com$|^localhost$|^127\.|^0\.0\.0\.0$|^\[?::1?\]?$", re.IGNORECASE
)
_WORKER = r"-([A-Za-z0-9_-]{1,60}?)-[0-9]+-[0-9a-f]{8}\b"
# As the board's page names whoever does something there, alone and within a reason.
_ON_PAGE = r" \(page, [^()]*\)"
_BY = re.compile(rf"\bby ([^\n]{{2,200}}?){_ON_PAGE}")


@dataclass
class Private:
    """Exact texts that must not leave: `paths` by path, each with the name that stands for it."""

    secrets: set[str] = field(default_factory=set)
    paths: dict[str, str] = field(default_factory=dict)
    hosts: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    """Secret files that could not be read, so that what is in them is not known here."""
    stages: tuple[str, ...] = ()

    def learn(self, facts: Any) -> None:
        """Hosts and people that are named in what shall be packed."""
        if isinstance(facts, Mapping):
            self.host(facts.get("host"))
            self._person(facts.get("by"))
            for value in facts.values():
                self.learn(value)
        elif isinstance(facts, list | tuple):
            for value in facts:
                self.learn(value)
        elif isinstance(facts, str):
            for found in _BY.finditer(facts) if " (page, " in facts else ():
                self._somebody(found[1])
            for stage in (*self.stages, "orchestrator"):
                for found in re.finditer(re.escape(stage) + _WORKER, facts) if stage in facts else ():
                    self.host(found[1])

    def host(self, name: object) -> None:
        """A host's name, unless it is a number or one of our own words."""
        if (
            isinstance(name, str)
            and not name.isdigit()
            and len(name) > 1
            and name.lower() not in {*_NOBODY, *self.stages}
        ):
            # In workers' names it stands as letters, digits, - and _ only.
            self.hosts |= {name, re.sub(r"[^A-Za-z0-9_-]", "-", name)[:60]}

    def _person(self, who: object) -> None:
        told = str(who or "")
        if named := re.fullmatch(rf"(.*?){_ON_PAGE}", told, re.DOTALL):
            self._somebody(named[1])
            return
        name, at, host = told.partition("@")
        if at:
            self.host(host)
            self._somebody(name)

    def _somebody(self, name: str) -> None:
        ours = {*_NOBODY, *self.stages}
        self.people |= {name} if len(name) > 1 and not name.isdigit() and name.lower() not in ours else set()


def is_secret(name: str) -> bool:
    """Whether a key or a variable of this name holds a secret."""
    return bool(SECRET_NAME.search(name)) and not _WHERE.search(name)


def known(settings: Settings) -> Private:
    """All that the configuration, the environment and this machine tell."""
    found = Private(stages=tuple(row.name for row in settings.filters))
    common = settings.global_
    for section in (common, settings.grin, settings.seed, settings.board):
        _of_section(section, found)
    for text in _leaves([row.options for row in settings.filters], everything=False):
        found.secrets.add(text)
    _of_environment(found)
    for name in ("pipeline_dir", "processing_bucket", "temp_dir", "all_books"):
        _place(found, getattr(common, name), name)
    _place(found, common.done_bucket, "done_bucket")
    _place(found, settings.path, "config")
    _place(found, settings.base, "base")
    _place(found, settings.path.parent, "base")
    _of_network(settings, found)
    _of_machine(found)
    found.secrets -= {""}
    return found


def _of_section(section: Section, found: Private) -> None:
    for key, value in section:
        if isinstance(value, SecretStr):
            found.secrets |= set(_parts(value.get_secret_value()))
        elif key.endswith("_file") and isinstance(value, Path):
            _place(found, value, key)
            if key != "barcodes_file":
                _of_file(value, found)


def _of_file(path: Path, found: Private) -> None:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace").removeprefix("\ufeff")
    except FileNotFoundError:
        return
    except OSError as error:
        found.unread.append(f"{path}: {error.strerror}")
        return
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    if isinstance(facts, dict | list):
        for leaf in _leaves(facts, everything=True):
            found.secrets |= set(_parts(leaf))
    else:
        found.secrets |= set(_parts(text))


def _parts(text: str) -> Iterator[str]:
    """A secret, and each line of one that has several: a log may hold but one of them."""
    whole = text.strip()
    yield whole
    lines = [line.strip() for line in whole.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LEAF and not line.startswith("-----"))


def _leaves(facts: Any, *, everything: bool, name: str = "") -> Iterator[str]:
    """The texts in something like JSON: all but what everybody has, or only those under a secret's name."""
    if isinstance(facts, Mapping):
        for key, value in facts.items():
            yield from _leaves(value, everything=everything, name=str(key))
    elif isinstance(facts, list | tuple):
        for value in facts:
            yield from _leaves(value, everything=everything, name=name)
    elif isinstance(facts, str) and len(facts) >= _SHORTEST_LEAF:
        wanted = not _PUBLIC.search(name) if everything else is_secret(name)
        yield from (facts,) if wanted else ()


def _of_environment(found: Private) -> None:
    for name, value in os.environ.items():
        if not is_secret(name) or len(value) < _SHORTEST_LEAF or os.path.exists(value):  # noqa: PTH110 - may be anything
            continue
        found.secrets |= set(_parts(value))
        with suppress(ValueError, RecursionError):
            found.secrets |= set(_leaves(json.loads(value), everything=False, name=name))


def _of_network(settings: Settings, found: Private) -> None:
    """Hosts of one's own: a resolver names them without an address around them."""
    grin = settings.grin
    for host in (
        *grin.allowed_hosts,
        *(urlsplit(url).hostname for url in (grin.base_url, grin.token_uri, grin.auth_uri)),
    ):
        if not PUBLIC_HOST.search(host or ""):
            found.host(host)


def _of_machine(found: Private) -> None:
    found.host(socket.gethostname())
    found.host(socket.gethostname().partition(".")[0])
    names = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")}
    homes = {str(Path("~").expanduser())}
    with suppress(KeyError):
        account = pwd.getpwuid(os.getuid())
        names |= {account.pw_name, account.pw_gecos.partition(",")[0]}
        homes.add(account.pw_dir)
    found.people |= {name for name in names if name.lower() not in _NOBODY and len(name) > 1}
    for home in homes:
        _place(found, home, "home")


def _place(found: Private, path: Path | str | None, name: str) -> None:
    """A folder, also by its real name; the first name that one gets is the one that it keeps."""
    text = str(path or "").rstrip("/")
    if "://" in text:
        found.paths.setdefault(text, name)
    elif text.startswith("/"):
        for one in (text, os.path.realpath(text)):
            if len(one) > 1:
                found.paths.setdefault(one, name)
