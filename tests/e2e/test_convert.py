"""`up` with seed.convert: nothing is converted at first, and all that can be had comes home, through a kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.conftest import Grin, Pipeline
from tests.helpers import stop, until

# What the pipeline is told, and what GRIN keeps: conversions of less than a second would overrun any pool.
POOL, KEPT = 4, 20


class Converting(Pipeline):
    """The whole line before a GRIN that has converted nothing yet, with a small pool."""

    def write(self) -> None:
        """The configuration as it is now."""
        super().write()
        whole = yaml.safe_load(self.config.read_text())
        whole["grin"] |= {"converted_pool": POOL, "process_batch": 2}
        whole["seed"] = {"from": "converted", "convert": True, "every": 0.5, "barcodes_file": "wishes"}
        self.config.write_text(yaml.safe_dump(whole))

    def control(self, name: str) -> Any:
        """One of the simulator's own pages."""
        base = self.grin.told["base_url"].removesuffix("/libraries")
        return httpx.get(f"{base}/_simulator/{name}", verify=False).json()

    def asked_for(self) -> Counter[str]:
        """How often GRIN was asked for each book's conversion."""
        paths = [request["path"] for request in self.control("requests") if "/_process" in request["path"]]
        return Counter(barcode for path in paths for barcode in httpx.URL(path).params.get_list("barcodes"))

    def missed(self) -> list[str]:
        """Archives that were asked for and not there."""
        return [r["path"] for r in self.control("requests") if r["path"].endswith(".gpg") and r["status"] == 404]

    def delivered(self) -> set[str]:
        """The books in the last bucket."""
        return {path.stem for path in self.bucket(5).glob("*.json")}

    def failed(self) -> set[str]:
        """The books that have failed, wherever."""
        return {path.stem for path in self.root.glob("*/failed/*.json")}


@pytest.fixture
def pipeline(tmp_path: Path, grin: Grin) -> Iterator[Converting]:
    """A second server for the session's books, none of which is converted; one is refused, one conversion fails."""
    books, credentials = sorted(grin.books()), tmp_path / "credentials.json"
    sound = sorted(set(books) - grin.poisoned())
    states = dict.fromkeys(books, "NEW") | {sound[0]: "NOT_AVAILABLE_FOR_DOWNLOAD"}
    command = [sys.executable, "-m", "simulator", "serve", "--folder", str(grin.folder / "library")]
    command += ["--books", "0", "--credentials-out", str(credentials), "--until-stdin-closes"]
    command += ["--converted-pool", str(KEPT), "--conversion-seconds", "0.6"]
    command += ["--fault", json.dumps({"kind": "fail_conversion", "on": sound[1], "times": 1})]
    command += [part for barcode, state in states.items() for part in ("--state", f"{barcode}={state}")]
    (tmp_path / "wishes").write_text(f"{sound[0]}\nUNKNOWN-1\n")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Converting(tmp_path, Grin(grin.folder, json.loads(process.stdout.readline()), credentials))
        process.stdin.close()
        process.wait(20)


def test_all_come_home(pipeline: Converting, figure: Callable[[str], None]) -> None:
    """Books are asked for as the pool has room, and delivered; the refused and the failed are asked for once."""
    began = time.monotonic()
    bad = pipeline.grin.poisoned()
    sound = sorted(set(pipeline.grin.books()) - bad)
    refused, broken, rest = sound[0], sound[1], set(sound[2:])
    first = pipeline.up()
    until(lambda: len(pipeline.delivered()) >= 2, 60)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    asked = pipeline.asked_for()
    second = pipeline.up()
    try:
        until(lambda: pipeline.delivered() == rest and pipeline.failed() == bad, 60)
        rounds = len(pipeline.control("requests"))
        until(lambda: len(pipeline.control("requests")) > rounds + 12)
        status = pipeline.status()
        told = pipeline.ask("status").stdout
        alive = min(status["orchestrators"], key=lambda one: float(one["heartbeat_age"]))
        metrics = httpx.get(alive["metrics"], verify=False).text
    finally:
        assert stop(second) == 0
    figure(f"{len(rest)} books asked for and home through a kill -9 in {time.monotonic() - began:.0f} s")
    assert status["grin"]["lists"]["failed"] == 1
    assert ", 1 failed." in told
    assert 'grin_queue_books{list="failed"} 1.0' in metrics
    asked = pipeline.asked_for()
    assert set(asked) == {*rest, *bad, refused, broken, "UNKNOWN-1"}
    # A batch that was answered and not yet remembered when the kill came may be asked for a second time: no more.
    assert sum(asked.values()) - len(asked) <= 2
    assert pipeline.missed() == []
    assert {barcode: len(places) for barcode, places in pipeline.tokens().items()} == dict.fromkeys(rest | bad, 1)
    memory = [json.loads(line) for line in (pipeline.root / "grin" / "conversions.jsonl").read_text().splitlines()]
    assert {"accepted", "refused", "other", "failed"} == {line["status"] for line in memory}
