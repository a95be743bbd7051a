"""How a stage's process starts: arguments, configuration, checks, then the worker's loop.

A supervisor gives secrets that came from its own environment as one line of JSON on standard input, and keeps that pipe
open: when it closes, the supervisor is gone and the worker drains. So no child has a secret in its environment.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from common import board, config, logs
from common.attempt import Desk
from common.errors import ConfigError
from common.heartbeat import worker_name
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.shedding import shed
from common.worker import Worker


def main(service: str, argv: Sequence[str] | None = None) -> int:
    """Run one worker of the stage named `service` in the foreground; the exit code."""
    parser = argparse.ArgumentParser(prog=f"grin-pipeline stage {service}")
    parser.add_argument("--config", type=Path, help="the configuration, else ./config.yaml")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        return run(service, arguments)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)  # noqa: T201 - said to a person
        return 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of one stage in the foreground."""
    parser.add_argument("--metrics", default="127.0.0.1:8000", metavar="HOST:PORT", help="where to serve /metrics")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(name: str, arguments: argparse.Namespace) -> int:
    """Check everything, then work until told to stop. ConfigError when the stage cannot start at all."""
    secrets = _secrets_from_stdin() if arguments.supervised else shed()
    worker = arguments.worker or worker_name(name)
    desk = _desk(name, arguments.config, secrets)
    problems = desk.stage.check()
    if problems:
        raise ConfigError(problems)
    board.prepare(desk.settings.global_.pipeline_dir, [desk.row.input_pipe, desk.row.output_pipe])
    desk.log = logs.setup(desk.settings.global_.pipeline_dir / "logs", name, worker)
    _lead_a_group()
    if arguments.supervised:
        threading.Thread(target=_drain_with_supervisor, name="lifeline", daemon=True).start()
    host, _, port = arguments.metrics.rpartition(":")
    Worker(desk, worker, lambda: _desk(name, arguments.config, secrets, desk)).run(host, int(port))
    return 0


def _desk(name: str, path: Path | None, secrets: dict[str, str], old: Desk | None = None) -> Desk:
    settings = config.load(path, classes=name, secrets=secrets)
    row = settings.row(name)
    metrics = old.metrics if old else StageMetrics(row.name)
    stage = config.stage_class(row)(settings, row)
    stage.on_request = metrics.request
    ledger = Ledger(settings.global_.pipeline_dir / "ledger")
    log = old.log if old else logs.quiet()
    return Desk(settings, row, stage, ledger, metrics, log, lambda: 0.0)


def _secrets_from_stdin() -> dict[str, str]:
    line = b""
    # Unbuffered: the lifeline thread must find nothing half-read, and the interpreter no lock held, at the end.
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return {str(key): str(value) for key, value in json.loads(line or b"{}").items()}


def _drain_with_supervisor() -> None:
    """Wait for the pipe to close; the supervisor writes nothing more to it."""
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _lead_a_group() -> None:
    """Let a time limit reach gpg and the like, too; not at a terminal, where the group must get its Ctrl-C."""
    if os.getpgrp() != os.getpid() and not sys.stdin.isatty():
        os.setpgid(0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
