"""Symmetric encryption with the real gpg, the passphrase by file descriptor, in a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_MODERN = ("--cipher-algo", "AES256")
# What gpg picks by itself; named, it need not start an agent that measures the machine for a second first.
_HARD = ("--s2k-count", "65011712")
_OLD = ("--rfc2440", "--disable-mdc", "--cipher-algo", "CAST5")


class CipherError(Exception):
    """gpg did not do what it was asked; the message holds what it said."""


class Cipher:
    """A home for gpg; use as a context manager, so that the home and its agent go away."""

    def __enter__(self) -> Self:
        self._home = tempfile.mkdtemp(prefix="simulator-gpg-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill = ["gpgconf", "--homedir", self._home, "--kill", "all"]
        subprocess.run(kill, check=False, capture_output=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def encrypt(self, data: bytes, target: Path, passphrase: str, *, mdc: bool = True) -> None:
        """Writes `target`, replacing it; without `mdc` as gpg did long ago."""
        how = _MODERN if mdc else _OLD
        self._gpg(["--symmetric", *how, *_HARD, "--compress-algo", "none", "--output", str(target)], passphrase, data)

    def opens(self, source: Path, passphrase: str) -> bool:
        """Whether this passphrase decrypts the file."""
        try:
            self._gpg(["--output", os.devnull, "--decrypt", str(source)], passphrase)
        except CipherError:
            return False
        return True

    def _gpg(self, arguments: list[str], passphrase: str, data: bytes = b"") -> None:
        reading, writing = os.pipe()
        os.write(writing, f"{passphrase}\n".encode())
        os.close(writing)
        fixed = ["gpg", "--homedir", self._home, "--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback"]
        command = [*fixed, "--passphrase-fd", str(reading), *arguments]
        try:
            done = subprocess.run(command, input=data, pass_fds=(reading,), capture_output=True, check=False)
        finally:
            os.close(reading)
        if done.returncode:
            raise CipherError(f"gpg ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
