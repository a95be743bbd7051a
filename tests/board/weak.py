"""Each protection of the board, taken away: what a test of it must notice. Meant for a forked child or monkeypatch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from common import board


@contextmanager
def no_fsync() -> Iterator[None]:
    """Nothing is pushed to the disk any more."""
    with mock.patch.object(os, "fsync", lambda _fd: None):
        yield


@contextmanager
def token_rewritten() -> Iterator[None]:
    """A finish writes the token anew in place of its claim, then renames: what the design forbids."""
    move = board._move

    def rewriting(held: board.Claim, target: Path, **more: bool) -> None:
        temp = held.path.with_name(f".{held.path.name}.tmp")
        temp.write_text(f'{{"barcode": "{held.barcode}"}}')
        temp.replace(held.path)
        move(held, target, **more)

    with mock.patch.object(board, "_move", rewriting), mock.patch.object(board, "_arrive", lambda _held: None):
        yield


@contextmanager
def no_fence() -> Iterator[None]:
    """A claim's name no longer says whose it is, so a late worker moves what another one holds."""

    def shared(held: board.Claim) -> Path:
        return held.bucket / board.WORKING / f"{held.barcode}~anyone.1.json"

    with mock.patch.object(board.Claim, "path", property(shared)):
        yield
