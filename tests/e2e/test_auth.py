"""Signing in, before a simulated Google and GRIN: the commands as a person types them."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests import warm
from tests.helpers import GRIN_PIPELINE


@dataclass
class Place:
    """A folder with a configuration before a simulated GRIN."""

    folder: Path
    told: dict[str, str]
    grin: dict[str, Any] = field(default_factory=dict)
    library: str = "TESTLIB"

    @property
    def credentials(self) -> Path:
        """Where the credentials are to be."""
        return self.folder / "credentials.json"

    def write(self) -> list[str]:
        """Write the configuration; the arguments that name it."""
        addresses = {name: self.told[name] for name in ("base_url", "token_uri", "auth_uri")}
        whole: dict[str, Any] = {
            "global": {"library": self.library},
            "grin": {**addresses, "credentials_file": "credentials.json", "requests_per_second": 100, **self.grin},
        }
        pipes = {"input_pipe": "pipeline/00_to_download", "output_pipe": "pipeline/01_incoming"}
        whole["filters"] = [{"name": "downloader", "class": "Downloader", **pipes}]
        (self.folder / "config.yaml").write_text(yaml.safe_dump(whole))
        return ["--config", str(self.folder / "config.yaml")]

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `auth …` to its end."""
        return warm.run(["auth", *command, *self.write()], dict(os.environ))

    def fault(self, **fault: object) -> None:
        """Let one request to GRIN, or to Google, go wrong."""
        simulator = self.told["base_url"].removesuffix("/libraries")
        httpx.post(f"{simulator}/_simulator/faults", json=[fault]).raise_for_status()

    def login(self, *more: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start `auth login` at a free port."""
        command = [*GRIN_PIPELINE, "auth", "login", "--client-secret", str(self.folder.parent / "client.json")]
        command += ["--port", "0", "--no-browser", *more, *self.write()]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A simulated Google and GRIN with one book."""
    folder = tmp_path_factory.mktemp("google")
    (folder / "passphrase").write_text("correct-horse\n")
    command = [sys.executable, "-m", "simulator", "serve", "--folder", str(folder / "library"), "--books", "1"]
    command += ["--library", "TESTLIB", "--client-secret-out", str(folder / "client.json")]
    command += ["--credentials-out", str(folder / "person.json")]
    command += ["--passphrase-file", str(folder / "passphrase"), "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Place(folder, json.loads(process.stdout.readline()))
        process.stdin.close()
        process.wait(20)


@pytest.fixture
def place(google: Place, request: pytest.FixtureRequest) -> Place:
    """A folder of its own before that Google."""
    folder = google.folder / re.sub(r"\W", "-", request.node.name)
    folder.mkdir()
    return Place(folder, google.told)


def address(process: subprocess.Popen[str]) -> str:
    """The address that a person is asked to open."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("http"):
            return line.strip()
    raise AssertionError(process.stderr.read() if process.stderr else "")


def no_secret_in(text: str, credentials: Path) -> None:
    """Nothing that a command has said is a secret."""
    info = json.loads(credentials.read_text())
    assert all(info[name] not in text for name in ("refresh_token", "client_secret"))


@pytest.mark.quirk("authorised-user")
@pytest.mark.quirk("cheapest-probe")
def test_a_person_signs_in(place: Place) -> None:
    """The browser goes to Google and comes back; then the file is there, for its owner alone, and GRIN lets it in."""
    assert (place.ask("status").returncode, place.ask("probe").returncode) == (3, 3)
    process = place.login()
    url = address(process)
    page = httpx.get(url, follow_redirects=True, timeout=20)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, page.status_code, "close this page" in page.text) == (0, 200, True), errors
    assert place.credentials.stat().st_mode & 0o777 == 0o600
    no_secret_in(url + out + errors + page.text, place.credentials)
    status, probe = place.ask("status", "--json"), place.ask("probe", "--json")
    facts = json.loads(status.stdout)
    assert (status.returncode, facts["kind"], facts["mode"], facts["token"]) == (0, "authorized_user", "0600", True)
    assert (probe.returncode, json.loads(probe.stdout)["verdict"]) == (0, "in")
    no_secret_in(status.stdout + probe.stdout + place.ask("status").stdout, place.credentials)
    assert not (place.folder / "pipeline").exists()


def test_a_person_pastes_the_address(place: Place) -> None:
    """On a machine that the browser cannot reach, the address it ends at is pasted into the terminal."""
    keyboard, terminal = pty.openpty()
    process = place.login(stdin=terminal)
    back = httpx.get(address(process), timeout=20).headers["Location"]
    os.write(keyboard, b"https://example.org/?state=x&code=y\n" + back.encode() + b"\n")
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "does not belong to this login" in out
    assert place.credentials.exists()
    for fd in (keyboard, terminal):
        os.close(fd)


def test_a_person_says_no(place: Place) -> None:
    """A refusal is a sentence, and no file."""
    process = place.login()
    place.fault(kind="deny", on="auth")
    page = httpx.get(address(process), follow_redirects=True, timeout=20)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, page.status_code) == (3, 400)
    assert "consent was refused" in errors
    assert "Traceback" not in errors
    assert not place.credentials.exists()


def test_nobody_comes(place: Place) -> None:
    """After its time the command ends, says so, and has written nothing."""
    process = place.login("--timeout", "0.3")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Nobody has given consent" in errors
    assert not place.credentials.exists()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["login"], "--client-secret"),
        (["login", "--client-secret", "none.json"], "cannot be read"),
        (["login", "--client-secret", "none.json", "--port", "x"], "no port"),
        ([], "needs one of login, status, probe"),
    ],
)
def test_bad_calls(place: Place, command: list[str], problem: str) -> None:
    """Bad input ends with 2 and one sentence."""
    found = place.ask(*command)
    assert (found.returncode, found.stdout) == (2, "")
    assert problem in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.quirk("404-no-such-page")
def test_the_wrong_library(place: Place) -> None:
    """A library's code in the wrong case is told with its setting."""
    shutil.copy(place.folder.parent / "person.json", place.credentials)
    place.library = "testlib"
    found = place.ask("probe")
    assert found.returncode == 3
    assert "global.library" in found.stderr


@pytest.mark.quirk("403-not-on-the-list")
def test_not_on_the_list(place: Place) -> None:
    """A GRIN that does not let the account in yet: the advice names the hours that a change may take."""
    shutil.copy(place.folder.parent / "person.json", place.credentials)
    place.fault(kind="status", code=403)
    found = place.ask("probe", "--json")
    facts = json.loads(found.stdout)
    assert (found.returncode, facts["verdict"]) == (3, "not_on_the_list")
    assert "12 hours" in facts["cure"]


def test_asking_before_there_is_a_board(place: Place) -> None:
    """`seed --dry-run` asks GRIN under the rate of its own process, and makes no folder."""
    shutil.copy(place.folder.parent / "person.json", place.credentials)
    found = warm.run(["seed", "--from", "converted", "--dry-run", *place.write()], dict(os.environ))
    assert (found.returncode, found.stdout.split()[0]) == (0, "1"), found.stderr
    assert not (place.folder / "pipeline").exists()
