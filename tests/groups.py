"""All tests in groups, three side by side, since most of a test is waiting; what fails is tried once more, alone.

Within a group, one test at a time: many measure times, and some kill what they started; one kills the engine, so all
that need it are one group. The longest groups begin. On two cores a neighbour can disturb what is timed: what fails
beside others, and passes when nothing else runs, was disturbed, and is named in the end all the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).parent
GROUPS = (
    ["board"],
    ["containers", "kubernetes"],
    ["e2e", "simulator"],
    ["unit"],
    ["browser", "cli", "docs"],
    [],
    ["stages", "deploy"],
    ["monitoring"],
)
AT_ONCE = 3
# pytest's code for tests that failed; any other is no test's doing, and not tried again. More than so many failures
# are no disturbance.
_FAILED, _MOST = 1, 5


@dataclass
class Group:
    """Some folders of tests; pytest remembers in `memory` which have failed."""

    folders: list[str]
    memory: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="grin-tests-"))

    def run(self, more: list[str], *, again: bool = False) -> int:
        """One pytest, over all or over what has failed; what it said is printed when it has ended."""
        began, name = time.monotonic(), " ".join(self.folders) + (", what failed, alone" if again else "")
        say(f"{name}: begins.\n")
        only = ["--last-failed", "--last-failed-no-failures", "none"] if again else []
        with tempfile.TemporaryFile("w+") as kept:
            command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={self.memory}", *only, *self.folders, *more]
            code = subprocess.run(command, stdout=kept, stderr=kept, check=False).returncode
            kept.seek(0)
            said = kept.read()
        say(f"{said}{name}: {'passed' if code == 0 else 'FAILED'}, {time.monotonic() - began:.0f} s.\n")
        return code

    def failed(self) -> list[str]:
        """The tests that failed in the last run."""
        kept = Path(self.memory, "v", "cache", "lastfailed")
        return list(json.loads(kept.read_text())) if kept.exists() else []


def groups() -> list[Group]:
    """What each pytest is given; the empty group takes all that no other names."""
    folders = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    others = sorted(folders.difference(*GROUPS))
    return [Group([f"tests/{name}" for name in group or others]) for group in GROUPS]


def say(text: str) -> None:
    """In one piece: several groups speak."""
    sys.stdout.write(text)
    sys.stdout.flush()


def alone(group: Group, code: int, more: list[str]) -> tuple[int, list[str]]:
    """The group's code once what failed has been tried again, and the tests that only neighbours had disturbed."""
    failed = group.failed()
    if code != _FAILED or not 0 < len(failed) <= _MOST:
        return code, []
    code = group.run(more, again=True)
    return code, failed if code == 0 else []


def main(more: list[str]) -> int:
    """Run all; the worst of their exit codes."""
    began, every = time.monotonic(), groups()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        first = list(pool.map(lambda group: group.run(more), every))
    results = [alone(group, code, more) for group, code in zip(every, first, strict=True)]
    codes, disturbed = [code for code, _ in results], [name for _, names in results for name in names]
    for group in every:
        shutil.rmtree(group.memory, ignore_errors=True)
    for name in disturbed:
        print(f"DISTURBED BY ITS NEIGHBOURS, PASSED ALONE: {name}")
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"All tests: {'passed' if not any(codes) else 'FAILED'}, {minutes} min {seconds} s.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
