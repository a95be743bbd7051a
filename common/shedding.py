"""Takes secrets out of this process's environment, for good.

What a process was started with stays readable in /proc/<pid>/environ whatever it does to os.environ, and a child shows
it too between fork and exec. So a process that finds a secret there starts itself again without it, and reads it from a
file in memory.
"""

from __future__ import annotations

import json
import os
import sys

from common.config import secret_variables

_MEMORY = "GRIN_PIPELINE_SECRETS_FD"


def shed() -> dict[str, str]:
    """The secret variables that this process was given; neither it nor a child has them in its environment any more."""
    memory = os.environ.pop(_MEMORY, None)
    if memory is not None:
        with os.fdopen(int(memory)) as handed:
            return dict(json.load(handed))
    secrets = secret_variables(os.environ)
    if secrets:
        _start_again_without(secrets)
    return {}


def _start_again_without(secrets: dict[str, str]) -> None:
    # In memory, and not a pipe: that would block on a secret larger than itself.
    memory = os.memfd_create("secrets", 0)
    with os.fdopen(os.dup(memory), "w") as handed:
        json.dump(secrets, handed)
    os.lseek(memory, 0, os.SEEK_SET)
    environ = {key: value for key, value in os.environ.items() if key not in secrets}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ | {_MEMORY: str(memory)})  # noqa: S606
