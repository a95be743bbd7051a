"""The books that are measured with: made by the simulator, kept for the next run, served while it lasts."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = "TESTLIB"


@dataclass
class Corpus:
    """A running GRIN with some books: its addresses, who may ask, and the books' own record of themselves."""

    folder: Path
    pages: int
    told: dict[str, str]
    passphrase: Path

    @property
    def credentials(self) -> Path:
        """The file with which to sign in."""
        return self.folder / "credentials.json"

    @property
    def header(self) -> Path:
        """A file with the header that lets curl in."""
        return self.folder / "header"

    @property
    def grin(self) -> str:
        """The address of the library at that GRIN."""
        return f"{self.told['base_url']}/{_LIBRARY}"

    @property
    def barcodes(self) -> list[str]:
        """All books."""
        return sorted(path.name.removesuffix(".tar.gz.gpg") for path in self.archives.iterdir())

    @property
    def archives(self) -> Path:
        """Where the encrypted archives lie."""
        return self.folder / "archives"

    @property
    def size(self) -> float:
        """The mean size of an archive, in MB."""
        return sum(path.stat().st_size for path in self.archives.iterdir()) / len(self.barcodes) / 1e6


@contextmanager
def served(folder: Path, books: int, pages: int) -> Iterator[Corpus]:
    """Serve so many books of so many pages; they are made unless they are there."""
    passphrase = folder / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    mine = folder / f"books-{books}x{pages}"
    mine.mkdir(exist_ok=True)
    make = ["--books", str(books), "--poisoned", "0", "--seed", "1", "--pages", f"{pages}:{pages}"]
    files = ["--folder", str(mine), "--passphrase-file", str(passphrase), "--library", _LIBRARY]
    command = [sys.executable, "-m", "simulator", "serve", *make, *files, "--token-lifetime", "1000000"]
    command += ["--credentials-out", str(mine / "credentials.json"), "--until-stdin-closes"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("The simulator has made no books; python -m simulator make says why.")
        corpus = Corpus(mine, pages, json.loads(line), passphrase)
        corpus.header.write_text(f"Authorization: Bearer {_token(corpus)}\n")
        try:
            yield corpus
        finally:
            process.stdin.close()


def _token(corpus: Corpus) -> str:
    """An access token, as the simulator's README gets one with curl."""
    form = {**json.loads(corpus.credentials.read_text()), "grant_type": "refresh_token"}
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(corpus.told["token_uri"], data, timeout=20) as answer:
        return str(json.load(answer)["access_token"])
