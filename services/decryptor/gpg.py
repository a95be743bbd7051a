"""gpg through python-gnupg: one archive in, one file out, and what gpg's status lines say about it."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gnupg

_MEMORY = Path("/dev/shm")  # noqa: S108 - only gpg's empty home, private to this process
_PREFIX = "grin-gpg-"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Outcome:
    """How a run of gpg ended; `status` holds the status lines' words, `said` its messages for people."""

    code: int
    status: frozenset[str]
    lines: tuple[str, ...]
    said: str

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
        # Outcome reads gpg's messages, so they must be English wherever this runs.
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        # --no-autostart: a passphrase needs no agent, and none may be left running.
        options = ["--no-autostart", "--ignore-time-conflict"]
        self._gpg = gnupg.GPG(gnupghome=str(self.home), options=options, env=environ | {"HOME": str(self.home)})

    def decrypt(self, archive: Path, target: Path, passphrase: str, max_bytes: int, *, need_mdc: bool) -> Outcome:
        """Decrypt into `target`, which may be left half-written or wrong unless the outcome says otherwise."""
        extra = ["--max-output", str(max_bytes), *([] if need_mdc else ["--ignore-mdc-error"])]
        # gpg opens the archive itself, as its one argument; through python-gnupg's own pipe the bytes would be copied
        # once more in Python. Standard input then carries the passphrase alone.
        # python-gnupg writes the passphrase as Latin-1; this way its bytes are UTF-8, as gpg reads them from a file.
        secret = passphrase.encode().decode("latin-1")
        result = self._gpg.decrypt_file(
            io.BytesIO(b""), passphrase=secret, output=str(target), extra_args=[*extra, "--", str(archive)]
        )
        lines = tuple(line for line in result.stderr.splitlines() if line.startswith("[GNUPG:] "))
        words = frozenset(line.split()[1] for line in lines if len(line.split()) > 1)
        said = "\n".join(line for line in result.stderr.splitlines() if not line.startswith("[GNUPG:] "))
        return Outcome(int(result.returncode), words, lines, said)

    def close(self) -> None:
        """Remove the home."""
        shutil.rmtree(self.home, ignore_errors=True)

    @staticmethod
    def _make_home(fallback: Path) -> Path:
        """A folder that only this user can enter; those of killed processes are removed first."""
        parent = _MEMORY if os.access(_MEMORY, os.W_OK) else fallback
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.glob(f"{_PREFIX}*"):
            pid = old.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
