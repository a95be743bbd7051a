"""`demo`: a simulated GRIN with good and bad books, and a whole run against it, all inside one folder."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from common import config
from common.errors import ConfigError
from services.orchestrator import up
from services.orchestrator.progress import Progress
from services.orchestrator.seeding import Wish

# A folder without this file was not made by a demo, and is not touched.
_MARK = ".grin-pipeline-demo"
_LIBRARY = "TESTLIB"


def run(folder: Path, books: int, poisoned: int, seed: int, console: Console) -> int:
    """Make everything anew in `folder`, run to the end; 0 when exactly the poisoned books failed."""
    started = time.monotonic()
    folder = folder.absolute()
    if poisoned > books:
        raise ConfigError([f"Of {books} books no {poisoned} can be bad."])
    _clear(folder)
    console.print(f"Making {books} encrypted books, {poisoned} of them bad on purpose, in {folder} …", soft_wrap=True)
    passphrase = _private(folder / "secrets" / "gpg_passphrase.asc", secrets.token_hex(12))
    simulator = _start_simulator(folder, books, poisoned, seed, passphrase)
    try:
        told = _told(simulator)
        path = _write_config(folder, told)
        settings = config.load(path)
        up.check_stages(settings)
        console.print(f"A simulated GRIN answers at {told['base_url']}; the configuration is {path}.", soft_wrap=True)
        progress = Progress(console)
        try:
            one = up.Up(settings, up.Orders(Wish(), until_drained=True), {}, progress)
            code = one.run()
        finally:
            progress.close()
        return code if code > 1 else _report(one, folder, time.monotonic() - started, console)
    finally:
        _stop(simulator)


def _clear(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError([f"{folder} is a file: name another place with --folder."])
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise ConfigError([f"{folder} is not empty and no demo made it: name another one with --folder."])
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def _private(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text + "\n")
    return path


def _start_simulator(folder: Path, books: int, poisoned: int, seed: int, passphrase: Path) -> subprocess.Popen[str]:
    make = ["--books", str(books), "--poisoned", str(poisoned), "--seed", str(seed), "--library", _LIBRARY]
    files = ["--folder", str(folder / "grin"), "--passphrase-file", str(passphrase)]
    credentials = ["--credentials-out", str(folder / "secrets" / "credentials.json")]
    command = [sys.executable, "-P", "-m", "simulator", "serve", *make, *files, *credentials, "--until-stdin-closes"]
    pipe = subprocess.PIPE
    with (folder / "simulator.log").open("w") as log:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, start_new_session=True)


def _told(simulator: subprocess.Popen[str]) -> dict[str, str]:
    assert simulator.stdout is not None
    line = simulator.stdout.readline()
    if not line:
        raise ConfigError(["The simulator did not start; simulator.log in the demo's folder says why."])
    told: dict[str, str] = json.loads(line)
    return told


def _stop(simulator: subprocess.Popen[str]) -> None:
    simulator.send_signal(signal.SIGTERM)
    simulator.communicate(timeout=20)


def _write_config(folder: Path, told: dict[str, str]) -> Path:
    """A configuration like a library's own, with short waits: a demo's second chances come in seconds."""
    line = ["00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded"]
    stages = ["downloader", "decryptor", "extractor", "modifier", "uploader"]
    filters: list[dict[str, Any]] = [
        {
            "name": stage,
            "class": stage.capitalize(),
            "input_pipe": f"pipeline/{line[number]}",
            "output_pipe": f"pipeline/{line[number + 1]}",
            "attempts": 3,
            "backoff": 1,
            "backoff_max": 5,
        }
        for number, stage in enumerate(stages)
    ]
    whole = {
        "global": {
            "library": _LIBRARY,
            "pipeline_dir": "pipeline",
            "processing_bucket": "processing",
            "done_bucket": "done",
            "temp_dir": "tmp",
            "gpg_passphrase_file": "secrets/gpg_passphrase.asc",
            "poll": 0.1,
        },
        "grin": {
            "base_url": told["base_url"],
            "token_uri": told["token_uri"],
            "credentials_file": "secrets/credentials.json",
            "requests_per_second": 50,
        },
        "seed": {"from": "converted"},
        "filters": filters,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def _report(one: up.Up, folder: Path, seconds: float, console: Console) -> int:
    """Hold what failed against what was bad."""
    made = [json.loads(path.read_text()) for path in sorted((folder / "grin" / "books").glob("*.json"))]
    bad = {book["barcode"] for book in made if book["poison"]}
    failed = {row.barcode for row in one.view.rows() if row.state == "failed"}
    stored = sorted(path.name for path in (folder / "done").iterdir()) if (folder / "done").is_dir() else []
    console.print(f"\n{len(stored)} books are in {folder / 'done'}, for example:", soft_wrap=True)
    # A barcode with a $ would vanish where a person copies it into a shell.
    shown = min(stored, key=lambda barcode: not barcode.isalnum(), default="")
    for path in sorted((folder / "done" / shown).iterdir()) if stored else ():
        console.print(f"  {path.relative_to(folder)}  {path.stat().st_size:,} bytes", soft_wrap=True)
    as_it_should = failed == bad and len(stored) == len(made) - len(bad)
    as_told = "Exactly the bad books failed, all others are home." if bad else "All books are home."
    verdict = as_told if as_it_should else "That is not as it should be."
    console.print(f"\n{verdict} It took {seconds:.0f} seconds.")
    command, path = _shown(Path(sys.argv[0])), _shown(folder / "config.yaml")
    console.print(f"Look around: {command} status --config {path}", soft_wrap=True)
    if failed:
        console.print(f"             {command} show {shlex.quote(min(failed))} --config {path}", soft_wrap=True)
    return 0 if as_it_should else 1


def _shown(path: Path) -> Path:
    """A path as one would type it here."""
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path
