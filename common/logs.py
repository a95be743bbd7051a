"""JSON lines to stdout and to `logs/<stage>.jsonl`: time, level, stage, worker, message and whatever `extra` adds."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from common.json_line import json_line
from common.ledger import now

NAME = "grin_pipeline"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a record; what was given as `extra` becomes members of it."""

    def __init__(self, **always: str) -> None:
        super().__init__()
        self.always = always

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, object] = {"time": now(), "level": record.levelname.lower(), **self.always}
        line["message"] = record.getMessage()
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json_line(line)


class _File(logging.FileHandler):
    """A file that says nothing when it cannot be written: on a full disk the heartbeat and the metrics say so."""

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 - the base class names it so
        """Let the line go."""


def quiet() -> logging.Logger:
    """The logger before its files are known: says nothing."""
    logger = logging.getLogger(NAME)
    logger.addHandler(logging.NullHandler())
    return logger


def setup(folder: Path, stage: str, worker: str, *, stdout: bool = True) -> logging.Logger:
    """The logger of a process. Each line is one appending write, so that many workers can share the file."""
    logger = logging.getLogger(NAME)
    logger.handlers.clear()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handlers: list[logging.Handler] = [_File(folder / f"{stage}.jsonl", encoding="utf-8")]
    if stdout:
        handlers.append(logging.StreamHandler(sys.stdout))
    for handler in handlers:
        handler.setFormatter(JsonLines(stage=stage, worker=worker))
        logger.addHandler(handler)
    return logger
