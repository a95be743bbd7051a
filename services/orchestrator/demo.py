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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from common import config
from common.config import Settings
from common.errors import ConfigError
from services.orchestrator import terminal, up
from services.orchestrator.progress import Progress
from services.orchestrator.seeding import Wish

if TYPE_CHECKING:
    from services.orchestrator.page.server import PageServer

# A folder without this file was not made by a demo, and is not touched.
_MARK = ".grin-pipeline-demo"
_LIBRARY = "TESTLIB"


@dataclass(frozen=True)
class Play:
    """What is to be shown: so many books, some of them bad; slowly, or with the page kept after the last one."""

    folder: Path
    books: int = 20
    poisoned: int = 3
    seed: int = 1
    slow: bool = False
    stay: bool = False


class _Watched(up.Up):
    """A run that knows where its page is, and with `when_over` goes on after the last book until it is told to stop."""

    code: int | None = None
    """What `when_over` has returned."""

    def __init__(self, settings: Settings, progress: Progress, when_over: Callable[[_Watched], int] | None) -> None:
        super().__init__(settings, up.Orders(Wish(), until_drained=True), {}, progress)
        self.address = ""
        self._when_over = when_over

    def _serve(self) -> PageServer:
        server = super()._serve()
        self.address = server.address("127.0.0.1")
        return server

    def _verdict(self, facts: dict[str, Any]) -> int | None:
        if self._when_over is None:
            return super()._verdict(facts)
        if self.code is None and facts["left"] == 0 and super()._verdict(facts) is not None:
            self.code = self._when_over(self)
        return None


def run(play: Play, console: Console) -> int:
    """Make everything anew in a folder, run to the end; 0 when exactly the poisoned books failed."""
    started = time.monotonic()
    folder = play.folder.absolute()
    if play.poisoned > play.books:
        raise ConfigError([f"Of {play.books} books no {play.poisoned} can be bad."])
    _clear(folder, console)
    what = f"{play.books} encrypted books, {play.poisoned} of them bad on purpose"
    console.print(f"Making {what}, in {folder} …", soft_wrap=True)
    passphrase = _private(folder / "secrets" / "gpg_passphrase.asc", secrets.token_hex(12))
    _private(folder / "secrets" / "action_token", secrets.token_hex(8))
    simulator = _start_simulator(folder, play, passphrase)
    try:
        told = _told(simulator)
        path = _write_config(folder, told, slow=play.slow)
        settings = config.load(path)
        up.check_stages(settings)
        console.print(f"A simulated GRIN answers at {told['base_url']}; the configuration is {path}.", soft_wrap=True)
        return _run(settings, play.stay, lambda one: _report(one, folder, time.monotonic() - started, console), console)
    finally:
        _stop(simulator)


def _run(settings: Settings, stay: bool, report: Callable[[_Watched], int], console: Console) -> int:
    def stays(one: _Watched) -> int:
        code = report(one)
        console.print(
            f"\nThe page stays at {one.address}, and so do GRIN and the stages, until Ctrl-C.", soft_wrap=True
        )
        return code

    progress = Progress(console)
    try:
        one = _Watched(settings, progress, stays if stay else None)
        code = one.run()
    finally:
        progress.close()
    if stay:
        return code if one.code is None else one.code
    return code if code > 1 else report(one)


def _clear(folder: Path, console: Console) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError([f"{folder} is a file: name another place with --folder."])
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise ConfigError([f"{folder} is not empty and no demo made it: name another one with --folder."])
        console.print(f"Removing the demo that was in {folder} before.", soft_wrap=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def _private(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text + "\n")
    return path


def _start_simulator(folder: Path, play: Play, passphrase: Path) -> subprocess.Popen[str]:
    make = ["--books", str(play.books), "--poisoned", str(play.poisoned), "--seed", str(play.seed)]
    make += ["--library", _LIBRARY]
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


def _write_config(folder: Path, told: dict[str, str], *, slow: bool) -> Path:
    """A configuration like a library's own, with short waits: a demo's second chances come in seconds."""
    module = "simulator.slow:" if slow else ""
    line = ["00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded"]
    stages = ["downloader", "decryptor", "extractor", "modifier", "uploader"]
    filters: list[dict[str, Any]] = [
        {
            "name": stage,
            "class": f"{module}{stage.capitalize()}",
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
        "board": {"action_token_file": "secrets/action_token"},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def _report(one: _Watched, folder: Path, seconds: float, console: Console) -> int:
    """Hold what failed against what was bad."""
    made = [json.loads(path.read_text()) for path in sorted((folder / "grin" / "books").glob("*.json"))]
    bad = {book["barcode"] for book in made if book["poison"]}
    failed = {row.barcode for row in one.view.rows() if row.state == "failed"}
    stored = sorted(path.name for path in (folder / "done").iterdir()) if (folder / "done").is_dir() else []
    console.print(f"\n{terminal.books(len(stored))} came home, for example:", soft_wrap=True)
    # A barcode with a $ would vanish where a person copies it into a shell.
    shown = min(stored, key=lambda barcode: not barcode.isalnum(), default="")
    for path in sorted((folder / "done" / shown).iterdir()) if stored else ():
        console.print(f"  {_shown(path)}  {path.stat().st_size:,} bytes", soft_wrap=True)
    as_it_should = failed == bad and len(stored) == len(made) - len(bad)
    as_told = "Exactly the bad books failed, all others are home." if bad else "All books are home."
    verdict = as_told if as_it_should else "That is not as it should be."
    console.print(f"\n{verdict} It took {seconds:.0f} seconds.")
    command, path = _shown(Path(sys.argv[0])), _shown(folder / "config.yaml")
    console.print(f"Look around: {command} status --config {path}", soft_wrap=True)
    if failed:
        console.print(f"             {command} failed --by reason --config {path}", soft_wrap=True)
        console.print(f"             {command} show {shlex.quote(min(failed))} --config {path}", soft_wrap=True)
    return 0 if as_it_should else 1


def _shown(path: Path) -> Path:
    """A path as one would type it here."""
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path
