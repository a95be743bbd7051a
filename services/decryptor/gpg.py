"""gpg through python-gnupg: one archive in, one file out, and what gpg says of it; limits of bytes, seconds, words."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import gnupg

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
    def killed_by(self) -> int | None:
        """The signal that ended gpg, when it was somebody else's: the kernel's, short of memory, for instance."""
        return -self.code if self.code < 0 and not self.late else None

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


class _Limited(gnupg.GPG):  # type: ignore[misc]
    """python-gnupg with limits of time and words, which it has no options for: two of its inner steps are replaced."""

    max_seconds: float = 60
    """How long the next gpg may run; as it stands, the one that python-gnupg asks for its version."""
    late = False
    """The last gpg was stopped because it took too long."""

    def _collect_output(self, process: Any, result: Any, writer: Any = None, stdin: Any = None) -> Any:
        """Wait for gpg to end, as python-gnupg does, and not for ever."""
        self.late = False

        def stop() -> None:
            self.late = True
            process.kill()

        timer = threading.Timer(self.max_seconds, stop)
        timer.start()
        try:
            return super()._collect_output(process, result, writer, stdin)
        finally:
            timer.cancel()

    def _read_response(self, stream: Any, result: Any) -> None:
        """Keep the lines that gpg says, and no more of them than are worth it.

        python-gnupg would keep all of it, and split it at every end of line that Unicode knows.
        """
        pipe: IO[bytes] = stream.stream
        result.stderr = pipe.read(_MOST_SAID).rpartition(b"\n")[0].decode("utf-8", "replace")
        # What is not kept is read all the same, or gpg would wait for ever.
        while pipe.read(1 << 16):
            pass


class Gpg:
    """A private, empty GNUPGHOME, in memory where there is such a place, and gpg in it."""

    def __init__(self, fallback: Path) -> None:
        self.home = self._make_home(fallback)
        # Outcome reads gpg's messages, so they must be English wherever this runs.
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self.home)}
        # --no-autostart: a passphrase needs no agent, and none may be left running.
        options = ["--no-autostart", "--ignore-time-conflict"]
        # The encoding is that of the passphrase: gpg then reads the same bytes as from a file.
        self._gpg = _Limited(gnupghome=str(self.home), options=options, env=environ, encoding="utf-8")
        # Some damaged archives make gpg print lists, which python-gnupg would keep.
        self._gpg.on_data = lambda _: False

    def decrypt(
        self, archive: Path, target: Path, passphrase: str, *more: str, max_bytes: int, max_seconds: float
    ) -> Outcome:
        """Decrypt into `target`, which may be left half-written or wrong unless the outcome says otherwise.

        `more` are further options of gpg.
        """
        # Whoever tidies up the memory or temp_dir may have taken it.
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._gpg.max_seconds = max_seconds
        # gpg opens the archive itself: through python-gnupg's pipe, Python would copy every byte once more.
        what = ["--max-output", str(max_bytes), *more, "--", str(archive)]
        result = self._gpg.decrypt_file(io.BytesIO(), passphrase=passphrase, output=str(target), extra_args=what)
        # Only at newlines: the name that an archive gives its content stands in a status line, and may hold other ends.
        all_lines = result.stderr.split("\n")
        lines = tuple(line for line in all_lines if line.startswith(_STATUS))
        words = frozenset(line.split()[1] for line in lines if len(line.split()) > 1)
        said = "\n".join(line for line in all_lines if not line.startswith(_STATUS))
        return Outcome(int(result.returncode), words, lines, said, self._gpg.late)

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
