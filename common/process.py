"""What a worker's process owes its supervisor and its own children.

A supervisor gives secrets that came from its own environment as one line of JSON on standard input, and keeps that
pipe open: when it closes, the supervisor is gone and the worker drains. So no child has a secret in its environment,
and none is left behind.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import threading


def lifeline() -> int:
    """Take the supervisor's pipe away from standard input, so that what a stage starts cannot wait on it."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def secrets_from(pipe: int) -> dict[str, str]:
    """The first line of the pipe."""
    line = b""
    # Byte by byte: the thread that waits for the end must find nothing half-read.
    while not line.endswith(b"\n") and (byte := os.read(pipe, 1)):
        line += byte
    return {str(key): str(value) for key, value in json.loads(line or b"{}").items()}


def drain_when_closed(pipe: int) -> None:
    """Tell this process to drain once the supervisor's end of the pipe is closed."""
    threading.Thread(target=_wait_and_drain, args=(pipe,), name="lifeline", daemon=True).start()


def lead_a_group() -> None:
    """Let a time limit reach gpg and the like, too; not at a terminal, where the group must get its Ctrl-C."""
    if os.getpgrp() != os.getpid() and not any(os.isatty(fd) for fd in (0, 1, 2)):
        os.setpgid(0, 0)


def let_children_die() -> None:
    """A child that a stage forks is to end by SIGTERM, and not to drain like a worker."""
    os.register_at_fork(after_in_child=_default_signals)


def limit_memory(size: int | None) -> None:
    """Let a book that eats memory end in its own process, and not take the whole machine with it; `size` in bytes."""
    if size is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def end_group(pid: int) -> None:
    """Kill what is left of a dead worker's process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _wait_and_drain(pipe: int) -> None:
    while os.read(pipe, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _default_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
