"""Poison: books that kill their worker in every way there is; each fails for a reason, and the others flow."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.board.fixtures import changed
from tests.helpers import Line, until

STAGES = """
import ctypes, signal, subprocess, sys
from pathlib import Path
from common.stage import Stage, Retry

def segfault(stage):
    ctypes.string_at(0)

def abort(stage):
    os.abort()

def loop(stage):
    while True:
        pass

def hung_child(stage):
    ignores = "trap '' TERM INT HUP; while :; do sleep 1; done"
    subprocess.run(["sh", "-c", ignores, stage.options["tag"]])

def exits(stage):
    os._exit(0)

def kills_group(stage):
    os.killpg(0, signal.SIGKILL)

def closes_all(stage):
    os.closerange(0, 4096)
    raise Retry("All descriptors are closed.")

def deaf(stage):
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)

def talks(stage):
    return {"story": "x" * 10_000_000}

def raises_much(stage):
    raise Retry("y" * 10_000_000, "z" * 10_000_000)

def unprintable(stage):
    raise type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})()

def eats(stage):
    if stage.options["cgroup"]:
        (Path(stage.options["cgroup"]) / "cgroup.procs").write_text(str(os.getpid()))
    held = []
    while len(held) < 2_000:
        held.append(b"m" * 1_000_000)
    raise Retry("It ate two gigabytes and lives.")

class Poison(Stage):
    def process(self, book, work):
        act = globals().get(book.barcode)
        return act(self) if act else None

class Hop(Stage):
    def process(self, book, work):
        pass
"""
DIED = "The worker died 2 times over this book"
LIMIT = "time limit"
# What each must say to a person, in the end.
WHY = {
    "segfault": DIED,
    "abort": DIED,
    "loop": LIMIT,
    "hung_child": LIMIT,
    "exits": DIED,
    "kills_group": DIED,
    "closes_all": "All descriptors are closed.",
    "deaf": LIMIT,
    "raises_much": "yyy",
    "unprintable": "Odd",
}
# Without attempt lines, only what raises is counted.
UNCOUNTED = """
from common.attempt import Attempt
record = Attempt._record
Attempt._record = lambda self, event, **members: event == "attempt" or record(self, event, **members)
"""


def make(folder: Path, cgroup: str = "", **row: object) -> Line:
    """A line whose first stage meets the poison, with two attempts each."""
    options = {"tag": f"tag-{secrets.token_hex(8)}", "cgroup": cgroup}
    quick = {"attempts": 2, "backoff": 0.05, "backoff_max": 0.1, "time_limit": 2, **row}
    return Line(folder, STAGES).stage("poison", "Poison", 0, options=options, **quick).stage("hop", "Hop", 1)


def why(line: Line, barcode: str) -> str:
    """The reason of a book's failure; that its last claim was taken back may be written just after it."""
    last = next(event for event in reversed(line.events(barcode)) if event["event"] == "failed")
    return str(last["reason"])


def alive_with(tag: str) -> list[int]:
    """Processes that have this word among their arguments, other than the line's own."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += [pid] if tag.encode() in argv else []
    return found


@pytest.mark.slow
def test_each_poison_fails_with_its_reason_and_the_others_flow(tmp_path: Path) -> None:
    """Crashes, loops, deaf, hung and talkative books: failed/ after two attempts, said why; good books arrive."""
    line = make(tmp_path, workers=3)
    line.seed([*WHY, "talks", *(f"GOOD{number}" for number in range(30))])
    assert line.drain(timeout=240) == 1, line.log()[-3000:]
    found = line.tokens()
    assert {barcode: found[barcode][0][0] for barcode in WHY} == dict.fromkeys(WHY, "00_b/failed")
    assert {barcode: line.kinds(barcode).count("attempt") for barcode in WHY} == dict.fromkeys(WHY, 2)
    assert {barcode: why(line, barcode)[:200] for barcode, text in WHY.items() if text not in why(line, barcode)} == {}
    assert [n for n in range(30) if line.places(f"GOOD{n}") != ["02_b"]] == []
    assert {len(places) for places in found.values()} == {1}
    assert alive_with(line.filters[0]["options"]["tag"]) == []
    assert [str(story) for story in (line.root / "ledger").glob("*/*") if story.stat().st_size > 500_000] == []
    assert (line.root / "logs" / "poison.jsonl").stat().st_size < 1_000_000


def test_uncounted_deaths_are_noticed(tmp_path: Path) -> None:
    """Twin: when only exceptions count as attempts, a book that kills its worker never fails."""
    line = changed(make(tmp_path), UNCOUNTED)
    line.seed(["exits"])
    up = line.up()
    try:
        until(lambda: line.kinds("exits").count("returned") > 3, 60)
        assert line.places("exits")[0] in ("00_b", "00_b/working")
        assert "failed" not in line.kinds("exits")
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group that kills what takes more than 64 MB; skips where none can be made."""
    root = Path("/sys/fs/cgroup")
    parent, limit = (root / "memory", "memory.limit_in_bytes") if (root / "memory").is_dir() else (root, "memory.max")
    folder = parent / f"grin-poison-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / limit).write_text("64M")
        if (folder / "memory.swap.max").exists():
            (folder / "memory.swap.max").write_text("0")
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        reason = f"NO CONTROL GROUP FOR MEMORY CAN BE MADE, so nothing ran out of it: {error}"
        (pytest.fail if os.environ.get("REQUIRE_ENGINE") else pytest.skip)(reason)
    yield folder
    until(lambda: not (folder / "cgroup.procs").read_text().strip())
    folder.rmdir()


def test_out_of_memory(tmp_path: Path, cgroup: Path) -> None:
    """A book that eats memory until the kernel kills its worker fails after its attempts, and the others flow."""
    line = make(tmp_path, cgroup=str(cgroup), time_limit=60)
    line.seed(["eats", "GOOD"])
    assert line.drain() == 1
    assert line.places("eats") == ["00_b/failed"]
    assert line.places("GOOD") == ["02_b"]
    assert DIED in why(line, "eats")
    assert line.kinds("eats").count("attempt") == 2
    assert "signal 9" in line.log()


def test_a_memory_limit(tmp_path: Path) -> None:
    """With memory_limit a book that eats memory fails after its attempts, told of the limit, and the others flow."""
    line = make(tmp_path, memory_limit="600MB", time_limit=60)
    line.seed(["eats", "GOOD"])
    assert line.drain() == 1
    assert line.places("GOOD") == ["02_b"]
    assert line.places("eats") == ["00_b/failed"]
    assert line.kinds("eats").count("attempt") == 2
    assert "memory" in why(line, "eats").lower()
    assert "memory_limit" in str(line.events("eats")[-1]["cure"])
