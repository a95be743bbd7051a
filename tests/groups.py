"""All tests in groups: two of them side by side, and beside them those of the engine, which mostly wait for it.

Within a group, one test at a time: many measure times, and some kill what they started. The longest groups begin. Where
one test kills the engine, nobody else may need it: what does is one lane, a group after the other.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
ENGINE = (["containers"], ["kubernetes"])
OTHERS = (["board"], [], ["e2e", "simulator"], ["monitoring"], ["stages", "deploy"])
AT_ONCE = 2


def groups(lane: Iterable[list[str]]) -> list[list[str]]:
    """What each pytest of a lane is given; the empty group takes all that no other names."""
    folders = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    rest = sorted(folders.difference(*ENGINE, *OTHERS))
    return [[f"tests/{name}" for name in group or rest] for group in lane]


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
    with ThreadPoolExecutor(1) as engine, ThreadPoolExecutor(AT_ONCE) as pool:
        lanes = [(engine, ENGINE), (pool, OTHERS)]
        running = [lane.submit(run, group, more) for lane, named in lanes for group in groups(named)]
        codes = [one.result() for one in running]
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"All tests: {'passed' if not any(codes) else 'FAILED'}, {minutes} min {seconds} s.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
