"""Mounts: `with Mount(…) as mount:` for a test, `python -m tests.board.lying.mount` for the process that serves it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.board.lying import lies as lies_module
from tests.board.lying.lies import NONE, Control, Lies

ROOT = Path(__file__).parents[3]


def require_fuse() -> None:
    """Skip loudly where FUSE cannot be used; fail there when REQUIRE_ENGINE is set."""
    reason = _lack()
    if reason and os.environ.get("REQUIRE_ENGINE"):
        pytest.fail(f"REQUIRE_ENGINE is set, but {reason}.")
    if reason:
        pytest.skip(f"THE LYING FILE SYSTEM CANNOT BE MOUNTED: {reason}.")


def _lack() -> str:
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:
        return f"mfusepy or libfuse3 is missing ({error})"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened ({error.strerror})"
    return ""


@contextmanager
def new_place() -> Iterator[Path]:
    """A new folder for mounts and what lies below them: in memory, where there is one, for no disk is tested here."""
    require_fuse()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="lying-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Mount:
    """`below`, mounted at `point` by a process of its own; several mounts of one folder are several clients."""

    def __init__(self, point: Path, below: Path, *, subtype: str = "", seed: int = 1) -> None:
        self.point, self.below = point, below
        self.control = point.with_name(f"{point.name}.lies")
        self.log = point.with_name(f"{point.name}.log")
        self.subtype, self.seed = subtype, seed
        self.lies = NONE

    def tell(self, **changes: Any) -> None:
        """From now on, these lies as well; `tell(rate=0)` ends one."""
        self.set(replace(self.lies, **changes))

    def set(self, lies: Lies) -> None:
        """From now on, these lies only."""
        self.lies = lies
        lies_module.write(self.control, lies)

    def told(self, what: str = "") -> list[str]:
        """The lies that were told, a line each."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(what)]

    def __enter__(self) -> Mount:
        self.point.mkdir(parents=True, exist_ok=True)
        self.below.mkdir(parents=True, exist_ok=True)
        self.set(self.lies)
        command = [sys.executable, "-m", "tests.board.lying.mount", str(self.point), str(self.below)]
        more = ["--control", str(self.control), "--log", str(self.log), "--seed", str(self.seed)]
        self.process = subprocess.Popen([*command, *more, "--subtype", self.subtype], cwd=ROOT, start_new_session=True)
        end = time.monotonic() + 60
        while not os.path.ismount(self.point):
            if self.process.poll() is not None or time.monotonic() > end:
                self._end()
                pytest.fail("The lying file system could not be mounted.")
            time.sleep(0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        if os.path.ismount(self.point):
            command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
            subprocess.run([*command, str(self.point)], check=False)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main() -> None:
    """Serve one mount until it is unmounted."""
    import mfusepy

    from tests.board.lying.filesystem import Lying

    parser = argparse.ArgumentParser()
    for name in ("point", "below", "--control", "--log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--subtype", default="")
    given = parser.parse_args()
    operations = Lying(given.below, Control(given.control), given.log, given.seed)
    options = {"fsname": "lying", **({"subtype": given.subtype} if given.subtype else {})}
    # The kernel believes nothing for longer than one call: all that is remembered is this file system's own lie.
    believe = {"entry_timeout": 0, "negative_timeout": 0, "attr_timeout": 0}
    mfusepy.FUSE(
        operations,
        str(given.point),
        foreground=True,
        nothreads=True,
        use_ino=True,
        direct_io=True,
        **believe,
        **options,
    )


if __name__ == "__main__":
    main()
