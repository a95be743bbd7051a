"""A decryptor and one book before it, and what real gpg makes for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from common import config
from common.stage import Book, StageError
from services.decryptor.stage import Decryptor

PLAIN = os.urandom(300_000)
CONFIG = """\
global:
  gpg_passphrase_file: passphrase
  temp_dir: tmp
filters:
  - name: decryptor
    class: Decryptor
    input_pipe: pipeline/01_incoming
    output_pipe: pipeline/02_decrypted
    options: {OPTIONS}
"""


def encrypt(data: bytes, home: Path, *more: str, passphrase: str = "correct horse") -> bytes:
    """What gpg makes of `data`, with a passphrase of its own on a descriptor; quickly, by few rounds of its hash."""
    home.mkdir(mode=0o700, exist_ok=True)
    read, write = os.pipe()
    os.write(write, passphrase.encode())
    os.close(write)
    how = ["--batch", "--quiet", "--homedir", str(home), "--pinentry-mode", "loopback", "--passphrase-fd", str(read)]
    aes = () if "--cipher-algo" in more else ("--cipher-algo", "AES256")
    command = ["gpg", *how, "--symmetric", *aes, "--s2k-count", "1024", "--compress-algo", "none", *more]
    try:
        return subprocess.run(command, input=data, check=True, capture_output=True, pass_fds=[read]).stdout
    finally:
        os.close(read)


def end_agent(home: Path) -> None:
    """To encrypt, gpg has started an agent, which would outlive the test."""
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


class Desk:
    """A decryptor and one book before it."""

    def __init__(self, folder: Path, options: str = "{}") -> None:
        (folder / "passphrase").write_text("correct horse\n")
        path = folder / "config.yaml"
        path.write_text(CONFIG.replace("{OPTIONS}", options))
        settings = config.load(path)
        self.stage = Decryptor(settings, settings.row("decryptor"))
        self.book = Book("A1", folder / "processing" / "A1", "", upstream=("downloader",))
        self.tmp = folder / "tmp"
        self.work = folder / "work"
        self.work.mkdir()
        (self.book.folder / "downloader").mkdir(parents=True)

    def decrypt(self, archive: bytes) -> dict[str, object]:
        """Let the stage work on these bytes."""
        (self.book.folder / "downloader" / "A1.tar.gz.gpg").write_bytes(archive)
        return dict(self.stage.process(self.book, self.work) or {})

    def close(self) -> None:
        """Remove gpg's home."""
        self.stage.close()

    def verdict(self, archive: bytes) -> StageError:
        """The error that the stage raises; nothing may be left in its scratch folder."""
        with pytest.raises(StageError) as caught:
            self.decrypt(archive)
        assert list(self.work.iterdir()) == []
        return caught.value
