"""gpg: one archive in, one file out, and what its status lines say, within limits of bytes, seconds and words."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - only gpg's empty home, private to this process
_PREFIX = "grin-gpg-"
_STATUS = "[GNUPG:] "
# An archive of 5 MB can make gpg say 30 MB.
_MOST_SAID = 1 << 20
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Outcome:
    """How a run of gpg ended; `status` holds the status lines' words, `said` its messages for people."""

    code: int
    status: frozenset[str]
    lines: tuple[str, ...]
    said: str
    late: bool = False
    """gpg was stopped because it took too long."""

    @property
    def whole(self) -> bool:
        """Decrypted to the end, without an error; says nothing of the integrity packet."""
        return self.code == 0 and "DECRYPTION_OKAY" in self.status and "BADMDC" not in self.status

    @property
    def intact(self) -> bool:
        """The integrity packet was there and matches."""
        return "GOODMDC" in self.status

    @property
    def wrong_passphrase(self) -> bool:
        """gpg could not make a session key of the passphrase; damage never looks like this."""
        return any("symkey_decrypt" in line and "BAD_PASSPHRASE" in line for line in self.lines) or (
            "DECRYPTION_FAILED" in self.status and "Bad session key" in self.said
        )

    @property
    def without_integrity(self) -> bool:
        """An old message that carries no integrity packet at all."""
        return any("nomdc" in line.lower() for line in self.lines)

    @property
    def for_a_key(self) -> bool:
        """Encrypted for somebody's key, and not with a passphrase."""
        return "NO_SECKEY" in self.status and "NEED_PASSPHRASE_SYM" not in self.status

    @property
    def too_large(self) -> bool:
        """gpg stopped at the limit of bytes."""
        return "exceeded --max-output" in self.said

    @property
    def disk_error(self) -> int | None:
        """The error number when the disk took no more of the output, which says nothing about the archive."""
        return next((code for code in _DISK if os.strerror(code) in self.said), None)


class Gpg:
    """A private, empty GNUPGHOME, in memory where there is such a place, and gpg in it."""

    def __init__(self, fallback: Path) -> None:
        self.home = self._make_home(fallback)

    def decrypt(
        self, archive: Path, target: Path, passphrase: str, *more: str, max_bytes: int, max_seconds: float
    ) -> Outcome:
        """Decrypt into `target`, which may be left half-written or wrong unless the outcome says otherwise.

        `more` are further options of gpg.
        """
        # Whoever tidies up the memory or temp_dir may have taken it.
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        what = [
            "--max-output",
            str(max_bytes),
            *more,
            "--yes",
            "--output",
            str(target),
            "--decrypt",
            "--",
            str(archive),
        ]
        code, said, late = self._run(what, passphrase, max_seconds)
        # Only at newlines: the name that an archive gives its content stands in a status line, and may hold other ends.
        all_lines = said.split("\n")
        lines = tuple(line for line in all_lines if line.startswith(_STATUS))
        words = frozenset(line.split()[1] for line in lines if len(line.split()) > 1)
        return Outcome(code, words, lines, "\n".join(line for line in all_lines if not line.startswith(_STATUS)), late)

    def _run(self, what: Sequence[str], passphrase: str, max_seconds: float) -> tuple[int, str, bool]:
        """gpg's exit code, what it said (cut where it says too much), and whether it had to be stopped."""
        # --no-autostart: a passphrase needs no agent, and none may be left running.
        how = ["--batch", "--no-tty", "--homedir", str(self.home), "--no-autostart", "--ignore-time-conflict"]
        talk = ["--status-fd", "2", "--pinentry-mode", "loopback", "--passphrase-fd", "0"]
        # Outcome reads gpg's messages, so they must be English wherever this runs.
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self.home)}
        late = threading.Event()
        with subprocess.Popen(
            [shutil.which("gpg") or "gpg", *how, *talk, *what],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environ,
        ) as process:
            assert process.stdin
            assert process.stderr

            def stop() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(max_seconds, stop)
            timer.start()
            try:
                # gpg reads it only when it finds something to decrypt.
                with suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(f"{passphrase}\n".encode())
                said = process.stderr.read(_MOST_SAID)
                # What is not kept is read all the same, or gpg would wait for ever.
                while process.stderr.read(1 << 16):
                    pass
            finally:
                timer.cancel()
        return process.returncode, said.decode("utf-8", "replace"), late.is_set()

    def close(self) -> None:
        """Remove the home."""
        shutil.rmtree(self.home, ignore_errors=True)

    @staticmethod
    def _make_home(fallback: Path) -> Path:
        """A folder that only this user can enter; those of killed processes are removed first."""
        if os.access(_MEMORY, os.W_OK):
            with suppress(OSError):  # there are machines where memory has a place, and no room in it
                return _private(_MEMORY)
        fallback.mkdir(parents=True, exist_ok=True)
        return _private(fallback)


def _private(parent: Path) -> Path:
    for old in parent.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
