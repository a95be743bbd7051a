"""`export`: a board for support, in one file: how it stands, what failed and why, logs; with nothing private in it.

Every text goes through the redactor, and what is packed is searched once more before the file gets its name.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from common import __version__, board, durable
from common.config import Settings
from common.errors import StageError
from common.token import is_barcode
from common.variables import PREFIX
from services.orchestrator import doctor
from services.orchestrator.causes import Causes
from services.orchestrator.crew import crew
from services.orchestrator.drafts import draft, keep, sweep
from services.orchestrator.private import known
from services.orchestrator.redact import Redactor
from services.orchestrator.render import plain
from services.orchestrator.shape import shape
from services.orchestrator.view import View

FOLDER = "grin-pipeline-export"
_STATES = (board.FAILED, board.DEFERRED, board.HELD)
# Of a log no more bytes than these are looked at. A longer line is left out: cut, it could end in half a secret.
_TAIL, _LINE = 4 << 20, 200_000
_LIBRARIES = (
    "pydantic",
    "pydantic-settings",
    "PyYAML",
    "httpx",
    "google-auth",
    "rich",
    "starlette",
    "prometheus-client",
)
_READ_ME = """This file tells how a GRIN Pipeline board stands. Look through it before you give it to anybody.

Secrets, folders, host names, addresses and people are replaced by placeholders such as <secret>, <processing_bucket>,
<host-1>: the same thing has the same placeholder in all files. Barcodes {barcodes}. What nobody can recognise, such as
a name in a sentence that a person wrote, is still there.

status.json       the board as `grin-pipeline status --json` shows it
books.jsonl       failed, deferred and held books, {books} of each at most
causes.json       all of these by cause
shape.json        how old the waiting tokens are
workers.json      who works on what
config.yaml       the configuration as it was understood; environment.json: the variables that took part
versions.json     of this program and what it runs on
doctor.json       what `grin-pipeline doctor --no-stages --brief` finds
ledgers/          the stories of the failed books
logs/             the last {lines} lines of each log
"""


@dataclass(frozen=True)
class Limits:
    """How much is packed."""

    books: int = 50
    lines: int = 1000
    barcodes: bool = True
    doctor: bool = True


@dataclass(frozen=True)
class Packed:
    """What was written: names with their bytes, what was taken out how often, and what could not be known."""

    path: Path
    size: int
    names: dict[str, int]
    taken: dict[str, int]
    unread: list[str]


def export(settings: Settings, target: Path, limits: Limits) -> Packed:
    """Pack it; the file gets its name when it is whole and has been searched."""
    view, private = View(settings), known(settings)
    parts = list(_Parts(view, limits).all())
    for _, facts in parts:
        private.learn(facts)
    redactor = Redactor(private, None if limits.barcodes else _books(view, parts))
    texts = {redactor.text(name): _as_text(name, redactor.value(facts)) for name, facts in parts}
    _search(redactor, texts)
    kept = "stand as they are" if limits.barcodes else "are replaced as well"
    texts = {"README.txt": _READ_ME.format(barcodes=kept, books=limits.books, lines=limits.lines), **texts}
    sweep(target)
    with draft(target) as file:
        # Before anything is in it.
        os.fchmod(file.fileno(), 0o600)
        _pack(texts, file)
        keep(file, target)
    durable.fsync_dir(target.parent)
    sizes = {name: len(text.encode()) for name, text in texts.items()}
    return Packed(target, target.stat().st_size, sizes, redactor.taken, private.unread)


class _Parts:
    """What is to be packed, as facts: dicts, lists, and lists of lines."""

    def __init__(self, view: View, limits: Limits) -> None:
        self.view = view
        self.limits = limits
        self.settings = view.settings
        self._failed: list[str] = []

    def all(self) -> Iterator[tuple[str, Any]]:
        """Each with its name; one that cannot be made says why."""
        view = self.view
        makers: dict[str, Callable[[], Any]] = {
            "versions.json": _versions,
            "status.json": view.status,
            "workers.json": lambda: [hand.as_dict() for hand in crew(view)],
            "books.jsonl": self._books,
            "causes.json": lambda: [one.as_dict() for one in Causes(view, budget=None).groups(_STATES)],
            "shape.json": lambda: [row.as_dict((board.WAITING,)) for row in shape(view)],
            "config.yaml": self._config,
            "environment.json": lambda: {name: value for name, value in os.environ.items() if name.startswith(PREFIX)},
        }
        if self.limits.doctor:
            makers["doctor.json"] = self._doctor
        for name, make in makers.items():
            yield name, _guarded(make)
        for barcode in self._failed:
            yield f"ledgers/{barcode}.jsonl", _guarded(partial(view.ledger.read, barcode))
        yield from self._logs()

    def _books(self) -> list[dict[str, Any]]:
        found = []
        for state in _STATES:
            rows = (row for row in self.view.rows(None, (state,)) if row.state == state)
            some = [row.as_dict() for row in islice(rows, self.limits.books)]
            self._failed += [str(row["barcode"]) for row in some if state == board.FAILED]
            found += some
        return found

    def _config(self) -> dict[str, Any]:
        dumped = self.settings.model_dump(mode="json", exclude={"path", "base"})
        return {key.rstrip("_"): value for key, value in _without_underscores(dumped).items()}

    def _doctor(self) -> list[dict[str, Any]]:
        skip = doctor.before_start(self.settings, brief=True)
        with closing(doctor.examine(self.settings, doctor.CLAIMS, store=False, stages=False, skip=skip)) as found:
            return [one.as_dict() for one in found]

    def _logs(self) -> Iterator[tuple[str, Any]]:
        folder = self.view.root / "logs"
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix in (".jsonl", ".stderr") and path.is_file() and not path.is_symlink():
                yield f"logs/{path.name}", _guarded(partial(_tail, path, self.limits.lines))


def _guarded(make: Callable[[], Any]) -> Any:
    """What was made; a board that is broken is what support is asked about."""
    try:
        return make()
    except (OSError, ValueError, StageError, RecursionError) as error:
        return [{"could not be made": f"{type(error).__name__}: {error}"}]


def _versions() -> dict[str, Any]:
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"grin_pipeline": __version__, "python": platform.python_version(), "system": system, "made": now, **found}


def _without_underscores(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {key.rstrip("_"): _without_underscores(value) for key, value in facts.items()}
    return [_without_underscores(one) for one in facts] if isinstance(facts, list) else facts


def _tail(path: Path, lines: int) -> list[Any]:
    """The last lines of a log: objects, or the text of what is none."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(fd).st_size
        file.seek(max(0, size - _TAIL))
        data = file.read(_TAIL)
    found = data.split(b"\n")[1 if size > _TAIL else 0 :]
    return [_parsed(line.decode("utf-8", "replace")) for line in [line for line in found if line][-lines:]]


def _parsed(line: str) -> Any:
    if len(line) > _LINE:
        return f"(a line of {len(line):,} characters)"
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return facts if isinstance(facts, dict) else line


def _as_text(name: str, facts: Any) -> str:
    if name.endswith(".yaml") and isinstance(facts, dict):
        return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    if name.endswith(".json"):
        return json.dumps(facts, indent=2) + "\n"
    lines: Iterable[str] = (plain(one) if isinstance(one, str) else json.dumps(one) for one in facts)
    return "".join(f"{line}\n" for line in lines)


def _books(view: View, parts: Iterable[tuple[str, Any]]) -> Callable[[str], bool]:
    """What is a barcode of this board: named in what is packed, or known to the ledger."""
    named = set(_named(facts for _, facts in parts))
    return lambda word: word in named or (is_barcode(word) and view.ledger.path(word).exists())


def _named(facts: Any) -> Iterator[str]:
    if isinstance(facts, dict):
        for key, value in facts.items():
            if key == "barcode" and isinstance(value, str):
                yield value
            elif key == "barcodes" and isinstance(value, list):
                yield from (str(one) for one in value)
            else:
                yield from _named(value)
    elif not isinstance(facts, str | int | float | None):
        for one in facts:
            yield from _named(one)


def _search(redactor: Redactor, texts: dict[str, str]) -> None:
    """The last look: nothing is written in which something that is known to be private stands."""
    found = {name: kinds for name, text in texts.items() if (kinds := redactor.leaks(text))}
    if found:
        names = "; ".join(f"{', '.join(kinds)} in {name}" for name, kinds in found.items())
        raise StageError(f"Something private would still be in it ({names}), so nothing was written.", "Report this.")


def _pack(texts: dict[str, str], file: Any) -> None:
    # Neither the file's own name nor anybody's user name stands in the headers.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, text in texts.items():
            data = text.encode("utf-8", "replace")
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size, member.mtime, member.mode = len(data), int(time.time()), 0o600
            tar.addfile(member, io.BytesIO(data))
