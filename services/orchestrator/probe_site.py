"""Where `doctor` probes: a folder of its own on the board, or beside where the board will be, always removed again."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from common import board, durable
from common.config import Settings

_PREFIX = ".doctor-"
_OURS = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}")
# What a doctor that was killed has left is removed when it is so old, in seconds, by the server's clock.
_LEFTOVER = 3600.0
# So many folders of books and of the ledger are tried, for those of another owner.
_SAMPLE = 50


@dataclass(frozen=True)
class Site:
    """A board, or the place for one; `folder` is the probes' own, and gives every probe file elsewhere its name."""

    settings: Settings
    home: Path
    folder: Path

    @property
    def root(self) -> Path:
        """A small board of the probes' own."""
        return self.folder / "pipeline"

    @property
    def bucket(self) -> Path:
        """Its only bucket."""
        return self.root / "00_probe"

    def probe_in(self, folder: Path) -> Path:
        """A probe file in one of the board's own folders: a name that no token can have."""
        return folder / _probe_name(self.folder)

    def make(self, name: str) -> Path:
        """A folder for one probe."""
        made = self.folder / name
        made.mkdir()
        return made


def token_folders(settings: Settings) -> list[Path]:
    """Every folder of the board that a token can be renamed to, as far as it is there."""
    states = [bucket / state for bucket in settings.bucket_paths() for state in ("", *board.STATES[1:])]
    kept = [settings.global_.pipeline_dir / name for name in ("seeding", board.DROPPED)]
    return [folder for folder in (*kept, *states) if folder.is_dir()]


def other_folders(settings: Settings) -> list[Path]:
    """The other folders that the stages write to, or the nearest that exist above them."""
    common = settings.global_
    kept = [common.pipeline_dir / name for name in ("ledger", "workers", "paused", "logs")]
    wanted = [*(folder for folder in kept if folder.is_dir()), common.processing_bucket, common.temp_dir]
    return list(dict.fromkeys(durable.existing_ancestor(folder) for folder in wanted))


def foreign_folders(settings: Settings) -> list[Path]:
    """Folders of books and of the ledger, as far as some of each tell, that this user may not write to.

    One command given as another user is enough to leave them. They are only asked: a probe file would be in the way of
    the stages, which make and remove such folders all the time.
    """
    kept = (settings.global_.pipeline_dir / "ledger", settings.global_.processing_bucket)
    return [path for folder in kept for path in _some_of(folder) if not os.access(path, os.W_OK) and path.exists()]


def _some_of(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in islice((one for one in entries if one.is_dir()), _SAMPLE)]
    return []


@contextmanager
def opened(settings: Settings) -> Iterator[Site]:
    """A site, swept of what earlier doctors left; nothing of this one stays."""
    home = durable.existing_ancestor(settings.global_.pipeline_dir)
    site = Site(settings, home, home / f"{_PREFIX}{secrets.token_hex(8)}")
    try:
        site.folder.mkdir()
        _sweep(site)
        board.prepare(site.root, [site.bucket])
        yield site
    finally:
        try:
            with _undisturbed():
                _remove(settings, site.folder)
        except BaseException:
            # It may have come just before it could be held off.
            _remove(settings, site.folder)
            raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Who is told to stop meanwhile hears it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _probe_name(folder: Path) -> str:
    return f"{folder.name}.probe"


def _sweep(site: Site) -> None:
    now = durable.server_time(site.folder)
    for home in _homes(site.home):
        with suppress(OSError):
            for name in filter(_OURS.fullmatch, os.listdir(home)):
                old = home / name
                if old != site.folder and now - old.lstat().st_mtime > _LEFTOVER:
                    _remove(site.settings, old)


def _homes(home: Path) -> Iterator[Path]:
    """Where doctors have been at work: also above the board, before there was one."""
    device = home.stat().st_dev
    for folder in (home, *home.parents):
        if folder.stat().st_dev != device:
            return
        yield folder


def _remove(settings: Settings, folder: Path) -> None:
    """The probe files first: their names are known by the folder's, which therefore goes last."""
    for place in (*token_folders(settings), *other_folders(settings)):
        with suppress(OSError):
            (place / _probe_name(folder)).unlink()
    # A network file system may keep a removed file's name for as long as it is open somewhere.
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
