"""A simulated GRIN for a whole session, and fresh boards before it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import Line

PASSPHRASE = "correct-horse-battery-staple-7531"
STAGES = ("downloader", "decryptor", "extractor", "modifier", "uploader")
BUCKETS = ("00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded")


@dataclass
class Grin:
    """A running simulator: its addresses, its credentials, and what its maker has recorded of each book."""

    folder: Path
    told: dict[str, str]
    credentials: Path

    def books(self) -> dict[str, dict[str, Any]]:
        """The maker's records by barcode."""
        paths = (self.folder / "library" / "books").glob("*.json")
        return {record["barcode"]: record for record in (json.loads(path.read_text()) for path in paths)}

    def poisoned(self) -> set[str]:
        """The barcodes of the bad books."""
        return {barcode for barcode, record in self.books().items() if record["poison"]}


@contextmanager
def serving(folder: Path, books: int, *more: str) -> Iterator[Grin]:
    """A simulated GRIN of its own, with so many made books and the simulator's further arguments."""
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    credentials = folder / "credentials.json"
    command = [sys.executable, "-m", "simulator", "serve", "--folder", str(folder / "library"), "--books", str(books)]
    command += ["--library", "TESTLIB", "--credentials-out", str(credentials), *more]
    command += ["--passphrase-file", str(folder / "passphrase"), "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Grin(folder, json.loads(process.stdout.readline()), credentials)
        process.stdin.close()
        process.wait(20)


@pytest.fixture(scope="session")
def grin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grin]:
    """Ten books, three of them bad, and a server that offers them."""
    with serving(tmp_path_factory.mktemp("grin"), 10, "--poisoned", "3", "--seed", "5") as made:
        yield made


class Pipeline(Line):
    """The whole line of stages before a simulated GRIN."""

    def __init__(self, folder: Path, grin: Grin, **common: object) -> None:
        super().__init__(folder, "", library="TESTLIB", gpg_passphrase_file="passphrase", temp_dir="tmp", **common)
        (folder / "passphrase").write_text(PASSPHRASE + "\n")
        self.grin = grin
        self.rate = 100.0
        self.more: dict[str, Any] = {}
        for number, name in enumerate(STAGES):
            pipes = {"input_pipe": f"pipeline/{BUCKETS[number]}", "output_pipe": f"pipeline/{BUCKETS[number + 1]}"}
            quick = {"attempts": 6, "backoff": 0.2, "backoff_max": 0.5}
            self.filters.append({"name": name, "class": name.capitalize(), **pipes, **quick})
        self.write()

    def write(self) -> None:
        """The configuration as it is now."""
        told = self.grin.told
        addresses = {"base_url": told["base_url"], "token_uri": told["token_uri"], "requests_per_second": self.rate}
        whole = {
            "global": self.common,
            "grin": {**addresses, "credentials_file": str(self.grin.credentials)},
            "filters": self.filters,
            "board": {"listen": "127.0.0.1:0"},
            **self.more,
        }
        self.config.write_text(yaml.safe_dump(whole))

    def bucket(self, number: int) -> Path:
        """The path of a bucket."""
        return self.root / BUCKETS[number]


@pytest.fixture
def pipeline(tmp_path: Path, grin: Grin) -> Pipeline:
    """A fresh board before that GRIN."""
    return Pipeline(tmp_path, grin)
