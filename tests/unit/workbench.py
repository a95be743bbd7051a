"""A worker in the test's own process: a real board, a real stage that does as it is told, and all that it logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from common import board
from common.attempt import Desk
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.settings import FilterRow, GlobalSettings, Settings
from common.stage import Book, Stage
from common.worker import Worker

NAME = "one"
Deed = Callable[[Book, Path], Mapping[str, Any] | None]


class Does(Stage):
    """Does what the test says, and writes down what happens to it."""

    deed: ClassVar[Deed] = lambda _book, _work: None
    happened: ClassVar[list[str]] = []

    def opened(self) -> None:
        """Note it."""
        self.happened.append("opened")

    def process(self, book: Book, work: Path) -> Mapping[str, Any] | None:
        """Note it, and do it."""
        self.happened.append(book.barcode)
        return type(self).deed(book, work)

    def close(self) -> None:
        """Note it."""
        self.happened.append("closed")


class Bench:
    """One stage between the buckets 01_in and 02_out, another behind it, and a worker of the first."""

    def __init__(self, root: Path, deed: Deed = lambda _book, _work: None, **keys: Any) -> None:
        self.root = root
        self.keys = keys
        Does.deed, Does.happened = staticmethod(deed), []
        self.records: list[logging.LogRecord] = []
        self.log = logging.getLogger("tests.bench")
        self.log.setLevel(logging.INFO)
        # Of all benches the newest listens.
        self.log.filters = [lambda record: bool(self.records.append(record)) or True]
        self.ledger = Ledger(root / "ledger")
        self.worker = Worker(self.desk(), "w-1", self.desk)
        self.worker.heartbeat.announce()
        self.worker.desk.server_now = self.worker.heartbeat.server_now

    def desk(self, output: str = "02_out", behind: str = "03_end") -> Desk:
        """A desk of the first stage, as a configuration read anew would give it."""
        keys = dict(self.keys)
        row = {key: keys.pop(key) for key in list(keys) if key in FilterRow.model_fields}
        common = GlobalSettings(pipeline_dir=self.root, processing_bucket=self.root.parent / "processing", **keys)
        pipes = [(NAME, "01_in", output), ("two", output, behind)]
        rows = [
            FilterRow(name=name, class_="theirs:Does", input_pipe=self.root / i, output_pipe=self.root / o, **more)
            for (name, i, o), more in zip(pipes, (row, {}), strict=True)
        ]
        settings = Settings(path=self.root.parent / "config.yaml", global_=common, filters=rows)
        stage = Does(settings, rows[0])
        return Desk(settings, rows[0], stage, self.ledger, StageMetrics(NAME), self.log, lambda: 0.0)

    def put(self, *barcodes: str) -> None:
        """Waiting tokens, old enough to be whole."""
        for barcode in barcodes:
            board.path_of(self.root / "01_in", barcode, board.WAITING).write_text(json.dumps({"barcode": barcode}))

    def claim(self, barcode: str = "A1") -> board.Claim:
        """A claim of the worker's on a new token."""
        self.put(barcode)
        held = board.claim(self.root / "01_in", barcode, "w-1", 900)
        assert held is not None
        return held

    def places(self, barcode: str = "A1") -> list[str]:
        """Where a book's tokens lie."""
        paths = sorted(self.root.glob(f"0*/{barcode}.json")) + sorted(self.root.glob(f"0*/*/{barcode}[.~]*json"))
        return [str(path.relative_to(self.root)) for path in paths]

    def kinds(self, barcode: str = "A1") -> list[str]:
        """The kinds of a book's events."""
        return [event["event"] for event in self.ledger.read(barcode)]

    def facts(self) -> dict[str, Any]:
        """What the worker's heartbeat file tells everybody."""
        return dict(json.loads((self.root / "workers" / "w-1.json").read_bytes()))

    def said(self) -> list[str]:
        """What was logged."""
        return [record.getMessage() for record in self.records]

    def metric(self, name: str, **labels: str) -> float | None:
        """A figure that the worker serves."""
        return self.worker.desk.metrics.registry.get_sample_value(name, {"stage": NAME, **labels})
