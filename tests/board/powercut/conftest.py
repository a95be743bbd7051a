"""Where the power is cut: in memory, if there is enough of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.board.powercut.drive import Drive, require_drive

_ENOUGH = 2 << 30


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where thousands of small boards cost little; where there is too little, one on the disk."""
    shared = Path("/dev/shm")
    fits = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > _ENOUGH
    folder = Path(tempfile.mkdtemp(prefix="powercut-", dir=shared if fits else tmp_path))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def drive(memory: Path) -> Iterator[Drive]:
    """A disk whose power can be cut."""
    for name in ("probe", "drive"):
        (memory / name).mkdir()
    require_drive(memory / "probe")
    with Drive(memory / "drive") as made:
        yield made
