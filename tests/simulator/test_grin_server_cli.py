"""`python -m simulator`: as other processes start and end it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from common.errors import StageError
from common.grin.client import GrinClient
from tests.simulator.grin_server import BARCODES, client_settings, make_books

ROOT = Path(__file__).parents[2]
PYTHONPATH = {**os.environ, "PYTHONPATH": str(ROOT)}
SIMULATOR = [sys.executable, "-m", "simulator"]


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A server process, and the line that it prints when it is ready."""
    command = [*SIMULATOR, "serve", "--folder", str(folder), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def client(told: dict[str, str], credentials: Path) -> GrinClient:
    """The pipeline's client for what a server told."""
    return GrinClient(client_settings(told["base_url"], told["token_uri"], credentials))


def test_serve(tmp_path: Path) -> None:
    """One line says that it is ready; both credentials work; SIGTERM ends it with 0 at once, stdin open or not."""
    person, account = tmp_path / "person.json", tmp_path / "account.json"
    outs = ["--credentials-out", str(person), "--service-account-out", str(account)]
    orders = ["--state", "HV1ABC=NEW", "--fault", '{"kind": "status", "on": "_failed", "code": 404}']
    folder = make_books(tmp_path / "library")
    with serving(folder, "--books", "0", "--until-stdin-closes", *outs, *orders) as (process, told):
        assert told["library"] == "TESTLIB"
        for credentials in (person, account):
            with client(told, credentials) as grin:
                assert list(grin.barcodes("available")) == ["HV1ABC"]
                assert set(grin.barcodes("converted")) == set(BARCODES) - {"HV1ABC"}
        faults = httpx.get(told["base_url"].replace("/libraries", "/_simulator/faults")).json()
        assert [fault["on"] for fault in faults] == ["_failed"]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 3


def test_serve_with_everything(tmp_path: Path) -> None:
    """The switches of the inventory, of the doubtful points, of the weather and of consent reach the server."""
    orders = ["--inventory", "300", "--mix", "NEW=1", "--seed", "4", "--columns", "9", "--crlf", "--lists", "text"]
    orders += ["--conversions-per-day", "0.001", "--speed", "2", "--every-fault", "0.5", "--fault-seed", "3"]
    orders += ["--prefixed", "lists", "--retry-after", "9", "--queue-limit", "0", "--client-secret-out"]
    with serving(tmp_path, "--books", "0", *orders, str(tmp_path / "client.json")) as (_, told):
        secret = json.loads((tmp_path / "client.json").read_text())["installed"]
        assert (secret["auth_uri"], secret["token_uri"]) == (told["auth_uri"], told["token_uri"])
        own = told["base_url"].replace("/libraries", "/_simulator")
        assert {fault["chance"] for fault in httpx.get(f"{own}/faults").json()} >= {0.5}
        httpx.post(f"{own}/faults", json=[])
        consent = {"client_id": secret["client_id"], "response_type": "code", "scope": "openid"}
        back = httpx.get(told["auth_uri"], params={**consent, "redirect_uri": "http://localhost:1/"})
        form = {"grant_type": "authorization_code", "code": httpx.URL(back.headers["Location"]).params["code"]}
        form |= {
            "redirect_uri": "http://localhost:1/",
            **{name: secret[name] for name in ("client_id", "client_secret")},
        }
        token = httpx.post(told["token_uri"], data=form).json()["access_token"]
        with httpx.Client(base_url=told["base_url"], headers={"Authorization": f"Bearer {token}"}) as http:
            lines = http.get("/TESTLIB/_all_books?mode=all").content.split(b"\r\n")
            assert [line.count(b"\t") for line in lines] == [8] * 300 + [0]
            full = http.get("/TESTLIB/_process?barcodes=" + lines[0].split(b"\t")[0].decode())
            assert (full.status_code, full.headers["Retry-After"]) == (429, "9")


def test_the_end_of_stdin_ends_it(tmp_path: Path) -> None:
    """With --until-stdin-closes the server goes when the process that started it goes."""
    with serving(make_books(tmp_path / "library"), "--books", "0", "--until-stdin-closes") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def test_an_added_archive_is_offered_alone(tmp_path: Path) -> None:
    """With --books 0 and --add only that archive is in the pool, encrypted with the passphrase of the file."""
    with tarfile.open(tmp_path / "one.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("00000001.txt"), io.BytesIO())
    (tmp_path / "passphrase").write_text("a long enough passphrase\n")
    arguments = ["--books", "0", "--add", f"{tmp_path / 'one.tar.gz'}:39000000000018"]
    arguments += ["--passphrase-file", str(tmp_path / "passphrase"), "--credentials-out", str(tmp_path / "c.json")]
    with serving(tmp_path / "library", *arguments) as (_, told), client(told, tmp_path / "c.json") as grin:
        assert list(grin.barcodes("all_books")) == ["39000000000018"]
        grin.download("39000000000018", tmp_path / "got.gpg")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback"]
    gpg += ["--passphrase-file", str(tmp_path / "passphrase"), "--decrypt", str(tmp_path / "got.gpg")]
    done = subprocess.run(gpg, capture_output=True, check=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    assert done.stdout == (tmp_path / "one.tar.gz").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--books", "1"], "--passphrase-file is needed"),
        (["--books", "0", "--state", "NOBODY=NEW"], "no book NOBODY"),
        (["--books", "0", "--state", "HV1ABC=LOST"], "--state"),
        (["--books", "0", "--fault", '{"kind": "earthquake"}'], "--fault"),
        (["--books", "0", "--mix", "LOST=1"], "such as NEW=0.7"),
        (["--books", "0", "--inventory", "-1"], "ask for 0 to 10000000"),
        (["--books", "0", "--speed", "-1"], "cannot go backwards"),
        (["--books", "0", "--every-fault", "5"], "give 0 to 1"),
        (["--books", "0", "--columns", "8"], "--columns"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Wrong arguments are told in a sentence, with exit 2."""
    command = [*SIMULATOR, "serve", "--folder", str(make_books(tmp_path / "library")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_an_end_while_books_are_made(tmp_path: Path) -> None:
    """SIGTERM does not wait until all books are made."""
    (tmp_path / "passphrase").write_text("a long enough passphrase\n")
    command = [*SIMULATOR, "make", "--folder", str(tmp_path / "library"), "--books", "200"]
    command += ["--passphrase-file", str(tmp_path / "passphrase")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("library/archives/*.gpg")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 5


def test_given_credentials(tmp_path: Path) -> None:
    """An authorised user's file that is given is accepted, by every server to which it is given; another one is not."""
    given, other = tmp_path / "given.json", tmp_path / "other.json"
    secrets = {"client_id": "demo", "client_secret": "no secret"}
    for path, token in ((given, "none either"), (other, "somebody's")):
        path.touch(0o600)
        path.write_text(json.dumps({"type": "authorized_user", **secrets, "refresh_token": token}))
    folder = make_books(tmp_path / "library")
    for _ in range(2):
        order = ["--books", "0", "--credentials-in", str(given), "--until-stdin-closes"]
        with serving(folder, *order) as (_, told), client(told, given) as grin:
            assert set(grin.barcodes("converted")) == set(BARCODES)
    with serving(folder, *order) as (_, told), client(told, other) as grin, pytest.raises(StageError):
        list(grin.barcodes("converted"))


def test_credentials_that_are_none(tmp_path: Path) -> None:
    """A file that holds no person's credentials is refused with its name."""
    (tmp_path / "key.json").write_text('{"type": "service_account"}')
    command = [*SIMULATOR, "serve", "--folder", str(tmp_path), "--books", "0", "--credentials-in", "key.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=PYTHONPATH, check=False)
    assert done.returncode == 2
    assert "key.json is no authorised user's file" in done.stderr
