"""Books for Docling, and the pipeline that brings them home as packages of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from simulator.book import make_book
from simulator.knobs import Knobs

# More pages than these have members beyond the thousandth, at which Docling stops unless it is told otherwise.
LONG = 400
_BOOKS = {
    "39000000000018": (12, Knobs()),
    "39000000000026": (8, Knobs(prefixed_names=True, right_to_left=True)),
    "39000000000034": (6, Knobs(missing_hocr=True)),
    "39000000000042": (7, Knobs(gap=True, extra_files=True, missing_checksums=True)),
}
LONG_BOOK = "39000000000059"
_STAGES = ("downloader", "decryptor", "extractor", "modifier", "uploader")


def made_archives(folder: Path, *, long: bool) -> dict[str, Path]:
    """Made books as Google packs them, by barcode."""
    books = {**_BOOKS, LONG_BOOK: (LONG, Knobs())} if long else _BOOKS
    archives = {barcode: folder / f"{barcode}.tar.gz" for barcode in books}
    for barcode, (pages, knobs) in books.items():
        archives[barcode].write_bytes(make_book(barcode, pages=pages, knobs=knobs).tar_gz)
    return archives


@contextmanager
def served(folder: Path, archives: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """A simulated GRIN that offers these archives, encrypted; its addresses."""
    (folder / "passphrase").write_text("correct horse battery staple\n")
    command = [sys.executable, "-m", "simulator", "serve", "--books", "0", "--folder", str(folder / "grin")]
    command += ["--passphrase-file", str(folder / "passphrase"), "--credentials-out", str(folder / "credentials.json")]
    for barcode, archive in archives.items():
        command += ["--add", f"{archive}:{barcode}"]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def brought_home(folder: Path, told: Mapping[str, str], package: str, layout: str) -> dict[str, Path]:
    """Run the whole pipeline; the packages that are a tar.gz by barcode. SystemExit when a book did not come home."""
    home = folder / f"{package}-{layout}"
    home.mkdir()
    config = home / "config.yaml"
    config.write_text(yaml.safe_dump(_config(folder, told, package, layout)))
    command = [sys.executable, "-P", "-m", "services.orchestrator", "up", "--until-drained", "--config", str(config)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        raise SystemExit(f"package: {package}: the pipeline ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return {path.name.removesuffix(".tar.gz"): path for path in sorted((home / "done").rglob("*.tar.gz"))}


def _config(folder: Path, told: Mapping[str, str], package: str, layout: str) -> dict[str, Any]:
    filters: list[dict[str, Any]] = [
        {
            "name": name,
            "class": name.capitalize(),
            "input_pipe": f"pipeline/{number:02}",
            "output_pipe": f"pipeline/{number + 1:02}",
        }
        for number, name in enumerate(_STAGES)
    ]
    filters[2]["options"] = {"layout": layout, "keep_archive": package == "original"}
    filters[3]["options"] = {"package": package}
    addresses = {key: told[key] for key in ("base_url", "token_uri")}
    grin = {**addresses, "credentials_file": str(folder / "credentials.json"), "requests_per_second": 100}
    common = {"library": told["library"], "gpg_passphrase_file": str(folder / "passphrase"), "poll": 0.05}
    return {
        "global": {**common, "temp_dir": "tmp"},
        "grin": grin,
        "filters": filters,
        "board": {"listen": "127.0.0.1:0"},
    }
