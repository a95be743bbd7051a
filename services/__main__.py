"""What each image runs: the service that STAGE names, or the stage of that name in the configuration.

Arguments are passed on. Everything listens on all addresses, since a container's loopback is nobody else's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

_STAGE_LISTENS, _BOARD_LISTENS = "0.0.0.0:8000", "0.0.0.0:8080"


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    # Imports take a while. The image blocks the signal until here, for the time in which the interpreter starts.
    signal.signal(signal.SIGTERM, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    name = os.environ.get("STAGE", "")
    if not name:
        sys.stderr.write("STAGE names no stage: set it to one of the configuration, or to orchestrator.\n")
        return 2
    return _orchestrator(arguments) if name == "orchestrator" else _stage(name, arguments)


def _orchestrator(arguments: Sequence[str]) -> int:
    try:
        from services.orchestrator.cli import main as command  # noqa: PLC0415 - no other image holds it
    except ModuleNotFoundError as error:
        if error.name != "services.orchestrator":
            raise
        sys.stderr.write("This image does not hold the orchestrator: run the orchestrator's image, without STAGE.\n")
        return 2
    os.environ.setdefault("GRIN_PIPELINE_BOARD__LISTEN", _BOARD_LISTENS)
    return command(arguments or ["up", "--no-stages"])


def _stage(name: str, arguments: Sequence[str]) -> int:
    from common.run import main as stage  # noqa: PLC0415 - only now, so that a signal meanwhile is heard

    return stage(name, ["--metrics", _STAGE_LISTENS, *arguments])


def _leave(_number: int, _frame: FrameType | None) -> None:
    # At once: an exception could be lost in somebody's import, and nothing has been begun yet.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
