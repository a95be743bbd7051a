"""Mutation testing of the board's modules with mutmut: `python -m tests.mutation.mutants [MODULE …]`.

Each module of `TESTS` is changed in one place after the other, and the tests named beside it must notice. For each
module this prints how many changes there were, how many the tests killed, how many survived, how many ended in a
time-out (an endless loop, mostly: noticed as well), and the share that was noticed. The exit code is 1 when less than
`ENOUGH` per cent of a module's changes are noticed. Survivors are explained one by one in survivors.md; those that are
not there are printed.

mutmut works on a copy, in build/mutation/<module>; survivors.diff there has all changes that survived. It leaves
out what runs when a module is imported (constants, patterns, the fields of dataclasses), decorated functions (in these
modules: the properties `Claim.id` and `Claim.path`) and the inside of f-strings' text. Children that a test forks run
the changed code too; programs that a test starts anew do not, so tests that do this are not among those below.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("MUTATION_BUILD", PROJECT / "build" / "mutation"))
JOBS = os.environ.get("MUTATION_JOBS", str(os.cpu_count() or 1))
ENOUGH = 90.0
# Quick tests only, of those that run the module in their own process or in a forked child.
TESTS = {
    "token": ["tests/unit/test_token.py"],
    "durable": ["tests/unit/test_durable.py"],
    "ledger": ["tests/unit/test_ledger.py"],
    "listing": ["tests/unit/test_listing.py", "tests/unit/test_board.py"],
    "board": [f"tests/unit/test_{name}.py" for name in ("board", "board_claims", "board_moves", "seeder")],
    "reaper": ["tests/unit/test_reaper_turns.py", "tests/unit/test_reaper.py"],
    "worker": [f"tests/unit/test_{name}.py" for name in ("worker", "worker_halts", "worker_stranded", "worker_watch")],
}
CONFIGURATION = """\
[tool.mutmut]
source_paths = ["common"]
only_mutate = ["common/{module}.py"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "tests.mutation.apart"]
timeout_constant = 10.0
timeout_multiplier = 5.0
use_git_change_detection = false
track_dependencies = false
"""


def main(modules: list[str]) -> int:
    """Try each module; print the table; 1 when one of them is below `ENOUGH`."""
    print(f"{'file':24}{'mutants':>9}{'killed':>9}{'survived':>10}{'timed out':>11}{'percent':>9}", flush=True)
    return int(min([_tried(module) for module in modules or TESTS]) < ENOUGH)


def _tried(module: str) -> float:
    folder = BUILD / module
    with tempfile.TemporaryDirectory(prefix="mutation-", dir=_memory()) as temp:
        _prepare(folder, module)
        _mutmut(folder, temp, "run", "--max-children", JOBS)
        lines = _mutmut(folder, temp, "results", "--all", "true").splitlines()
        results = dict(line.strip().rpartition(": ")[::2] for line in lines if ": " in line)
        percent = _row(module, Counter(results.values()))
        _explained(folder, temp, [name for name, result in results.items() if result not in ("killed", "timeout")])
    return percent


def _explained(folder: Path, temp: str, survivors: list[str]) -> None:
    """Write down the changes that survived, and print those of which survivors.md does not know."""
    diffs = {name: _mutmut(folder, temp, "show", name) for name in survivors}
    (folder / "survivors.diff").write_text("\n".join(diffs.values()))
    known = (Path(__file__).parent / "survivors.md").read_text()
    for name, diff in diffs.items():
        new = [line[1:].strip() for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
        if not new or new[0] not in known:
            print(f"    not in survivors.md: {name}\n        {' '.join(new)}", flush=True)


def _row(module: str, counts: Counter[str]) -> float:
    """Print a line of the table; the percentage in it."""
    total, killed, timed_out = counts.total(), counts["killed"], counts["timeout"]
    percent = 100 * (killed + timed_out) / total if total else 0.0
    survived = total - killed - timed_out
    print(f"common/{module + '.py':17}{total:9}{killed:9}{survived:10}{timed_out:11}{percent:9.1f}", flush=True)
    return percent


def _prepare(folder: Path, module: str) -> None:
    """A copy of the project as it is now, with mutmut's section in its pyproject.toml."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("common", "tests"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "run"))
    section = CONFIGURATION.format(module=module, tests=TESTS[module])
    (folder / "pyproject.toml").write_text(f"{(PROJECT / 'pyproject.toml').read_text()}\n{section}")


def _mutmut(folder: Path, temp: str, *arguments: str) -> str:
    # CI: hypothesis then tries the same examples every time, and has no deadline.
    environ = {**os.environ, "CI": "true", "TMPDIR": temp, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "mutmut", *arguments]
    log = folder / f"{arguments[0]}.log"
    with log.open("w") as out:
        code = subprocess.run(command, cwd=folder, env=environ, stdout=out, stderr=out, check=False).returncode
    if code:
        raise SystemExit(f"mutmut {arguments[0]} failed; see {log}.")
    return log.read_text()


def _memory() -> str | None:
    """A folder in memory where there is one: nobody cuts the power here."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
