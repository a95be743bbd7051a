"""`inventory`: the list of all books is kept whole or not at all, in little memory; and what is there to ask for.

INVENTORY_BOOKS=1000000 makes the simulated library as large as real ones; without it there are 5,000 books.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.orchestrator.cli import main
from tests.helpers import GRIN_PIPELINE, measured, until
from tests.scripted import Reply, ScriptedGrin

BOOKS = int(os.environ.get("INVENTORY_BOOKS", "5000"))
DATES = "2019/03/04 10:11\t2024/05/06 07:08\t2024/05/06 21:30\t2024/05/09 02:15\t2024/05/07 02:15\thttps://x.org/b"


class Place:
    """A folder with a configuration that leads to some GRIN, and the kept list in it."""

    def __init__(self, folder: Path, grin: dict[str, Any], **common: object) -> None:
        self.folder = folder
        self.kept = folder / "kept" / "all_books.tsv"
        self.board = folder / "pipeline"
        self.config = folder / "config.yaml"
        shared = {"library": "TESTLIB", "pipeline_dir": "pipeline", "all_books": "kept/all_books.tsv", **common}
        row = {"name": "n", "class": "Downloader", "input_pipe": "pipeline/00_in", "output_pipe": "pipeline/01_out"}
        whole = {"global": shared, "grin": {"requests_per_second": 1000, "tries": 1, **grin}, "filters": [row]}
        self.config.write_text(yaml.safe_dump(whole))

    def run(self, *command: str) -> int:
        """Run `inventory` here, in this process."""
        return main(["inventory", command[0], "--config", str(self.config), *command[1:]])

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Run `inventory` in a process of its own."""
        whole = [*GRIN_PIPELINE, "inventory", command[0], "--config", str(self.config), *command[1:]]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.Popen(whole, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def drafts(self) -> list[str]:
        """What lies beside the kept list."""
        return (
            [name for name in os.listdir(self.kept.parent) if name != self.kept.name]
            if self.kept.parent.is_dir()
            else []
        )


@pytest.fixture
def grin() -> Iterator[ScriptedGrin]:
    """A server that answers by script."""
    with ScriptedGrin() as server:
        yield server


@pytest.fixture
def place(grin: ScriptedGrin, tmp_path: Path) -> Place:
    """A folder before it."""
    return Place(tmp_path, scripted(grin, tmp_path))


def scripted(grin: ScriptedGrin, folder: Path) -> dict[str, Any]:
    """The settings that lead to a scripted server."""
    found = grin.settings(folder).grin
    return {"base_url": found.base_url, "token_uri": found.token_uri, "credentials_file": str(found.credentials_file)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The simulated GRIN of a whole library; the settings that lead there."""
    folder = tmp_path_factory.mktemp("library")
    credentials = folder / "credentials.json"
    command = [sys.executable, "-m", "simulator", "serve", "--folder", str(folder / "x"), "--books", "0"]
    command += ["--inventory", str(BOOKS), "--credentials-out", str(credentials), "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = json.loads(process.stdout.readline())
        yield {key: told[key] for key in ("base_url", "token_uri")} | {"credentials_file": str(credentials)}
        process.stdin.close()
        process.wait(20)


def rows(count: int, start: int = 0) -> Reply:
    """A list of so many books."""
    return Reply("".join(f"B{number:06}\t{DATES}\n" for number in range(start, start + count)).encode())


# --- a library like real ones ---


@pytest.mark.quirk("all-books-is-slow")
def test_a_whole_library_in_little_memory(
    library: dict[str, Any], tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """The real command keeps every row as GRIN sent it, and its memory does not grow with them."""
    place = Place(tmp_path, library)
    done, peak = measured([*GRIN_PIPELINE, "inventory", "refresh", "--config", str(place.config)])
    assert (done.returncode, place.drafts()) == (0, []), done.stderr
    assert f"{BOOKS:,} books" in done.stdout
    with place.kept.open() as kept:
        assert sum(1 for _ in kept) == BOOKS
    figure(f"{BOOKS:,} books, {place.kept.stat().st_size / 1e6:.0f} MB, peak {peak:.0f} MB of memory")
    assert peak < 100


def test_killed_in_the_middle(library: dict[str, Any], tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Whenever it is killed, the old file or the new one is there, whole; the next refresh sweeps."""
    place = Place(tmp_path, library)
    assert place.run("refresh") == 0
    whole = place.kept.read_bytes()
    old, middle = whole[: whole.rindex(b"\n", 0, -1) + 1], 0
    for _ in range(3):
        place.kept.write_bytes(old)
        process = place.start("refresh")
        until(lambda running=process: place.drafts() or running.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = place.kept.read_bytes()
        middle += len(place.drafts())
        # The simulated library lives on, so a new list is known by its length.
        assert found == old or (found.count(b"\n"), found[-1:]) == (BOOKS, b"\n")
    figure(f"{middle} drafts were left by 3 kills")
    assert place.run("refresh") == 0
    assert place.kept.read_bytes().count(b"\n") == BOOKS
    assert place.drafts() == []


@pytest.mark.quirk("html-lists")
def test_from_the_pages(library: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --html there are titles and states under a header, `show` counts the states, offline too."""
    if BOOKS > 100_000:
        pytest.skip("Pages of a whole library take minutes.")
    place = Place(tmp_path, library)
    assert place.run("refresh", "--html") == 0
    header, first = place.kept.read_text().splitlines()[:2]
    assert header.startswith("Barcode\tState\tTitle\tScanned Date")
    assert all(first.split("\t")[:3])
    capsys.readouterr()
    assert place.run("show", "--offline", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["grin"], facts["all_books"]["books"]) == (None, BOOKS)
    states = facts["all_books"]["states"]
    assert sum(states.values()) == BOOKS
    assert facts["available_not_converted"] == states["NEW"] + states["PREVIOUSLY_DOWNLOADED"]


# --- doubts ---


def test_killed_while_grin_is_silent(grin: ScriptedGrin, place: Place) -> None:
    """Half a list in a draft is never the list; a second refresh does not sweep a draft that is being written."""
    grin.at("_all_books", rows(10))
    assert place.run("refresh") == 0
    before, over = place.kept.read_bytes(), threading.Event()
    grin.at("_all_books", Reply(rows(500).body, promised=10**6, then_wait=over), rows(11))
    process = place.start("refresh")
    until(place.drafts)
    until(lambda: len(grin.asked("_all_books")) == 2)
    assert place.run("refresh") == 0
    assert len(place.drafts()) == 1
    assert len(place.kept.read_bytes().splitlines()) == 11
    process.send_signal(signal.SIGKILL)
    process.communicate()
    over.set()
    assert len(place.drafts()) == 1
    assert place.run("refresh") == 0
    assert place.drafts() == []
    assert place.kept.read_bytes() != before


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (rows(94), "94 books, and the kept one 100"),
        (Reply(b""), "is empty"),
        (Reply(rows(99).body + b"Internal error, sorry\n"), "as row 100, 'Internal error, sorry'"),
        (Reply(rows(100).body, promised=10**6), "broke in the middle"),
        (Reply(rows(100).body + b"B1\t20", framed=False), "breaks off in the middle of a line"),
        (Reply(status=503), "503"),
    ],
)
def test_on_any_doubt_the_old_list_stays(
    grin: ScriptedGrin, place: Place, capsys: pytest.CaptureFixture[str], answer: Reply, reason: str
) -> None:
    """A list that is cut, strange, or much shorter is not kept, and the command says why."""
    grin.at("_all_books", rows(100))
    assert place.run("refresh") == 0
    before = (place.kept.read_bytes(), place.kept.stat().st_ino)
    grin.at("_all_books", answer)
    assert place.run("refresh") == 3
    assert reason in capsys.readouterr().err
    assert (place.kept.read_bytes(), place.kept.stat().st_ino) == before
    assert place.drafts() == []


def test_a_shorter_list_by_force(grin: ScriptedGrin, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A few books less are nothing; many less are believed with --force."""
    for count, force in ((100, []), (95, []), (10, ["--force"])):
        grin.at("_all_books", rows(count))
        assert place.run("refresh", *force) == 0
        assert len(place.kept.read_bytes().splitlines()) == count
    assert "10 books" in capsys.readouterr().out


def test_a_link_stays_one(grin: ScriptedGrin, place: Place) -> None:
    """Where the kept file is a link, what it leads to is replaced."""
    place.kept.parent.mkdir()
    place.kept.symlink_to(place.folder / "elsewhere.tsv")
    grin.at("_all_books", rows(3))
    assert place.run("refresh") == 0
    assert place.kept.is_symlink()
    assert len((place.folder / "elsewhere.tsv").read_bytes().splitlines()) == 3


def test_a_full_disk(grin: ScriptedGrin, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without room nothing is asked; a disk that fills in the middle leaves the old list, and no draft."""
    lacking = Place(tmp_path, scripted(grin, tmp_path), min_free=10**18)
    assert lacking.run("refresh") == 3
    assert "Make room on the disk" in capsys.readouterr().err
    assert grin.asked("_all_books") == []
    place = Place(tmp_path, scripted(grin, tmp_path))
    grin.at("_all_books", rows(100))
    assert place.run("refresh") == 0
    grin.at("_all_books", rows(40_000))
    with file_limit(2_000_000):
        assert place.run("refresh") == 3
    assert "The list of all books cannot be written: File too large. The kept list stays" in capsys.readouterr().err
    assert len(place.kept.read_bytes().splitlines()) == 100
    assert place.drafts() == []


@contextlib.contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_file_is_named(grin: ScriptedGrin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the setting, or with a folder in it, the key is named, with code 2, and GRIN is not asked."""
    for value in (None, str(tmp_path)):
        assert Place(tmp_path, scripted(grin, tmp_path), all_books=value).run("refresh") == 2
        assert "global.all_books" in capsys.readouterr().err
    assert grin.seen == []


def test_a_grin_that_gives_no_text(grin: ScriptedGrin, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the pages are read, and it is said."""
    head = '<tr class="heading"><td><span class="hd3">Barcode</span></td><td><span class="hd3">Title</span></td></tr>'
    page = f"<html><table>{head}<tr><td>B1</td><td>A\tbook</td></tr></table></html>".encode()
    grin.at("_all_books", Reply(page, headers={"Content-Type": "text/html"}))
    assert place.run("refresh") == 0
    assert "its pages are read" in capsys.readouterr().err
    assert place.kept.read_text().splitlines()[1].split("\t")[:3] == ["B1", "", "A book"]


# --- what is there to ask for ---


@pytest.fixture
def five(grin: ScriptedGrin, place: Place) -> Place:
    """Five books are available: one is converted by now, one in process, one on the board, one refused, one is left."""
    grin.at("_available", Reply("\n".join(f"B{number}" for number in range(1, 6)).encode()))
    grin.at("_converted", Reply(b"TESTLIB_B1.tar.gz.gpg\nB9.tar.gz.gpg\n"))
    grin.at("_in_process", Reply(b"B2\n"))
    grin.at("_failed", Reply(b""))
    grin.at("_all_books", Reply(b"".join(b"B%d\n" % number for number in range(1, 10))))
    assert main(["seed", "--config", str(place.config), "--barcode", "B3"]) == 0
    (place.board / "grin").mkdir(exist_ok=True)
    line = {
        "time": "2026-01-02T03:04:05Z",
        "status": "refused",
        "text": "Not allowed to be downloaded",
        "barcodes": ["B4"],
    }
    (place.board / "grin" / "conversions.jsonl").write_text(json.dumps(line) + "\n")
    assert place.run("refresh") == 0
    return place


def listed(place: Place, capsys: pytest.CaptureFixture[str], *command: str) -> list[str]:
    """What `show` prints."""
    capsys.readouterr()
    assert place.run("show", *command) == 0
    return capsys.readouterr().out.splitlines()


def test_available_and_not_converted(five: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither what is converted, in process or refused counts, nor what the board knows."""
    assert listed(five, capsys, "--list", "available-not-converted") == ["B5"]
    assert listed(five, capsys, "--list", "available-not-converted", "--json") == ['{"barcode": "B5"}']
    facts = json.loads(listed(five, capsys, "--json")[0])
    assert facts["available_not_converted"] == 1
    assert facts["grin"] == {"available": 5, "in_process": 1, "converted": 2, "failed": 0}
    assert facts["board"] == {"known": 1, "done": 0, "held": 0}
    assert facts["all_books"]["books"] == 9
    assert facts["all_books"]["age_seconds"] < 60


def test_lists_by_name(five: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Each list is a barcode a line."""
    assert listed(five, capsys, "--list", "converted") == ["B1", "B9"]
    assert listed(five, capsys, "--list", "in_process") == ["B2"]
    assert listed(five, capsys, "--list", "failed") == []
    assert listed(five, capsys, "--list", "refused") == ["B4"]
    assert listed(five, capsys, "--list", "unknown", "--offline") == [f"B{n}" for n in (1, 2, 4, 5, 6, 7, 8, 9)]
    assert main(["hold", "--config", str(five.config), "B3"]) == 0
    assert listed(five, capsys, "--list", "held", "--offline") == ["B3"]


def test_offline(five: Place, grin: ScriptedGrin, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asked; what cannot be told is said, with the way to know it."""
    asked = len(grin.seen)
    text = "\n".join(listed(five, capsys, "--offline"))
    assert "`inventory refresh --html` keeps a list with states" in text
    for which, reason in (("available", "--offline forbids"), ("available-not-converted", "tells no states")):
        assert five.run("show", "--offline", "--list", which) == 2
        assert reason in capsys.readouterr().err
    assert len(grin.seen) == asked


@pytest.mark.quirk("list-filters")
def test_available_by_states(five: Place, grin: ScriptedGrin, capsys: pytest.CaptureFixture[str]) -> None:
    """With grin.available_from: states, the list of all books is asked for the states that may be converted."""
    whole = yaml.safe_load(five.config.read_text())
    whole["grin"]["available_from"] = "states"
    five.config.write_text(yaml.safe_dump(whole))
    by_state = {"NEW": b"B1\nB5\n", "PREVIOUSLY_DOWNLOADED": b"B3\nB6\n"}
    grin.at("_all_books", lambda seen: Reply(b"".join(by_state[state] for state in seen.query["book_state"])))
    assert listed(five, capsys, "--list", "available-not-converted") == ["B5", "B6"]
    facts = json.loads(listed(five, capsys, "--json")[0])
    assert (facts["available_not_converted"], facts["available_from"], facts["grin"]["available"]) == (2, "states", 5)


def test_for_a_person(five: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A table without colours in a pipe, and the answer in words."""
    text = "\n".join(listed(five, capsys))
    assert "\x1b" not in text
    assert "1 book is available and not converted" in text
    assert "The kept list is" in text


def test_a_list_that_breaks_off(five: Place, grin: ScriptedGrin, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of GRIN is code 3, and never an answer of none."""
    grin.at("_in_process", Reply(status=500))
    assert five.run("show", "--list", "available-not-converted") == 3
    said = capsys.readouterr()
    assert "500" in said.err
    assert "B5" not in said.out


def test_seeding_from_the_kept_list(five: Place, grin: ScriptedGrin, capsys: pytest.CaptureFixture[str]) -> None:
    """`seed --from all_books` takes the kept list where there is one, says so, and does not ask GRIN."""
    asked = len(grin.seen)
    assert main(["seed", "--config", str(five.config), "--from", "all_books", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "8 would be seeded" in said.out
    assert "kept list" in said.err
    assert len(grin.seen) == asked
