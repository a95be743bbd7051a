"""The whole pipeline against the bare shell, on the same books in the same run: CPU seconds, wall seconds, ratios.

The shell does `gpg -d | tar xz; md5sum -c; tar cz`, two books at a time. The pipeline also downloads, verifies twice,
writes sidecars, makes everything durable and uploads; the simulated GRIN that it downloads from is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

STAGES = ("downloader", "decryptor", "extractor", "modifier", "uploader")
SHELL = """
set -eu; book=$(basename "$1" .tar.gz.gpg); mkdir "$2/$book"
gpg --batch --quiet --pinentry-mode loopback --passphrase-file "$3" -d "$1" | {gunzip} | tar x -C "$2/$book"
cd "$2/$book"; md5sum --quiet -c checksum.md5; tar c . | {gzip} > "$2/$book.tar.gz"
"""
TOOLS = {"gzip": ("gzip -dc", "gzip"), "igzip": ("igzip -dc", "igzip -1")}


@dataclass
class Cost:
    """What one run of all books took, in seconds."""

    cpu: float
    user: float
    wall: float


@contextmanager
def library(folder: Path, books: int, pages: int, passphrase: Path) -> Iterator[dict[str, str]]:
    """A simulated GRIN with these books, made once and kept."""
    make = ["--books", str(books), "--poisoned", "0", "--seed", "1", "--pages", f"{pages}:{pages}"]
    files = ["--folder", str(folder / "library"), "--passphrase-file", str(passphrase), "--library", "TESTLIB"]
    command = [sys.executable, "-m", "simulator", "serve", *make, *files]
    command += ["--credentials-out", str(folder / "credentials.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


def measured(command: list[str], **more: object) -> Cost:
    """Run a command; its own and all its children's time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **more)  # type: ignore[call-overload]
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return Cost(user + system, user, wall)


def shell(folder: Path, passphrase: Path, tools: str) -> Cost:
    """The bare shell, two books at a time."""
    work = fresh(folder / "shell")
    gunzip, gzip = TOOLS[tools]
    script = SHELL.replace("{gunzip}", gunzip).replace("{gzip}", gzip)
    archives = sorted((folder / "library" / "archives").iterdir())
    home = fresh(folder / "gnupg")
    home.chmod(0o700)
    one = ["bash", "-o", "pipefail", "-c", script, "book", "{}", str(work), str(passphrase)]
    command = ["xargs", "-P", "2", "-I{}", *one]
    names = "\n".join(map(str, archives))
    return measured(command, input=names, text=True, env={**os.environ, "GNUPGHOME": str(home)})


def pipeline(folder: Path, passphrase: Path, told: dict[str, str]) -> Cost:
    """`grin-pipeline up --until-drained` on a fresh board, one worker a stage."""
    home = fresh(folder / "pipeline")
    buckets = [f"pipeline/{number:02}" for number in range(6)]
    filters = [
        {"name": name, "class": name.capitalize(), "input_pipe": buckets[number], "output_pipe": buckets[number + 1]}
        for number, name in enumerate(STAGES)
    ]
    grin = {key: told[key] for key in ("base_url", "token_uri")}
    grin |= {"credentials_file": str(folder / "credentials.json"), "requests_per_second": 100}
    common = {"library": told["library"], "gpg_passphrase_file": str(passphrase), "poll": 0.05}
    (home / "config.yaml").write_text(yaml.safe_dump({"global": common, "grin": grin, "filters": filters}))
    up = [sys.executable, "-m", "services.orchestrator", "up", "--until-drained", "--config", str(home / "config.yaml")]
    return measured(up)


def fresh(folder: Path) -> Path:
    """An empty folder of that name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def row(name: str, costs: list[Cost], base: list[Cost], books: int) -> str:
    """One line of the table; ratios are medians of the ratios of each round."""
    cpu, user, wall = (statistics.median(getattr(cost, key) for cost in costs) for key in ("cpu", "user", "wall"))
    ratios = [
        statistics.median(getattr(cost, key) / getattr(other, key) for cost, other in zip(costs, base, strict=True))
        for key in ("cpu", "user", "wall")
    ]
    figures = f"{cpu / books:10.2f} {user / books:10.2f} {wall:8.1f} {books / wall * 60:10.0f}"
    return f"{name:<28} {figures}   {ratios[0]:6.2f} {ratios[1]:6.2f} {ratios[2]:6.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=12)
    parser.add_argument("--pages", type=int, default=460)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("bench/run"))
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    passphrase = folder / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    costs: dict[str, list[Cost]] = {"shell, gzip": [], "shell, igzip": [], "grin-pipeline": []}
    has_igzip = shutil.which("igzip") is not None
    with library(folder, arguments.books, arguments.pages, passphrase) as told:
        for _ in range(arguments.rounds):
            costs["shell, gzip"].append(shell(folder, passphrase, "gzip"))
            if has_igzip:
                costs["shell, igzip"].append(shell(folder, passphrase, "igzip"))
            costs["grin-pipeline"].append(pipeline(folder, passphrase, told))
    sizes = [path.stat().st_size for path in (folder / "library" / "archives").iterdir()]
    size = statistics.mean(sizes) / 1e6
    print(f"{len(sizes)} books of {size:.1f} MB encrypted, {arguments.pages} pages; {arguments.rounds} rounds")
    print(f"{'':<28} {'CPU s/book':>10} {'user':>10} {'wall s':>8} {'books/min':>10}   ratios: CPU, user, wall")
    for name, figures in costs.items():
        if figures:
            print(row(name, figures, costs["shell, gzip"], len(sizes)))
    if has_igzip:
        print(row("grin-pipeline : igzip shell", costs["grin-pipeline"], costs["shell, igzip"], len(sizes)))
    else:
        print("(install isal for the shell with igzip beside it)")


if __name__ == "__main__":
    main()
