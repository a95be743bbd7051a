"""The operators' moves, killed at each step, raced, lied to: one token, and the same command again completes it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from common import board, listing
from common.ledger import attempts
from services.orchestrator import operate
from tests.board.seam import WRITES, seam
from tests.helpers import GRIN_PIPELINE
from tests.operators import Bench, bench

__all__ = ["bench"]


def test_the_line_comes_before_the_rename(bench: Bench) -> None:
    """A worker that claims a retried book at once reads that its attempts count anew."""
    bench.put("A1", "failed")
    for _ in range(3):
        bench.ledger.append("A1", "attempt", stage="one")
    seen = []

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if str(args[0]).endswith("failed/A1.json"):
            seen.append(attempts(bench.ledger.read("A1"), "one"))
        return call(*args, **kwargs)

    with seam(hook, ("rename",)):
        assert bench.run("retry", "A1") == 0
    assert seen == [0]


def child(act: Callable[[], object]) -> int:
    """Do something in a process of its own; its wait status."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            act()
        finally:
            os._exit(7)
    return os.waitpid(pid, 0)[1]


@contextmanager
def dying_at(step: int) -> Iterator[None]:
    """SIGKILL before the step-th call of the file system, whichever thread makes it."""
    left = [step]

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        return call(*args, **kwargs)

    with seam(hook, WRITES):
        yield


BEGINS = {"retry": "failed", "hold": "working", "release": "held", "drop": "failed"}
ENDS = {"retry": "00_b/waiting", "hold": "00_b/held", "release": "00_b/waiting", "drop": "dropped"}


def killed_everywhere(folder: Path, command: str) -> list[str]:
    """What is wrong with the board after the command was killed at each of its steps, and given again."""
    wrong, step, status = [], 0, int(signal.SIGKILL)
    while status == signal.SIGKILL:
        step += 1
        here = folder / str(step)
        here.mkdir()
        bench = Bench(here)
        bench.put("A1", BEGINS[command])
        files = bench.files("A1")

        def act(bench: Bench = bench, step: int = step) -> None:
            with dying_at(step):
                bench.run(command, "A1")

        status = child(act)
        killed = bench.places("A1")
        bench.run(command, "A1")
        repeated = bench.places("A1")
        if len(killed) != 1 or repeated != [ENDS[command]] or bench.inode("A1") != bench.inodes["A1"]:
            wrong.append(f"killed at step {step}: {killed}, repeated: {repeated}")
        if command == "drop" and files.exists():
            wrong.append(f"killed at step {step}: files are left")
    assert status >> 8 == 7
    assert step > 4, "the command makes more calls than that"
    return wrong


def copying(barcode: str, source: Path, inode: int, target: Path) -> None:
    """The weak twin of board.relocate: copies the token and removes the old one."""
    target.write_bytes(source.read_bytes())
    source.unlink()


def test_a_hold_that_copies_is_seen(tmp_path: Path) -> None:
    """The twin: a hold that copies and removes instead of renaming leaves two tokens or another inode, and is seen."""
    with mock.patch.object(board, "relocate", copying):
        wrong = killed_everywhere(tmp_path, "hold")
    assert any("'00_b/held', '00_b/working'" in one for one in wrong), wrong


# --- races ----------------------------------------------------------------------------------------------------------


@contextmanager
def before_the_rename(act: Callable[[], object], times: int = 1) -> Iterator[None]:
    """Somebody else is faster, so many times."""
    left = [times]

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if left[0] and str(args[0]).endswith(".json"):
            left[0] -= 1
            act()
        return call(*args, **kwargs)

    real = os.rename

    def unseen(path: Path, target: Path) -> None:
        real(path, target)

    with seam(hook, ("rename",)), mock.patch.object(Path, "rename", unseen):
        yield


def test_a_book_that_is_claimed_meanwhile_is_held_all_the_same(bench: Bench) -> None:
    """A hold that loses against a worker looks again and takes the book out of the worker's hands."""
    path = bench.put("A1")
    with before_the_rename(lambda: path.rename(bench.buckets[0] / "working" / "A1~w-1.1.json")):
        assert bench.run("hold", "A1") == 0
    assert bench.places("A1") == ["00_b/held"]
    assert [event.get("from") for event in bench.events("A1")[1:]] == ["waiting", "working"]


def test_a_retry_that_somebody_else_did(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """What announced a move that did not happen is followed by a line that says so; no fault, it goes on as asked."""
    path = bench.put("A1", "failed")
    with before_the_rename(lambda: path.rename(bench.buckets[0] / "working" / "A1~w-1.1.json")):
        assert bench.run("retry", "A1") == 0
    assert "A1: A worker of 00_b has it." in capsys.readouterr().err
    assert [event["event"] for event in bench.events("A1")[1:]] == ["retried", "unchanged"]
    assert bench.events("A1")[-1]["reason"] == "A worker of 00_b has it."


def test_a_book_that_leaves_the_chosen_bucket_is_left_alone(bench: Bench) -> None:
    """A filter chooses what is there: a book that went on to another bucket is told, and is no fault."""
    path = bench.put("A1")
    with before_the_rename(lambda: path.rename(bench.buckets[1] / "A1.json")):
        assert bench.run("hold", "--bucket", "00_b") == 0
    assert bench.places("A1") == ["01_b/waiting"]
    assert bench.events("A1")[-1]["event"] == "unchanged"


def test_a_book_that_never_stands_still(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """After a few tries a book that always moves on is left where it is, and said to be so."""
    here, there = bench.put("A1"), bench.buckets[1] / "A1.json"
    with before_the_rename(lambda: here.rename(there) if here.exists() else there.rename(here), times=50):
        assert bench.run("hold", "A1") == 1
    assert "A1: It moved on 5 times; try again." in capsys.readouterr().err
    assert bench.events("A1")[-1]["event"] == "unchanged"
    assert len(bench.places("A1")) == 1


def test_two_tokens_of_one_book(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A book whose token somebody copied is not moved, by name or by filter, until the copy is gone."""
    path = bench.put("A1")
    copy = board.path_of(bench.buckets[0], "A1", "held")
    copy.write_bytes(path.read_bytes())
    assert bench.run("hold", "A1") == 1
    assert bench.run("hold", "--all") == 1
    assert capsys.readouterr().err.count("somebody copied its token. Remove one.") == 2
    assert bench.places("A1") == ["00_b/waiting", "00_b/held"]
    copy.unlink()
    assert bench.run("hold", "A1") == 0


def test_one_token_under_two_names(bench: Bench) -> None:
    """A second name of one token (a hard link) is never taken for a move, and none of the names is removed."""
    path = bench.put("A1")
    os.link(path, board.path_of(bench.buckets[0], "A1", "held"))
    assert bench.run("hold", "--all") == 0
    assert bench.places("A1") == ["00_b/waiting", "00_b/held"]


def test_a_rename_that_lies(bench: Bench) -> None:
    """A rename that happened but reports failure counts as done."""
    bench.put("A1")

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        call(*args, **kwargs)
        raise FileNotFoundError(2, "it lies")

    with seam(hook, ("rename",)):
        assert bench.run("hold", "A1") == 0
    assert [event["event"] for event in bench.events("A1")] == ["registered", "held"]


def test_a_board_that_cannot_be_written(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A rename that fails is told with a sentence, and the command goes on; the token is where it was."""
    bench.put("A1")

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        raise OSError(5, "Input/output error", str(args[0]))

    with seam(hook, ("rename",)):
        assert bench.run("hold", "A1") == 1
    assert "Input/output error" in capsys.readouterr().err
    assert bench.places("A1") == ["00_b/waiting"]


def test_a_ledger_that_is_none_stops_only_its_own_book(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its line no book is moved; the others are."""
    for barcode in ("A1", "A2"):
        bench.put(barcode)
    bench.ledger.path("A1").unlink()
    os.mkfifo(bench.ledger.path("A1"))
    assert bench.run("hold", "A1", "A2") == 1
    assert "A1: Its ledger cannot be written" in capsys.readouterr().err
    assert (bench.places("A1"), bench.places("A2")) == (["00_b/waiting"], ["00_b/held"])


def test_a_full_disk_moves_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """When the lines cannot be written for lack of space the command ends with 3, and no token has moved."""
    for barcode in ("A1", "A2"):
        bench.put(barcode)

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        raise OSError(28, "No space left on device")

    with seam(hook, ("write",)):
        assert bench.run("hold", "--all") == 3
    assert "No space left on device" in capsys.readouterr().err
    assert (bench.places("A1"), bench.places("A2")) == (["00_b/waiting"], ["00_b/waiting"])


def synced(bench: Bench) -> set[str]:
    """The folders that a hold pushes to the disk."""
    folders = set()

    def hook(name: str, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        folders.add(str(Path(f"/proc/self/fd/{args[0]}").readlink()))
        return call(*args, **kwargs)

    with seam(hook, ("fsync",)):
        assert bench.run("hold", "A1") == 0
    return folders


def test_a_move_is_pushed_to_the_disk(bench: Bench) -> None:
    """Both folders of a move are synced before it is said to be done; the twin without syncing lacks them."""
    bench.put("A1")
    both = {str(bench.buckets[0]), str(bench.buckets[0] / "held")}
    assert both <= synced(bench)
    bench.run("release", "A1")
    with mock.patch.object(operate.Operation, "_sync", lambda _self: None):
        assert not both & synced(bench)


def test_a_reader_that_leaves_stops_nothing(bench: Bench) -> None:
    """`hold --all --json | head -1` holds all books."""
    for number in range(300):
        bench.put(f"A{number}")
    command = [*GRIN_PIPELINE, "hold", "--all", "--json", "--config", str(bench.line.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(120), process.stderr.read()) == (0, b"")
    assert listing.count(bench.buckets[0], "held") == 300
