"""All tests in groups, two of them side by side: one leaves a core idle, and a third disturbs what is timed.

Within a group, one test at a time: many measure times, and some kill what they started; one kills the engine, so all
that need it are one group. The longest groups begin.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
GROUPS = (["board"], ["containers", "kubernetes"], [], ["e2e", "simulator"], ["monitoring"], ["stages", "deploy"])
AT_ONCE = 2


def groups() -> list[list[str]]:
    """What each pytest is given; the empty group takes all that no other names."""
    folders = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    others = sorted(folders.difference(*GROUPS))
    return [[f"tests/{name}" for name in group or others] for group in GROUPS]


def run(group: list[str], more: list[str]) -> int:
    """One pytest; what it said is printed when it has ended."""
    began = time.monotonic()
    say(f"{' '.join(group)}: begins.\n")
    with tempfile.TemporaryFile("w+") as kept:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *group, *more]
        code = subprocess.run(command, stdout=kept, stderr=kept, check=False).returncode
        kept.seek(0)
        said = kept.read()
    seconds = time.monotonic() - began
    say(f"{said}{' '.join(group)}: {'passed' if code == 0 else 'FAILED'}, {seconds:.0f} s.\n")
    return code


def say(text: str) -> None:
    """In one piece: several groups speak."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main(more: list[str]) -> int:
    """Run all; the worst of their exit codes."""
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(lambda group: run(group, more), groups()))
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"All tests: {'passed' if not any(codes) else 'FAILED'}, {minutes} min {seconds} s.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
