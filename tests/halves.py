"""All tests in two halves side by side: the board's, which mostly wait for disks and clocks, and all others.

One after the other they take half as long again, with one of two cores idle. Within a half, one test at a time: many
measure times, and some kill what they started.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import IO

HALVES = (["tests/board"], ["tests", "--ignore=tests/board", "-p", "no:cacheprovider"])


def main(more: list[str]) -> int:
    """Run both, and show the first as it goes and the other one after it; the worse of their exit codes."""
    with tempfile.TemporaryFile("w+") as kept:
        outputs: list[IO[str] | None] = [None, kept]
        halves = [
            subprocess.Popen([sys.executable, "-m", "pytest", *half, *more], stdout=output, stderr=output)
            for half, output in zip(HALVES, outputs, strict=True)
        ]
        began = time.monotonic()
        codes = [half.wait() for half in halves]
        kept.seek(0)
        for line in kept:
            print(line, end="")
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"Both halves of the tests: {'passed' if not any(codes) else 'FAILED'}, {minutes} min {seconds} s.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
