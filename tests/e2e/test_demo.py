"""`demo` for whoever wants to watch: its page, at a pace for people, kept after the last book."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx

from tests import warm
from tests.helpers import GRIN_PIPELINE, until

PLAY = ["demo", "--books", "2", "--poisoned", "1", "--slow", "--stay", "--folder", "demo"]


def test_a_newcomer_looks_around(tmp_path: Path) -> None:
    """The page is told at once and shows books on their way; it stays, retries a failed book, and Ctrl-C ends it."""
    out = tmp_path / "out"
    with out.open("w") as file:
        process = subprocess.Popen([*GRIN_PIPELINE, *PLAY], cwd=tmp_path, stdout=file, stderr=file, text=True)
    try:
        until(lambda: "The board is at " in out.read_text() or process.poll() is not None, 60)
        address = re.findall(r"The board is at (http://\S+/)\.", out.read_text())[0]
        status = ["--config", "demo/config.yaml"]
        with httpx.Client(base_url=address, headers={"Accept": "text/html"}, timeout=20) as http:
            until(lambda: '"working": 1' in asked(tmp_path, "status", "--json", *status), 30)
            until(lambda: "The page stays at" in out.read_text(), 60)
            said = out.read_text()
            assert "1 book came home" in said
            [failed] = re.findall(r"show '?([^\s']+)'? --config", said)
            assert failed in http.get("/").text
            token = (tmp_path / "demo" / "secrets" / "action_token").read_text().strip()
            form = {"do": f"retry {failed}", "token": token, "name": "Ada"}
            assert http.post("/act", data={**form, "token": "wrong"}).status_code == 403
            assert http.post("/act", data=form).status_code in (200, 303)
        until(lambda: '"by": "Ada (page' in asked(tmp_path, "show", failed, "--json", *status), 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, out.read_text()
    finally:
        process.kill()
    assert token not in out.read_text()
    assert (tmp_path / "demo" / "secrets" / "action_token").stat().st_mode & 0o777 == 0o600
    assert f"Finished books are in {tmp_path / 'demo' / 'done'}." in out.read_text()


def asked(folder: Path, *command: str) -> str:
    """What a command answers."""

    return warm.run(list(command), dict(os.environ), cwd=folder).stdout
