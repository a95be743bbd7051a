"""Strangers in a bucket: whatever lies there, one worker sets it aside with a reason or leaves it; the rest flow."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.ledger import Ledger
from tests.board.fixtures import changed
from tests.board.fixtures.strangers import fuzz, outsiders, special
from tests.helpers import GRIN_PIPELINE, Line, until

HOP = """
from common.stage import Stage

class Hop(Stage):
    def process(self, book, work):
        pass
"""
FUZZED = int(os.environ.get("GRIN_FUZZ", "2000"))
# Reads a claimed token as anybody would at first: by its name, through links, waiting for whoever writes the FIFO.
NAIVE = """
from common import board
board.read = lambda held: held.path.read_bytes()
"""


@contextmanager
def one_worker(line: Line) -> Iterator[subprocess.Popen[str]]:
    """One worker of the stage, which must still be the same process at the end."""
    process = line.stage_process("hop")
    try:
        yield process
        assert process.poll() is None, line.log("stage.log")[-2000:]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make(folder: Path, **common: object) -> Line:
    """A line of one stage, with ten good books waiting."""
    line = Line(folder, HOP, **common).stage("hop", "Hop", 0)
    line.seed(f"GOOD{number}" for number in range(10))
    return line


def arrived(line: Line) -> int:
    """How many good books have come through."""
    return len(list(line.bucket(1).glob("GOOD*.json")))


def failed(line: Line) -> set[str]:
    """The names in failed/."""
    return {name.removesuffix(".json") for name in os.listdir(line.bucket(0) / "failed")}


def reasons(line: Line, barcodes: Iterator[str] | list[str]) -> dict[str, str]:
    """Why each of these failed, by its ledger; an empty text where it says nothing."""
    ledger = Ledger(line.root / "ledger")
    found = {barcode: [e for e in ledger.read(barcode) if e["event"] == "failed"] for barcode in barcodes}
    return {barcode: str(events[-1].get("reason", "")) if events else "" for barcode, events in found.items()}


@pytest.mark.slow
def test_fuzzed_tokens_are_set_aside(tmp_path: Path) -> None:
    """Thousands of broken tokens: one worker, the same to the end, fails each with a reason; the good arrive."""
    line = make(tmp_path)
    made = fuzz(line.bucket(0), FUZZED, seed=13)
    assert len(made) == FUZZED
    began = time.monotonic()
    with one_worker(line):
        until(lambda: len(os.listdir(line.bucket(0) / "failed")) >= FUZZED and arrived(line) == 10, 300)
    print(f"{FUZZED} strangers in {time.monotonic() - began:.1f} s")
    assert failed(line) == set(made)
    assert [barcode for barcode, reason in reasons(line, iter(made)).items() if len(reason) < 20] == []
    changed_bytes = [b for b, data in made.items() if (line.bucket(0) / "failed" / f"{b}.json").read_bytes() != data]
    assert changed_bytes == []


def test_what_is_no_file_is_set_aside_and_never_followed(tmp_path: Path) -> None:
    """Links, FIFOs, sockets, devices, folders, huge and sparse files fail with a reason; no link is followed."""
    line = make(tmp_path)
    canary = tmp_path / "canary.json"
    canary.write_text('{"barcode": "LINK"}')
    os.utime(canary, (1, 1))
    bad = special(line.bucket(0), canary)
    with one_worker(line):
        until(lambda: failed(line) >= set(bad) and arrived(line) == 10, 60)
    assert [barcode for barcode, reason in reasons(line, bad).items() if len(reason) < 20] == []
    assert (canary.read_text(), canary.stat().st_mtime) == ('{"barcode": "LINK"}', 1)
    assert arrived(line) == 10
    assert sorted(os.listdir(line.bucket(1))) == sorted([f"GOOD{n}.json" for n in range(10)] + list(SUBFOLDERS))


SUBFOLDERS = ("working", "deferred", "failed", "held")


def test_a_naive_read_is_noticed(tmp_path: Path) -> None:
    """Twin: with a read that follows links a link's target passes for a book, and a FIFO stops everything."""
    line = changed(make(tmp_path), NAIVE)
    (tmp_path / "canary.json").write_text('{"barcode": "LINK"}')
    (line.bucket(0) / "LINK.json").symlink_to(tmp_path / "canary.json")
    with one_worker(line):
        until(lambda: os.path.lexists(line.bucket(1) / "LINK.json") and arrived(line) == 10)
        os.mkfifo(line.bucket(0) / "FIFO.json")
        until(lambda: any((line.bucket(0) / "working").glob("FIFO~*")))
        line.seed(["BEHIND"])
        time.sleep(2)
        assert line.places("BEHIND") == ["00_b"]
        assert "FIFO" not in failed(line)


def test_names_outside_the_grammar_are_left_alone(tmp_path: Path) -> None:
    """Files whose names no token has stay where they are, byte for byte, in a bucket and in its folders."""
    line = make(tmp_path)
    folders = [line.bucket(0), *(line.bucket(0) / name for name in SUBFOLDERS)]
    left = {folder: outsiders(folder) for folder in folders}
    with one_worker(line):
        until(lambda: arrived(line) == 10)
        time.sleep(1)
    for folder, names in left.items():
        assert set(names) <= set(os.listdir(os.fsencode(folder)))
    assert failed(line) == {os.fsdecode(name).removesuffix(".json") for name in left[line.bucket(0) / "failed"]}


def test_a_token_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    """A token of a later version waits where it is, unchanged, and the log says why; one of no version is set aside."""
    line = make(tmp_path)
    newer = [(str(version), f'{{"version": {version}, "what": [1]}}') for version in ("2", "1.5", "1e30")]
    for number, version in enumerate(('"x"', "null", "[9]", "0", "true")):
        odd = line.bucket(0) / f"ODD{number}.json"
        odd.write_text(f'{{"version": {version}, "barcode": "ODD{number}"}}')
        os.utime(odd, (1000, 1000))
    for number, (_, text) in enumerate(newer):
        (line.bucket(0) / f"NEW{number}.json").write_text(text)
    with one_worker(line):
        until(lambda: all(f'"NEW{n}"' in line.log("stage.log") for n in range(len(newer))) and arrived(line) == 10)
        until(lambda: all(line.places(f"NEW{number}") == ["00_b"] for number in range(len(newer))))
        until(lambda: failed(line) == {f"ODD{number}" for number in range(5)})
    assert [(line.bucket(0) / f"NEW{n}.json").read_text() for n in range(len(newer))] == [text for _, text in newer]
    assert "is left alone" in line.log("stage.log")


def test_strangers_among_deferred_and_claimed_tokens(tmp_path: Path) -> None:
    """A FIFO, a link and a folder in deferred/, and in working/ under a dead worker's name, end in failed/ too."""
    line = make(tmp_path)
    claim, due = line.bucket(0) / "working", line.bucket(0) / "deferred"
    os.mkfifo(due / "D1.json")
    (due / "D2.json").symlink_to("/dev/zero")
    (due / "D3.json").mkdir()
    os.mkfifo(claim / "W1~dead-host-1-abc.1.json")
    (claim / "W2~dead-host-1-abc.2.json").symlink_to("/dev/zero")
    (claim / "W3~dead-host-1-abc.3.json").mkdir()
    with one_worker(line):
        until(lambda: failed(line) == {"D1", "D2", "D3", "W1", "W2", "W3"} and arrived(line) == 10)


def test_a_token_still_being_written(tmp_path: Path) -> None:
    """A torn token that is only just being written is left to its writer, whole a moment later it is a book."""
    line = make(tmp_path)
    target = line.bucket(0) / "YOUNG.json"
    with one_worker(line):
        until(lambda: arrived(line) == 10)
        target.write_text('{"barcode": ')
        time.sleep(0.5)
        whole = '{"barcode": "YOUNG"}'
        where = [target, *(line.bucket(0) / "working").glob("YOUNG~*")]
        place = next(path for path in where if path.exists())
        place.write_text(whole)
        until(lambda: line.places("YOUNG") == ["01_b"], 90)
    assert "failed" not in line.kinds("YOUNG")


def test_names_that_cannot_be_taken_or_read(tmp_path: Path) -> None:
    """Tokens that this user may not read fail with a reason; what it may not rename is passed over; the rest flow."""
    line = make(tmp_path)
    for number in range(5):
        path = line.bucket(0) / f"SECRET{number}.json"
        path.write_text(f'{{"barcode": "SECRET{number}"}}')
        path.chmod(0)
    folder = line.bucket(0) / "LOCKED.json"
    folder.mkdir(mode=0o555)
    process = _unprivileged(line)
    try:
        until(lambda: failed(line) == {f"SECRET{number}" for number in range(5)} and arrived(line) == 10)
        line.seed(["LATER"])
        until(lambda: line.places("LATER") == ["01_b"])
        assert process.poll() is None
        halts = [entry for entry in line.log("stage.log").splitlines() if '"halted": true' in entry]
        assert halts == []
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _unprivileged(line: Line) -> subprocess.Popen[str]:
    """The stage without root's right to pass over permissions."""
    command = [*GRIN_PIPELINE, "stage", "hop", "--config", str(line.config), "--metrics", "127.0.0.1:0"]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    with (line.folder / "stage.log").open("a") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, text=True, env=line.environ, start_new_session=True)


def test_a_hard_link_of_a_token(tmp_path: Path) -> None:
    """A token that is linked into the next bucket already is not claimed for ever, and comes to rest in one place."""
    line = make(tmp_path)
    line.seed(["TWIN"])
    (line.bucket(1) / "TWIN.json").hardlink_to(line.bucket(0) / "TWIN.json")
    with one_worker(line):
        until(lambda: arrived(line) == 10)
        until(lambda: line.places("TWIN") == ["01_b"])


def test_strangers_where_workers_are_announced(tmp_path: Path) -> None:
    """A FIFO, a link to endless zeros and a folder in workers/ stop neither the worker nor `status`."""
    line = make(tmp_path)
    os.mkfifo(line.root / "workers" / "fifo.json")
    (line.root / "workers" / "zero.json").symlink_to("/dev/zero")
    (line.root / "workers" / "folder.json").mkdir()
    with one_worker(line):
        until(lambda: arrived(line) == 10)
        command = [*GRIN_PIPELINE, "status", "--json", "--config", str(line.config)]
        asked = subprocess.run(command, env=line.environ, capture_output=True, timeout=60, check=False)
        assert asked.returncode == 0, asked.stderr


def test_strangers_in_the_place_of_a_ledger(tmp_path: Path) -> None:
    """A book whose ledger is a FIFO, a folder or a link fails, the log says why, and the others flow."""
    line = make(tmp_path)
    for barcode in ("L1", "L2", "L3"):
        (line.bucket(0) / f"{barcode}.json").write_text(f'{{"barcode": "{barcode}"}}')
        (line.root / "ledger" / barcode).mkdir()
    os.mkfifo(line.root / "ledger" / "L1" / "L1.jsonl")
    (line.root / "ledger" / "L2" / "L2.jsonl").mkdir()
    (line.root / "ledger" / "L3" / "L3.jsonl").symlink_to(tmp_path / "elsewhere")
    with one_worker(line):
        until(lambda: arrived(line) == 10)
        until(lambda: failed(line) == {"L1", "L2", "L3"})
    assert not (tmp_path / "elsewhere").exists()
    assert all(f"ledger/{b}/{b}.jsonl" in line.log("stage.log") for b in ("L1", "L2", "L3"))
