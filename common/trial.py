"""One stage tried on one book, on a board of its own that nobody else sees: the real attempt and the real verdict.

    from common.trial import attempt

    def test_a_note_is_left(tmp_path):
        (tmp_path / "A1").mkdir()
        tried = attempt(Hop, tmp_path / "A1", tmp_path / "trial")
        assert (tried.left / "note.txt").read_text() == "A1 was here\\n"

The book's files are a copy, and its done bucket is a folder of the trial, so nothing of a library's own is touched.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import board, workfiles
from common.attempt import Attempt, Desk
from common.ledger import Ledger, last
from common.metrics import StageMetrics
from common.settings import FilterRow, GlobalSettings, Settings
from common.stage import Stage
from common.token import check_barcode

_BEFORE = "before"
_ENDS = ("done", "deferred", "redo", "failed", "halted")


@dataclass(frozen=True)
class Trial:
    """How it ended: the ledger's last event of the attempt, and the files that the next stage would find."""

    outcome: str
    """done, deferred, redo, failed or halted."""
    reason: str
    cure: str
    facts: Mapping[str, Any]
    left: Path
    """The folder that the next stage would read."""
    files: tuple[Path, ...]
    """All files in it; none when the book is made again."""
    new: tuple[Path, ...]
    """Those of them that were made; all others are the input's own."""
    traceback: str = ""
    """Of an error that is none of the four."""


class _Heard(logging.Handler):
    """The tracebacks, which a worker would write to its log."""

    def __init__(self) -> None:
        super().__init__()
        self.tracebacks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the one there is."""
        if record.exc_info:
            self.tracebacks.append(logging.Formatter().formatException(record.exc_info))


def attempt(
    stage: type[Stage],
    book: Path,
    folder: Path,
    *,
    barcode: str = "",
    options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    row: FilterRow | None = None,
) -> Trial:
    """One attempt of the stage on the files in `book`, in the new folder `folder`. The folder's name is the barcode.

    `options` are those of the row. With `settings` and `row` the stage sees the rest of a configuration, too.
    """
    barcode = check_barcode(barcode or book.name)
    made, mine = _line(settings or Settings(), row or _row(stage), folder, options)
    places = [made.global_.processing_bucket / barcode / name for name in (mine.name, *made.upstream(mine.name))]
    shutil.copytree(book, places[1])
    inputs = {path.stat().st_ino for path in workfiles.files(places[1])}
    heard = _attempted(stage(made, mine), made, mine, barcode)
    event = last(Ledger(made.global_.pipeline_dir / "ledger").read(barcode), *_ENDS, stage=mine.name) or {}
    left = next((place for place in places if place.is_dir()), places[0])
    files = tuple(sorted(workfiles.files(left))) if left.is_dir() else ()
    new = tuple(path for path in files if path.stat().st_ino not in inputs)
    told = (event.get("event", "failed"), event.get("reason", ""), event.get("cure", ""))
    return Trial(*told, event.get("facts") or {}, left, files, new, "\n".join(heard.tracebacks))


def _attempted(stage: Stage, settings: Settings, row: FilterRow, barcode: str) -> _Heard:
    root, heard, log = settings.global_.pipeline_dir, _Heard(), logging.getLogger("trial")
    log.handlers, log.propagate = [heard], False
    board.prepare(root, settings.bucket_paths())
    ledger = Ledger(root / "ledger")
    board.Seeder(root, ledger, "trial").seed(barcode, row.input_pipe, "", "")
    held = board.claim(row.input_pipe, barcode, "trial", 1)
    assert held is not None, "nobody else knows this board"
    stage.opened()
    try:
        Attempt(Desk(settings, row, stage, ledger, StageMetrics(row.name), log, time.time), held).run()
    finally:
        stage.close()
    return heard


def _row(stage: type[Stage]) -> FilterRow:
    name, spec = stage.__name__.lower(), f"{stage.__module__}:{stage.__name__}"
    return FilterRow(name=name, class_=spec, input_pipe=Path("input"), output_pipe=Path("output"))


def _line(
    settings: Settings, row: FilterRow, folder: Path, options: Mapping[str, Any] | None
) -> tuple[Settings, FilterRow]:
    """The same line of stages on a board in `folder`; a stage is put before the first one, for a book needs a maker."""
    root = folder.absolute() / "pipeline"
    # A first Retry or Redo is to be seen as what it is.
    patience = {"attempts": max(row.attempts, 2), "redos": max(row.redos, 1)}
    mine = row.model_copy(update=patience | ({} if options is None else {"options": dict(options)}))
    rows = [mine, *(other for other in settings.filters if other.name != row.name)]
    if not any(other.output_pipe == row.input_pipe for other in rows):
        first = row.input_pipe.with_name(_BEFORE)
        rows.append(FilterRow(name=_BEFORE, class_=_BEFORE, input_pipe=first, output_pipe=row.input_pipe))
    rows = [_moved(other, root) for other in rows]
    places = {"pipeline_dir": root, "processing_bucket": root.parent / "processing"}
    shared: GlobalSettings = settings.global_.model_copy(update=places | {"done_bucket": str(root.parent / "done")})
    return settings.model_copy(update={"global_": shared, "filters": rows, "base": root.parent}), rows[0]


def _moved(row: FilterRow, root: Path) -> FilterRow:
    pipes = {"input_pipe": root / row.input_pipe.name, "output_pipe": root / row.output_pipe.name}
    return row.model_copy(update=pipes)
