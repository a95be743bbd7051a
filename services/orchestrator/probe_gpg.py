"""What `doctor` tries out with gpg: does the passphrase open the library's archives, as far as there is one to try?"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from common.config import Settings
from common.errors import ConfigError
from services.orchestrator.findings import MUST, OK, WARNING, Finding, finding

NAME = "passphrase"
_INSTALL = "Install it: apt-get install gnupg, or what your system calls so; and see that it is in PATH."
_PUT = "Put the passphrase that Google gave, one line and nothing else, into the file that gpg_passphrase_file names."
_WRONG = "Put the passphrase of this library into the file that gpg_passphrase_file names; the books wait meanwhile."
_FAILS = "See what gpg says of itself: gpg --version; and that the folder for temporary files can be written to."
# So many books are looked at for an archive, and so many archives tried: one may be damaged.
_LOOKED_AT, _TRIED = 200, 3
# The session key and the first bytes: enough for gpg to begin, however large the archive is.
_HEAD = 256 << 10
_SECONDS = 30.0


def passphrase(settings: Settings) -> Iterator[Finding]:
    """Whether gpg is there and the passphrase is good; nothing is said where no stage decrypts."""
    if not any(row.class_.rpartition(".")[2].endswith("Decryptor") for row in settings.filters):
        return
    if shutil.which("gpg") is None:
        yield Finding("gpg", MUST, "gpg is not installed, so no archive can be opened.", _INSTALL)
        return
    try:
        known = settings.global_.passphrase()
    except ConfigError as error:
        yield Finding(NAME, MUST, error.problems[0], _PUT)
        return
    if set(known) & set("\r\n\0"):
        yield Finding(NAME, MUST, "The passphrase's file has more than one line.", _PUT)
        return
    yield _judged(known, list(islice(_archives(settings.global_.processing_bucket), _TRIED)))
    yield from _open_to_all(settings.global_.gpg_passphrase_file)


def _judged(known: str, archives: list[Path]) -> Finding:
    try:
        results = {archive: _opens(archive, known) for archive in archives}
        opened = [archive for archive, result in results.items() if result]
        refused = [archive for archive, result in results.items() if result is False]
        if opened:
            return Finding(NAME, OK, f"It opens {_name(opened[0])}, which is here.")
        if refused:
            others = f", nor {len(refused) - 1} more" if len(refused) > 1 else ""
            return Finding(NAME, MUST, f"It does not open {_name(refused[0])}, which is here{others}.", _WRONG)
        works = _round_trip(known)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(NAME, MUST, f"gpg cannot be used: {error}.", _FAILS)
    text = "gpg closes and opens a small message with it. Only an archive of yours proves that it is the right one,"
    return finding(NAME, f"{text} and none is here yet." if works else "gpg does not open what it closed.", _FAILS,
                   must=not works)  # fmt: skip


def _name(archive: Path) -> str:
    return archive.name


def _archives(processing: Path) -> Iterator[Path]:
    """Archives of books on their way, as their stages have published them."""
    with suppress(OSError), os.scandir(processing) as books:
        for book in islice(books, _LOOKED_AT):
            with suppress(OSError):
                yield from sorted(Path(book.path).glob("[!.]*/*.tar.gz.gpg"))


def _opens(archive: Path, known: str) -> bool | None:
    """Whether gpg gets to the content with it; None when the archive is damaged in another way."""
    with archive.open("rb") as file:
        said, _ = _gpg(known, file.read(_HEAD), "--decrypt", "--output", os.devnull)
    if "[GNUPG:] PLAINTEXT " in said:
        return True
    return False if "BAD_PASSPHRASE" in said or "Bad session key" in said else None


def _round_trip(known: str) -> bool:
    message = secrets.token_bytes(64)
    _, closed = _gpg(known, message, "--symmetric", "--s2k-count", "65011712")
    return _gpg(known, closed, "--decrypt")[1] == message


def _gpg(known: str, data: bytes, *what: str) -> tuple[str, bytes]:
    """What gpg says, and its output; the passphrase by descriptor, in a home that only this user can enter."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(f"{known}\n".encode())
        with tempfile.TemporaryDirectory(prefix="grin-doctor-") as home:
            environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": home}
            command = ["gpg", "--homedir", home, "--batch", "--no-tty", "--no-autostart", "--pinentry-mode", "loopback"]
            command += ["--ignore-time-conflict", "--passphrase-fd", str(reading), "--status-fd", "2", "--yes", *what]
            done = subprocess.run(
                command,
                input=data,
                pass_fds=(reading,),
                capture_output=True,
                env=environ,
                timeout=_SECONDS,
                check=False,
            )
    finally:
        os.close(reading)
    return done.stderr.decode("utf-8", "replace"), done.stdout


def _open_to_all(file: Path | None) -> Iterator[Finding]:
    with suppress(OSError):
        if file is not None and file.stat().st_mode & 0o004:
            yield Finding(NAME, WARNING, f"Everybody on this machine can read {file}.", f"Run: chmod 600 {file}")
