"""`doctor` against set-ups that are broken, before the real thing: each named, with its cure, and code 3 or 2."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from common import config
from services.orchestrator import cli, doctor, up
from tests.e2e.conftest import Pipeline

CLAIMS = 50
OFFLINE = ("--offline",)
BRIEF = ("--brief",)

# The command in a process of its own, with fewer claims.
DOCTOR = f"""
import sys
from services.orchestrator import cli, doctor
doctor.CLAIMS = {CLAIMS}
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _few_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race for claims is short: others measure it."""
    monkeypatch.setattr(doctor, "CLAIMS", CLAIMS)


def broken(pipeline: Pipeline, name: str, says: str, cure: str, *more: str) -> None:
    """The doctor ends with 3, and the line of that name and the one below it say what is wrong and what to do."""
    code, said, _ = asked(pipeline, *more)
    assert code == 3, said
    found_in(said, name, says, cure)


def asked(pipeline: Pipeline, *more: str) -> tuple[int, str, str]:
    """The command in this process: its code, what it says and what it complains of."""
    pipeline.write()
    said, complained = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(complained):
        code = cli.main(["doctor", "--config", str(pipeline.config), *more])
    return code, said.getvalue(), complained.getvalue()


def found_in(text: str, name: str, says: str, cure: str) -> None:
    """One finding that must not be, in what the doctor has said."""
    lines = text.splitlines()
    wanted = [at for at, line in enumerate(lines) if line.startswith(f"✗ {name} ") and says in line]
    assert wanted, text
    assert cure in lines[wanted[0] + 1], text


def archived(pipeline: Pipeline, barcode: str = "") -> Path:
    """A book whose encrypted archive waits for the decryptor."""
    archives = pipeline.grin.folder / "library" / "archives"
    made = min(archives.glob(f"{barcode}*.gpg")) if barcode else min(archives.glob("*.gpg"))
    folder = pipeline.folder / "processing" / made.name.partition(".")[0] / "downloader"
    folder.mkdir(parents=True)
    return Path(shutil.copy(made, folder))


def test_all_is_well(pipeline: Pipeline) -> None:
    """The twin of all that follows: login, clock, passphrase, store and versions are said to be good, with code 0."""
    archive = archived(pipeline)
    code, text, _ = asked(pipeline, "--json")
    facts = json.loads(text)
    assert (code, facts["ok"]) == (0, True), facts
    said = {one["name"]: one["sentence"] for one in facts["findings"] if one["level"] == "ok"}
    assert "shows it the library TESTLIB" in said["GRIN login"]
    assert said["passphrase"] == f"It opens {archive.name}, which is here."
    assert "0 s" in said["GRIN's clock"]
    assert "takes a file and gives it back" in said["done bucket"]
    assert f"Python {sys.version.split()[0]}, gpg 2." in said["versions"]
    assert {path.name for path in pipeline.folder.iterdir()} == {
        "config.yaml", "passphrase", "processing", "their_module.py",
    }  # fmt: skip


def test_a_wrong_passphrase(pipeline: Pipeline) -> None:
    """Held against an archive that waits here, though gpg works with it; without one, only that nothing proves it."""
    (pipeline.folder / "passphrase").write_text("not the library's\n")
    code, said, _ = asked(pipeline, *BRIEF)
    assert (code, "Only an archive of yours proves that it is the right one" in said) == (0, True), said
    archive = archived(pipeline)
    broken(pipeline, "passphrase", f"It does not open {archive.name}", "the passphrase of this library", *BRIEF)
    archived(pipeline, sorted(pipeline.grin.books())[-1])
    broken(pipeline, "passphrase", "nor 1 more", "the passphrase of this library", *BRIEF)


def test_a_damaged_archive_says_nothing_of_the_passphrase(pipeline: Pipeline) -> None:
    """The twin: what is no archive at all is no proof against a passphrase."""
    archived(pipeline).write_bytes(os.urandom(1000))
    code, said, _ = asked(pipeline, *BRIEF)
    assert (code, "proves" in said) == (0, True), said


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: No such file"), ("", "is empty"), ("a\nb\n", "more than one line")],
    ids=["missing", "empty", "two lines"],
)
def test_no_passphrase(pipeline: Pipeline, content: str | None, says: str) -> None:
    """A file that is missing, empty or has too many lines is named with what belongs there."""
    (pipeline.folder / "passphrase").unlink()
    if content is not None:
        (pipeline.folder / "passphrase").write_text(content)
    broken(pipeline, "passphrase", says, "Put the passphrase that Google gave", *BRIEF)
    _, said, _ = asked(pipeline, *BRIEF)
    lines = said.splitlines()
    at = lines.index("✗ stage decryptor      It cannot start: see passphrase, above.")
    assert not lines[at + 1].startswith(" "), said


def test_nothing_is_said_twice(pipeline: Pipeline) -> None:
    """What keeps a stage from starting and was told already is not told once more, and no line is there to fill it."""
    (pipeline.folder / "passphrase").unlink()
    grin(pipeline, credentials_file="nowhere.json")
    code, said, _ = asked(pipeline)
    assert (code, said.count("nowhere.json"), said.count("/passphrase cannot be read")) == (3, 1, 1), said
    for name in ("credentials", "passphrase"):
        assert f"It cannot start: see {name}, above.\n" in said
    assert "Mend that" not in said
    assert "GRIN login" not in said


def test_no_gpg(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gpg in PATH it is said how to get it."""
    nothing = pipeline.folder / "bin"
    nothing.mkdir()
    monkeypatch.setenv("PATH", str(nothing))
    broken(pipeline, "gpg", "gpg is not installed", "apt-get install gnupg", *BRIEF)


def test_credentials_that_are_refused(pipeline: Pipeline) -> None:
    """Google no longer takes the consent: named, with how to sign in anew."""
    mine = pipeline.folder / "credentials.json"
    facts = json.loads(pipeline.grin.credentials.read_text())
    mine.write_text(json.dumps({**facts, "refresh_token": "withdrawn"}))
    mine.chmod(0o600)
    grin(pipeline, credentials_file=str(mine))
    broken(pipeline, "GRIN login", "Google refuses the credentials (invalid_grant)", "auth login")
    mine.chmod(0o644)
    for how in ((), OFFLINE):
        broken(pipeline, "credentials", "can be read or changed by others", f"chmod 600 {mine}", *how)


def test_a_library_of_another_case(pipeline: Pipeline) -> None:
    """GRIN does not know testlib for TESTLIB: the setting is named, and its case."""
    pipeline.common["library"] = "testlib"
    broken(pipeline, "GRIN login", "GRIN has no library testlib (404)", "upper and lower case")


def test_nobody_answers(pipeline: Pipeline) -> None:
    """A GRIN that cannot be reached is told, with where to look; --offline leaves it out, and so does --brief."""
    with socket.socket() as taken:
        # Bound, and nobody listens: whoever connects is refused, and no other server can come there.
        taken.bind(("127.0.0.1", 0))
        grin(pipeline, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/libraries")
        broken(pipeline, "GRIN login", "GRIN at 127.0.0.1 cannot be reached", "HTTPS_PROXY")
        for how in (OFFLINE, BRIEF):
            code, said, _ = asked(pipeline, *how)
            assert (code, "GRIN login" in said) == (0, False), said


@pytest.mark.parametrize(
    ("code", "level", "says", "cure"),
    [(403, "✗", "403", "list"), (503, "!", "503", "Try again in some minutes")],
)
def test_an_answer_that_is_none(pipeline: Pipeline, code: int, level: str, says: str, cure: str) -> None:
    """An account that GRIN does not let in must be mended; a server that is busy is a warning, for it passes."""
    simulator = pipeline.grin.told["base_url"].removesuffix("/libraries")
    httpx.post(f"{simulator}/_simulator/faults", json=[{"kind": "status", "code": code}]).raise_for_status()
    _, said, _ = asked(pipeline)
    lines = said.splitlines()
    [at] = [at for at, line in enumerate(lines) if line.startswith(f"{level} GRIN login ")]
    assert says in lines[at] and cure in lines[at + 1], said


def test_a_clock_that_is_wrong(pipeline: Pipeline) -> None:
    """GRIN's host says another time than this machine: by how much, and what to follow."""
    with telling_time(3600) as address:
        grin(pipeline, base_url=address)
        broken(pipeline, "GRIN's clock", "3600 s ahead of this machine's", "time server")


@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_that_is_a_little_wrong(pipeline: Pipeline, seconds: int) -> None:
    """A minute is a warning."""
    with telling_time(seconds) as address:
        grin(pipeline, base_url=address)
        code, text, _ = asked(pipeline, "--json")
    [found] = [one for one in json.loads(text)["findings"] if one["name"] == "GRIN's clock"]
    assert (code, found["level"]) == (0, "warning"), text


def test_a_done_bucket_that_cannot_be_made(pipeline: Pipeline) -> None:
    """A file in the way of the done bucket's folder is found."""
    pipeline.common["done_bucket"] = "passphrase/books"
    broken(pipeline, "done bucket", "takes no file", "See that it is mounted", *BRIEF)
    _, said, _ = asked(pipeline, *BRIEF)
    assert "✗ stage uploader       It cannot start: see done bucket, above.\n" in said
    assert "goes on by itself" not in said


def test_two_file_systems(pipeline: Pipeline) -> None:
    """A bucket that is a link to another file system is refused before anything else, with code 2."""
    if Path("/dev/shm").stat().st_dev == pipeline.folder.stat().st_dev:
        pytest.skip("/dev/shm is on the file system of the tests, so there is no second one to try with.")
    pipeline.root.mkdir()
    pipeline.bucket(2).symlink_to("/dev/shm")
    code, _, complained = asked(pipeline, *BRIEF)
    assert code == 2, complained
    assert f"is on another file system than {pipeline.root}; tokens are renamed, never copied" in complained


def test_a_board_in_memory(pipeline: Pipeline) -> None:
    """A board that is gone at the next restart is a warning with where to put it; one can try the pipeline there."""
    memory = Path("/dev/shm") / f"doctor-{os.getpid()}"
    for row in pipeline.filters:
        for key in ("input_pipe", "output_pipe"):
            row[key] = str(memory / "pipeline" / Path(row[key]).name)
    pipeline.common |= {"pipeline_dir": str(memory / "pipeline")}
    code, text, _ = asked(pipeline, *BRIEF, "--json")
    [found, *_] = [one for one in json.loads(text)["findings"] if one["name"] == "file system"]
    assert (code, found["level"]) == (0, "warning"), text
    assert "gone at the next restart" in found["sentence"]
    assert "Put pipeline_dir" in found["cure"]
    assert not memory.exists()


# --- in a mount namespace of its own ---


def mounted(pipeline: Pipeline, *mounts: str) -> str:
    """What the doctor says after these shell commands, in a mount namespace that ends with it."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("NO PRIVATE MOUNT NAMESPACE CAN BE HAD (that needs root): broken mounts were not tried.")
    pipeline.write()
    command = shlex.join([sys.executable, "-c", DOCTOR, "doctor", *OFFLINE, "--config", str(pipeline.config)])
    script = " && ".join(["set -e", *mounts, f"exec {command}"])
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=pipeline.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done
    return done.stdout


def test_too_little_space(pipeline: Pipeline) -> None:
    """A board on a file system with a megabyte left is refused, with how much a book takes."""
    pipeline.root.mkdir()
    said = mounted(pipeline, f"mount -t tmpfs -o size=4m,nr_inodes=20000 none {shlex.quote(str(pipeline.root))}")
    found_in(said, "space for the board", "bytes free for the board", "each book's token and ledger take some 8 kB")


def test_a_mount_inside_the_board(pipeline: Pipeline) -> None:
    """A bucket on a mount of its own cannot be reached by a rename: which one, and to mount the board once."""
    up.prepare(config.load(pipeline.config, environ={}))
    bucket = shlex.quote(str(pipeline.bucket(1)))
    said = mounted(pipeline, f"mount --bind {bucket} {bucket}")
    found_in(said, "one mount", f"{pipeline.bucket(1)} is a mount of its own", "Mount the board once")


def test_a_store_without_the_right_to_write(pipeline: Pipeline) -> None:
    """A done bucket on a disk that is mounted read-only takes no file: named, with the cure."""
    done = pipeline.folder / "done"
    done.mkdir()
    place = shlex.quote(str(done))
    said = mounted(pipeline, f"mount --bind {place} {place}", f"mount -o remount,ro,bind {place}")
    found_in(said, "done bucket", f"{done} takes no file: {done} answers Read-only file system", "may be written to")


# --- the pieces they share ---


def grin(pipeline: Pipeline, **changed: str) -> None:
    """Let the configuration's section grin be another one."""
    told = pipeline.grin.told
    addresses = {"base_url": told["base_url"], "token_uri": told["token_uri"], "requests_per_second": 100}
    pipeline.more["grin"] = {**addresses, "credentials_file": str(pipeline.grin.credentials), **changed}


@contextmanager
def telling_time(ahead: int) -> Iterator[str]:
    """The address of a server that lets everybody in, and whose clock is wrong by so many seconds."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"A\n")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + ahead, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/libraries"
        server.shutdown()
