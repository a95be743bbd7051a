"""`python -m simulator`: as other processes start and end it."""

from __future__ import annotations

import io
import json
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

from common.grin.client import GrinClient
from tests.simulator.grin_server import BARCODES, client_settings, make_books

ROOT = Path(__file__).parents[2]
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
