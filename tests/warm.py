"""Commands without the half second of imports: a process that has `grin-pipeline` loaded forks for each of them.

It is the same code in a process of its own, with its own files and arguments. What is killed, timed or watched, and all
that runs for long, the tests start from nothing.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_ours = threading.local()


@dataclass
class Warm:
    """One process that waits for commands; each thread has its own, so that commands may run at the same time."""

    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen([sys.executable, "-P", "-m", "tests.warm"], env=environ, **pipes)  # type: ignore[call-overload]
        atexit.register(self.end)

    def run(
        self, arguments: list[str], environ: dict[str, str], text: str, cwd: Path
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "0").write_text(text)
            order = {"arguments": arguments, "environ": environ, "folder": name, "cwd": str(cwd)}
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            said, complained = ((folder / number).read_text() for number in "12")
        return subprocess.CompletedProcess(["grin-pipeline", *arguments], code, said, complained)

    def end(self) -> None:
        """It ends when nobody can give it orders any more."""
        self.process.communicate()


def run(
    arguments: list[str], environ: dict[str, str], text: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`grin-pipeline` with these arguments in this environment, to its end."""
    warm: Warm | None = getattr(_ours, "warm", None)
    if warm is None or warm.process.poll() is not None:
        warm = _ours.warm = Warm()
    return warm.run(arguments, environ, text, cwd or Path.cwd())


# --- in the process that waits ---


def _become(order: dict[str, Any]) -> int:
    """What Python does before the first line of a program, then that program."""
    from services.orchestrator.cli import main

    folder = Path(order["folder"])
    for number, flags in enumerate((os.O_RDONLY, os.O_CREAT | os.O_WRONLY, os.O_CREAT | os.O_WRONLY)):
        opened = os.open(folder / str(number), flags | (os.O_APPEND if number else 0))
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environ"])
    sys.path[:0] = filter(None, order["environ"].get("PYTHONPATH", "").split(":"))
    sys.argv[1:] = order["arguments"]
    sys.orig_argv[1:] = ["-P", "-m", "services.orchestrator", *order["arguments"]]
    try:
        return main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself does
        traceback.print_exc()
        return 1


def _forked(order: dict[str, Any]) -> int:
    """Let a child be the command; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        code = _become(order)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _serve() -> None:
    """Commands, one line each, until there are no more."""
    from services.orchestrator import cli

    cli._parser()
    gc.freeze()
    for line in sys.stdin:
        print(_forked(json.loads(line)), flush=True)


if __name__ == "__main__":
    _serve()
