"""The pipeline as it is measured: as users run it, and its stages one by one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench.corpus import Corpus
from tests.bench.costs import Cost, Started, run, watched

NAMES = ("downloader", "decryptor", "extractor", "modifier", "uploader")
_BUCKETS = ("00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded")
_UP = [sys.executable, "-P", "-m", "services.orchestrator", "up", "--until-drained"]


@dataclass(frozen=True)
class Pipeline:
    """The five stages, one worker each, with the extractor's `layout`; nothing else is set that costs or saves work."""

    layout: str

    def whole(self, corpus: Corpus, folder: Path) -> tuple[Cost, Cost]:
        """What `up --until-drained` costs on a fresh board, and once more when nothing is left to do."""
        config = self._fresh(corpus, folder)
        cost = run([*_UP, "--config", str(config)], folder / "log")
        _check(corpus, folder)
        return cost, run([*_UP, "--config", str(config)], folder / "log")

    def apart(self, corpus: Corpus, folder: Path) -> tuple[dict[str, Cost], float]:
        """What each stage costs in a process of its own, `up` too; and the most memory of all together, in MB.

        A stage's wall time is what it was busy for by its ledger; that of `up` is the whole's.
        """
        config = self._fresh(corpus, folder)
        with _started(config, folder) as (stages, up), watched([stage.pid for stage in (*stages, up)]) as peaks:
            costs = {"up": up.end(0.0)}
            # A last look while they live: the kernel's own peaks.
            peaks.look()
            for stage in stages:
                stage.ask_to_end()
            costs |= {name: stage.end(0.0) for name, stage in zip(NAMES, stages, strict=True)}
        _check(corpus, folder)
        busy = _busy(folder)
        for stage, (name, cost) in zip((up, *stages), costs.items(), strict=True):
            cost.memory, cost.wall = peaks.most[stage.pid], busy.get(name, cost.wall)
        return costs, peaks.together

    def _fresh(self, corpus: Corpus, folder: Path) -> Path:
        """An empty board and its configuration."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(self._config(corpus)))
        os.sync()
        return config

    def _config(self, corpus: Corpus) -> dict[str, Any]:
        pipes = [f"pipeline/{name}" for name in _BUCKETS]
        filters: list[dict[str, Any]] = [
            {"name": name, "class": name.capitalize(), "input_pipe": pipes[number], "output_pipe": pipes[number + 1]}
            for number, name in enumerate(NAMES)
        ]
        # The default needs no words, so that a release without the option can be measured as well.
        if self.layout != "files":
            filters[NAMES.index("extractor")]["options"] = {"layout": self.layout}
        addresses = {key: corpus.told[key] for key in ("base_url", "token_uri")}
        credentials = {"credentials_file": str(corpus.credentials), "requests_per_second": 100}
        common = {"library": corpus.told["library"], "gpg_passphrase_file": str(corpus.passphrase)}
        common |= {"temp_dir": "tmp", "poll": 0.05}
        grin = {**addresses, **credentials}
        return {"global": common, "grin": grin, "filters": filters, "board": {"listen": "127.0.0.1:0"}}


@contextmanager
def _started(config: Path, folder: Path) -> Iterator[tuple[list[Started], Started]]:
    where = ["--config", str(config)]
    command = [sys.executable, "-P", "-m"]
    stages = [
        Started([*command, f"services.{name}", *where, "--metrics", "127.0.0.1:0"], folder / f"{name}.log")
        for name in NAMES
    ]
    up = Started([*_UP, "--no-stages", *where], folder / "log")
    try:
        yield stages, up
    finally:
        for process in (*stages, up):
            process.kill()


def _check(corpus: Corpus, folder: Path) -> None:
    stored = {path.parent.name for path in (folder / "done").rglob("*.tar.gz")}
    if stored != set(corpus.barcodes):
        raise SystemExit(f"The pipeline has not brought all books home; {folder / 'log'} says why.")


def _busy(folder: Path) -> dict[str, float]:
    """Seconds that each stage has worked on books, by the ledger."""
    busy = dict.fromkeys(NAMES, 0.0)
    for path in (folder / "pipeline" / "ledger").rglob("*.jsonl"):
        for event in map(json.loads, path.read_text().splitlines()):
            if event["event"] == "done":
                busy[event["stage"]] += event["seconds"]
    return busy
