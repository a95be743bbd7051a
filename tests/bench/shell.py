"""The shell to compare with: what one would write without any of this, two books at a time."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.corpus import Corpus
from tests.bench.costs import Cost, run

_GPG = "gpg --batch --quiet --no-autostart --pinentry-mode loopback --passphrase-file"
# From the encrypted file, which is there already, to a package. Nothing is fetched, added, hashed, synced or removed.
_BARE = f"""
mkdir "$WORK/$1"; cd "$WORK/$1"
{_GPG} "$PASSPHRASE" -d "$ARCHIVES/$1.tar.gz.gpg" | $INFLATE | tar x
md5sum --quiet -c checksum.md5
tar c . | $DEFLATE > "$STORE/$1.tar.gz"
"""
# What the pipeline does, step by step: fetch, decrypt, unpack, verify, add a file, pack, hash, sync, publish, tidy up.
_SAME = f"""
mkdir -p "$WORK/$1/members" "$STORE/$1"; cd "$WORK/$1/members"
curl -sSf -H "@$HEADER" -o ../archive.gpg "$GRIN/$1.tar.gz.gpg"
{_GPG} "$PASSPHRASE" -d ../archive.gpg | $INFLATE | tar x
md5sum --quiet -c checksum.md5
cat [0-9]*.txt > "$1.txt"
tar c . | $DEFLATE > "../$1.tar.gz"
cd ..; sha256sum "$1.tar.gz" > "$STORE/$1/$1.sha256"
sync "$1.tar.gz"; mv "$1.tar.gz" "$STORE/$1/"
cd "$WORK"; rm -rf "$1"
"""
_SCRIPTS = {"bare": _BARE, "same": _SAME}
_TOOLS = {"plain": ("gzip -dc", "gzip"), "best": ("igzip -dc", "igzip -1")}


@dataclass(frozen=True)
class Shell:
    """A script: `bare` or the `same` work as ours, with the `plain` or the `best` tools."""

    work: str
    tools: str

    def cost(self, corpus: Corpus, folder: Path) -> Cost:
        """Run it over all books, on empty folders."""
        places = {"WORK": folder / "work", "STORE": folder / "store", "GNUPGHOME": folder / "gnupg"}
        shutil.rmtree(folder, ignore_errors=True)
        for place in places.values():
            place.mkdir(parents=True, mode=0o700)
        inflate, deflate = _TOOLS[self.tools]
        told: dict[str, object] = {"GRIN": corpus.grin, "HEADER": corpus.header, "PASSPHRASE": corpus.passphrase}
        told |= {"ARCHIVES": corpus.archives, "INFLATE": inflate, "DEFLATE": deflate, **places}
        (folder / "barcodes").write_text("".join(f"{barcode}\n" for barcode in corpus.barcodes))
        one = ["bash", "-euo", "pipefail", "-c", _SCRIPTS[self.work], "book"]
        command = ["xargs", "-a", str(folder / "barcodes"), "-P", "2", "-n", "1", *one]
        os.sync()
        cost = run(command, folder / "log", {**os.environ, **{name: str(value) for name, value in told.items()}})
        if len(list((folder / "store").rglob("*.tar.gz"))) != len(corpus.barcodes):
            raise SystemExit(f"The shell has not made all packages; {folder / 'log'} says why.")
        return cost


def best_tools() -> bool:
    """Whether igzip is here, which Debian's package isal brings."""
    return shutil.which("igzip") is not None
