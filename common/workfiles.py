"""A book's files while it is worked on: `<processing_bucket>/<barcode>/<stage>/`, published by one rename.

    <barcode>/.scratch/<claim>/    what an attempt is making; nobody else's business
    <barcode>/<stage>/             what that stage made, whole and durable from the moment its name exists

The next stage reads the nearest earlier stage's folder. A published folder is never replaced: whoever comes second
(a worker that woke up late) finds its scratch gone or the name taken, and lets go.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from common import board, durable
from common.errors import Lost, Reject

# What tells a published folder from another one of the same name: inode, and mtime in nanoseconds.
Identity = tuple[int, int]

_GONE = ".gone-"
# How often a folder that others take away while it is empty is made again.
_PATIENCE = 100
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def open_scratch(folder: Path, claim_id: str, is_live: Callable[[str], bool] = lambda _claim: False) -> Path:
    """A new empty scratch folder; those of earlier attempts are removed, unless `is_live` knows their claim."""
    scratches = folder / ".scratch"
    for _ in range(_PATIENCE):
        # The stage before, tidying up, takes an empty .scratch away at any moment.
        with suppress(FileNotFoundError):
            durable.make_dirs(folder.parent)
            durable.make_dir(folder)
            durable.make_dir(scratches)
            for old in os.listdir(scratches):
                hidden = None if is_live(old) else _hide(scratches / old, scratches)
                if hidden:
                    _rmtree(hidden)
            durable.make_dir(scratches / claim_id)
            return scratches / claim_id
    raise FileNotFoundError(errno.ENOENT, "it is taken away again and again", str(scratches))


def drop_scratch(folder: Path, claim_id: str) -> None:
    """Remove this attempt's scratch folder, and the book's folder too if nothing is left in it."""
    scratch = folder / ".scratch" / claim_id
    # Mostly it is empty, or published under another name.
    if not _rmdir(scratch):
        _rmtree(scratch)
    if _rmdir(folder / ".scratch"):
        _rmdir(folder)


def carry_over(source: Path, scratch: Path) -> None:
    """Hard-link into `scratch` what it lacks of `source`, so that a stage that adds one file passes on all others."""
    for path in files(source):
        target = scratch / path.relative_to(source)
        if not target.exists():
            _make_below(scratch, target.parent)
            link(path, target)


def _make_below(scratch: Path, folder: Path) -> None:
    """Make a folder inside a scratch folder, but never that itself: if it is gone, somebody else took the book over."""
    if folder != scratch and not folder.is_dir():
        _make_below(scratch, folder.parent)
        durable.make_dir(folder)


def sync_files(scratch: Path) -> None:
    """Make what a stage has left durable, names apart; before anything is carried over, which is durable already."""
    for path in files(scratch):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Reject(f"The stage left {path.relative_to(scratch)}, which is neither a file nor a folder.")
        durable.fsync_path(path)


def publish(scratch: Path, target: Path) -> None:
    """Give the scratch folder its public name. Lost when it was taken away; an earlier publication stays as it is."""
    try:
        durable.replace(scratch, target)
    except FileNotFoundError:
        raise Lost(f"{scratch} was taken away, so this attempt is over.") from None
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        _rmtree(scratch)
    durable.fsync_dir(target.parent)
    durable.fsync_dir(target.parent.parent)


def published(folder: Path) -> dict[str, Identity]:
    """The published folders of a book by name, each with what tells it from one that is published later."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _identity(Path(entry.path)) for entry in entries if not entry.name.startswith(".")}
    except FileNotFoundError:
        return {}


def _identity(path: Path) -> Identity:
    # An inode's number is given again once it is free; a published folder's mtime never changes.
    figures = path.lstat()
    return figures.st_ino, figures.st_mtime_ns


def remove(folder: Path, folders: Mapping[str, Identity]) -> None:
    """Remove published folders, if they are still those: first the names, at once, then what was in them."""
    gone = [_hide(folder / name, folder / ".scratch", identity) for name, identity in folders.items()]
    if any(gone):
        # Before anything in them goes: a power cut must not leave half a folder under a public name.
        durable.fsync_dir(folder)
    for hidden in filter(None, gone):
        _rmtree(hidden)
    _rmdir(folder / ".scratch")


def remove_book(folder: Path) -> None:
    """Remove all of a book's files: first the folder's name, at once, then what was in it."""
    gone = folder.with_name(f"{_GONE}{folder.name}-{secrets.token_hex(6)}")
    try:
        durable.replace(folder, gone)
    except FileNotFoundError:
        return
    # Before anything in it goes: a power cut must not bring back the name of half a book.
    durable.fsync_dir(folder.parent)
    _rmtree(gone)


def sweep(processing: Path, done: Path) -> int:
    """Remove the files of books whose token waits in `done`, and half-removed folders; how many there were."""
    swept = 0
    for folder in processing.iterdir() if processing.is_dir() else ():
        if folder.name.startswith(_GONE):
            _rmtree(folder)
        elif board.path_of(done, folder.name, board.WAITING).is_file():
            remove_book(folder)
        else:
            continue
        swept += 1
    return swept


def is_empty(folder: Path) -> bool:
    """Whether there is nothing in a folder."""
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def _rmdir(folder: Path) -> bool:
    """Remove a folder if it is empty."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _rmtree(folder: Path) -> None:
    """Remove as much of a folder as can be; a stage may have left anything in it, a thousand folders deep too."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)  # noqa: S607


def _hide(path: Path, scratches: Path, identity: Identity | None = None) -> Path | None:
    """Take a folder's name away, at once: nobody may publish or find half of it. None when it is not there.

    With an `identity`, only of that folder: a worker that wakes up late must not take what others have published since.
    """
    gone = scratches / f"gone-{secrets.token_hex(6)}"
    for _ in range(_PATIENCE):
        try:
            durable.replace(path, gone)
        except FileNotFoundError:
            if not path.exists():
                return None
            # The next stage, done with its own, took the empty .scratch away.
            durable.make_dir(scratches)
        else:
            if identity is None or _is(gone, identity):
                return gone
            # A name that should not have been taken; where a still newer folder has it, that stays.
            with suppress(OSError):
                gone.rename(path)
            return None
    return None


def _is(folder: Path, identity: Identity) -> bool:
    """Whether it is that folder; not if the next attempt has swept it away meanwhile."""
    try:
        return _identity(folder) == identity
    except FileNotFoundError:
        return False


def files(folder: Path) -> Iterator[Path]:
    """All files in a folder and the folders in it; one that cannot be read is an error, not an empty one."""
    for root, _, names in durable.walk(folder):
        yield from (Path(root, name) for name in names)


def link(source: Path, target: Path) -> None:
    """Give a durable file a second name, durably but for the name; a copy where there are no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        # Some network file systems have no hard links.
        shutil.copyfile(source, target)
        durable.fsync_path(target)
