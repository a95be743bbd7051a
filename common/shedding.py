"""Takes secrets out of this process's environment, for good.

What a process was started with stays readable in /proc/<pid>/environ whatever it does to os.environ, and a child shows
it too between fork and exec. So a process that finds a secret there starts itself again without it, and reads it from a
pipe.
"""

from __future__ import annotations

import json
import os
import sys

from common.config import secret_variables

_PIPE = "GRIN_PIPELINE_SECRETS_FD"


def shed() -> dict[str, str]:
    """The secret variables that this process was given; neither it nor a child has them in its environment any more."""
    pipe = os.environ.pop(_PIPE, None)
    if pipe is not None:
        with os.fdopen(int(pipe)) as handed:
            return dict(json.load(handed))
    secrets = secret_variables(os.environ)
    if secrets:
        _start_again_without(secrets)
    return {}


def _start_again_without(secrets: dict[str, str]) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as handed:
        json.dump(secrets, handed)
    os.set_inheritable(read, True)
    environ = {key: value for key, value in os.environ.items() if key not in secrets}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ | {_PIPE: str(read)})  # noqa: S606
