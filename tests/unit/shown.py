"""A board put down by hand, for the tests of what commands and page show of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from common import board, config, durable
from common.ledger import Ledger
from services.orchestrator.view import View

FILTERS = [
    {"name": name, "class": "x:Y", "input_pipe": f"pipeline/{at:02}_b", "output_pipe": f"pipeline/{at + 1:02}_b"}
    for at, name in enumerate(("one", "two"))
]


class Shown:
    """Two stages, three buckets, and tokens of any age in any state."""

    def __init__(self, folder: Path, **common: object) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump({"global": {"reap_after": 60, **common}, "filters": FILTERS}))
        self.settings = config.load(self.config, classes=None)
        self.root = self.settings.global_.pipeline_dir
        board.prepare(self.root, self.settings.bucket_paths())
        self.ledger = Ledger(self.root / "ledger")
        self.now = durable.server_time(self.root / "workers")

    @property
    def view(self) -> View:
        """A look at it."""
        return View(self.settings)

    def path(self, barcode: str, state: str = board.WAITING, number: int = 0) -> Path:
        """Where a token lies; that of one in work is held by worker `one-host-1-abcd`."""
        bucket = self.root / f"{number:02}_b"
        if state == board.WORKING:
            return bucket / board.WORKING / f"{barcode}~one-host-1-abcd.1.json"
        return board.path_of(bucket, barcode, state)

    def put(self, barcode: str, state: str = board.WAITING, number: int = 0, age: float = 0) -> Path:
        """A token that has been there for so many seconds."""
        path = self.path(barcode, state, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"barcode": barcode}))
        os.utime(path, (self.now - age, self.now - age))
        return path

    def fail(self, barcode: str, reason: str, cure: str = "", age: float = 0, number: int = 0) -> Path:
        """A book that has failed, and why."""
        self.tell(barcode, "failed", stage="one", reason=reason, cure=cure)
        return self.put(barcode, board.FAILED, number, age)

    def tell(self, barcode: str, event: str, **members: Any) -> None:
        """A line of its story."""
        self.ledger.append(barcode, event, **members)
