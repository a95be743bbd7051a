"""A volume whose renames are copies, as in a mounted object store; every user of this machine may use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.board.lying import lies
from tests.board.lying.mount import ROOT, require_fuse
from tests.helpers import until


@contextmanager
def copying(folder: Path, owner: int) -> Iterator[Path]:
    """It is mounted in this folder, and all in it looks as if it were the owner's."""
    require_fuse()
    point, below = folder / "volume", folder / "below"
    for path in (point, below):
        path.mkdir(parents=True)
    lies.write(folder / "lies", lies.Lies(copies=True))
    command = [sys.executable, "-m", __name__, str(folder), str(owner)]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as server:
        try:
            until(lambda: os.path.ismount(point) or server.poll() is not None, 60)
            assert server.poll() is None, "It could not be mounted."
            yield point
        finally:
            subprocess.run(["umount", "--lazy", point], check=False)


def main(folder: Path, owner: str) -> None:
    """Serve it until it is unmounted."""
    import mfusepy

    from tests.board.lying.filesystem import Lying

    served = Lying(folder / "below", lies.Control(folder / "lies"), folder / "log", 1)
    how = {"foreground": True, "nothreads": True, "use_ino": True, "allow_other": True}
    mfusepy.FUSE(served, str(folder / "volume"), uid=owner, gid=owner, **how)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
