"""How a stage's process starts: arguments, configuration, checks, then the worker's loop."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from common import board, config, logs, process
from common.attempt import Desk
from common.config import FilterRow, Settings
from common.errors import ConfigError, refusal
from common.heartbeat import worker_name
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.shedding import shed
from common.stage import Stage
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
    where = ("127.0.0.1", 8000)
    parser.add_argument("--metrics", type=_address, default=where, metavar="HOST:PORT", help="where to serve /metrics")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(name: str, arguments: argparse.Namespace) -> int:
    """Check everything, then work until told to stop. ConfigError when the stage cannot start at all."""
    lifeline = process.lifeline() if arguments.supervised else None
    secrets = process.secrets_from(lifeline) if lifeline is not None else shed()
    worker = arguments.worker or worker_name(name)
    desk = _desk(name, arguments.config, secrets)
    if problems := problems_of(desk.stage):
        raise ConfigError(problems)
    root = desk.settings.global_.pipeline_dir
    prepare(root, [desk.row.input_pipe, desk.row.output_pipe])
    desk.log = logs.setup(root / "logs", name, worker)
    process.lead_a_group()
    process.let_children_die()
    process.limit_memory(desk.row.memory_limit)
    if lifeline is not None:
        process.drain_when_closed(lifeline)
    # By its absolute path from now on: a stage may change the folder that it works in.
    Worker(desk, worker, lambda: _desk(name, desk.settings.path, secrets, desk)).run(*arguments.metrics)
    return 0


def make_stage(settings: Settings, row: FilterRow) -> Stage:
    """The stage of a row; ConfigError when its constructor fails."""
    try:
        return config.stage_class(row)(settings, row)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError([f"The stage {row.name} cannot be made: {type(error).__name__}: {error}."]) from error


def problems_of(stage: Stage) -> list[str]:
    """What keeps a stage from starting, in sentences; a check that fails itself is one of them."""
    try:
        return [f"Stage {stage.row.name}: {problem}" for problem in stage.check()]
    except Exception as error:  # noqa: BLE001 - check() may be anybody's
        return [f"The check of the stage {stage.row.name} failed: {type(error).__name__}: {error}."]


def prepare(root: Path, buckets: list[Path]) -> None:
    """Make the folders of a board; ConfigError when that cannot be done."""
    try:
        board.prepare(root, buckets)
    except OSError as error:
        raise ConfigError([f"The board cannot be made: {error.filename}: {refusal(error)}"]) from None


def _desk(name: str, path: Path | None, secrets: dict[str, str], old: Desk | None = None) -> Desk:
    settings = config.load(path, classes=name, secrets=secrets)
    row = settings.row(name)
    metrics = old.metrics if old else StageMetrics(row.name)
    stage = make_stage(settings, row)
    stage.on_request = metrics.request
    ledger = Ledger(settings.global_.pipeline_dir / "ledger")
    log = old.log if old else logs.quiet()
    return Desk(settings, row, stage, ledger, metrics, log, lambda: 0.0)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isdecimal() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT such as 127.0.0.1:8000")
    return host or "127.0.0.1", int(port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
