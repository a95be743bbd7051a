"""What each command does when all is well, a row a command: what is typed, the exit code, what is then said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import warm
from tests.cli.boards import Town
from tests.e2e.test_auth import Place, address
from tests.helpers import Line, stop, until


@dataclass(frozen=True)
class Row:
    """A line that is typed on the town's board, and patterns of what it says, searched for."""

    typed: str
    out: str = "^$"
    err: str = "^$"
    code: int = 0
    text: str = ""
    books: tuple[tuple[str, str], ...] = field(default=())
    """Books that are put there first, each with its state."""


ROWS = {
    "status": Row("status", r"01_incoming +2 .*decryptor \(halted\)[\s\S]*1 done, \d+ on their way, 2 failed"),
    "ls": Row("ls 02_decrypted", r"02_decrypted +working +WORKING .*1 attempt +extractor-here-2-cd34"),
    "show": Row("show FAILED-1", r"FAILED-1 has failed in 01_incoming[\s\S]*registered[\s\S]*another passphrase"),
    "failed": Row("failed --by reason", r"2  gpg cannot open the archive[\s\S]*What to do: Put the right"),
    "shape": Row("shape", r"01_incoming +2 +2"),
    "workers": Row("workers", r"extractor +\S+ +\d+ +works +WORKING"),
    "report": Row("report --csv", r"^barcode,library,.*\r?\n\d+,TESTLIB,1,", "1 row"),
    "seed": Row("seed --from - --at 03_extracted", r"^2 seeded in 03_extracted, 0 were known", text="SEED-1\nSEED-2\n"),
    "retry": Row("retry RETRY", r"RETRY +01_incoming +failed → waiting\n1 book retried", books=(("RETRY", "failed"),)),
    "hold": Row("hold HOLD --why odd", r"waiting → held\n1 book held", books=(("HOLD", "waiting"),)),
    "release": Row("release RELEASE", r"held → waiting\n1 book released", books=(("RELEASE", "held"),)),
    "drop": Row(
        "drop --yes DROP -", r"2 books dropped", text="DROP-2\n", books=(("DROP", "waiting"), ("DROP-2", "held"))
    ),
    "pause": Row("pause modifier --dry-run", r"modifier would be paused"),
    "resume": Row("resume uploader --dry-run", r"uploader would go on"),
    "drain": Row("drain downloader --dry-run", r"downloader"),
    "auth status": Row("auth status", r"Kind:    a person's consent\n[\s\S]*Google gives one"),
    "auth probe": Row("auth probe", "GRIN knows the account and shows it the library TESTLIB"),
    "audit": Row("audit --no-grin", "^$", r"books of the ledger looked at; everything agrees"),
    "inventory refresh": Row("inventory refresh", r"^4 books .*there were 4 before. Kept in "),
    "inventory show": Row("inventory show", r"kept list +all books +4[\s\S]*converted +4"),
    "convert": Row("convert --dry-run", r"^GRIN's queue has room for [\d,]+ books[\s\S]* would be asked for"),
    "clean": Row("clean --dry-run", r"Nothing is left over|would be"),
    "doctor": Row("doctor --brief --offline", r"✓ file system[\s\S]*✓ stage uploader +It can start"),
    "completion": Row("completion bash", r"complete -o bashdefault -F _shtab_grin_pipeline grin-pipeline"),
    "export": Row("export --no-doctor --output {folder}/x.tar.gz", r"x.tar.gz: [\d,]+ bytes"),
}


def _init(folder: Path, _: Line, __: Town) -> None:
    typed = ["init", "--yes", "--library", "PRNC", "--done-bucket", str(folder / "books")]
    done = warm.run([*typed, "--config", str(folder / "c.yaml")], {"HOME": str(folder)}, cwd=folder)
    assert (done.returncode, "library: PRNC" in (folder / "c.yaml").read_text()) == (0, True), done.stderr


def _up(_: Path, small: Line, __: Town) -> None:
    assert small.drain("--barcode", "B1") == 0
    assert small.places("B1") == ["01_b"]
    assert "01_b" in small.log()


def _stage(_: Path, small: Line, __: Town) -> None:
    small.seed(["B1"])
    process = small.stage_process("hop")
    until(lambda: small.places("B1") == ["01_b"])
    assert stop(process) == 0


def _down(_: Path, small: Line, __: Town) -> None:
    running = small.up()
    until(lambda: small.root.is_dir() and len(small.workers()) == 1)
    until(lambda: small.ask("down", "--dry-run", "--json").stdout.count('"pid"') > 0)
    done = small.ask("down")
    assert (done.returncode, running.wait(20)) == (0, 0), done.stderr
    assert small.workers() == []


def _try(folder: Path, small: Line, _: Town) -> None:
    (folder / "B1").mkdir()
    done = small.ask("try", "hop", "--input", str(folder / "B1"), "--output", str(folder / "new"))
    assert done.returncode == 0, done.stderr
    assert "done: the book goes on to the next stage." in done.stdout
    assert [path.read_text() for path in (folder / "new").rglob("page")] == ["B1"]


def _login(_: Path, __: Line, town: Town) -> None:
    # The town's own simulated Google asks for a person's consent too.
    place = Place(town.folder / "login" / "here", town.grin.told)
    place.folder.mkdir(parents=True, exist_ok=True)
    (place.folder.parent / "client.json").write_bytes((town.grin.folder / "client.json").read_bytes())
    process = place.login()
    page = httpx.get(address(process), follow_redirects=True, timeout=20)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, page.status_code) == (0, 200), errors
    assert re.search("Signed in.*; kept in ", out)


# A whole run, which a test of its own has.
ELSEWHERE = {"demo": "tests/e2e/test_demo.py"}
# What is more than a line that is typed: each is given an empty folder, a fresh small line, and the town.
STORIES: dict[str, Callable[[Path, Line, Town], None]] = {
    "init": _init,
    "up": _up,
    "stage": _stage,
    "down": _down,
    "try": _try,
    "auth login": _login,
}
