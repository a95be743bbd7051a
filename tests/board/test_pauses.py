"""A worker that sleeps through its reaping, at every single step, and wakes up late: it changes nothing and says so."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from common import ledger, workfiles
from common.errors import Redo
from common.stage import Book
from tests.board import weak
from tests.board.steps import BOOK, LAST, Says, Small, ended, fork, memory, run
from tests.board.steps_hooks import Pause, each_place_once
from tests.board.steps_scenes import BY_NAME, Scene, Weakness

# Without this each place in the code is a step once a scene, and verdicts other than "done" have one or two sequels.
EVERYTHING = bool(os.environ.get("BOARD_STEPS"))


def nothing_else(_line: Small) -> None:
    """The book waits again, and nobody has taken it yet."""


def two_stages_on(line: Small) -> None:
    """Others take the book through this stage and the next two."""
    line.to_the_end()


def another_holds_it(line: Small) -> None:
    """Another worker, of whichever stage has it now, has claimed the book (unless it failed) and has it in hand."""
    assert any(line.worker(name).feed.next(math.inf) for name in ("one", "two", "three")) or line.arrived()


def sent_back(line: Small) -> None:
    """Others find the book damaged at the next stage; the first stage has made it again."""

    def damaged(book: Book) -> None:
        raise Redo("The page is torn.", to="one")

    Says.sayings = {"three": damaged}
    line.turn("two", "three", "one")


Sequel = Callable[[Small], None]
MEANWHILE: dict[str, Sequel] = {
    "nothing else": nothing_else,
    "another holds it": another_holds_it,
    "two stages on": two_stages_on,
    "sent back": sent_back,
}


CASES = [("done", meanwhile) for meanwhile in MEANWHILE] + [("redo", "another holds it"), ("redo", "sent back")]
CASES += [(name, "two stages on") for name in ("retry", "reject", "halt")]
if EVERYTHING:
    CASES = [
        (name, meanwhile) for name in ("done", "redo", "retry", "reject", "halt", "adopt") for meanwhile in MEANWHILE
    ]

Folders = dict[str, list[object]]


class Late:
    """One worker that is stopped at a step, while others go on."""

    def __init__(self, scene: Scene, folder: Path, at: int, weakness: Weakness) -> None:
        self.scene = scene
        self.weakness = weakness
        self.line = scene.line(folder)
        self.complaints = folder.with_suffix(".failed")
        self.hook = Pause(at, scene.is_on)

    def wrongs(self, meanwhile: Sequel) -> list[str]:
        """What the late worker changed, or did not say, and what is wrong when the book has gone on to the end."""
        pid = fork(lambda: self.scene.play(self.line, self.hook, self.weakness), self.complaints)
        try:
            assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
            had_moved = "working" not in self.line.tokens()[0][0]
            tidied = self._folders() if had_moved else {}
            self._others(meanwhile)
            before = self._seen()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert ended(pid, self.complaints) == 0
        found = self._changes(before, self._allowed(before, tidied)) + self._warnings(pid, not had_moved)
        if not self.line.arrived():
            self._others(two_stages_on)
        return found + self.line.wrongs((LAST, *self.scene.ends), self.line.remembered_inode(), 99)

    def _others(self, sequel: Sequel) -> None:
        def act() -> None:
            Says.sayings = {}
            with self.weakness(), weak.no_fsync():
                self.line.prepare()
                self.line.reap_all()
                sequel(self.line)

        assert run(act, self.complaints) == 0

    def _seen(self) -> dict[str, Any]:
        with self.weakness():
            events = [event for event in self.line.ledger.read(BOOK) if not event.get("late")]
        return {"tokens": self.line.tokens(), "ledger": events, "folders": self._folders()}

    def _folders(self) -> Folders:
        """What is published: which folders, and their files."""
        folders = [path for path in (self.line.books / BOOK).glob("[!.]*") if path.is_dir()]
        return {path.name: [path.stat().st_ino, *sorted(file.name for file in path.iterdir())] for path in folders}

    def _allowed(self, before: dict[str, Any], tidied: Folders) -> set[str]:
        """Folders that may come or go: what a worker that passed the book on had read; and, while nobody else has
        taken the book up, what its recorded verdict leads to: a folder that is whole is adopted, a redo completed.
        """
        old, new = before["folders"], self._folders()
        gone = {name for name in tidied if old.get(name) == tidied[name] and name not in new}
        if "returned" not in before["ledger"][-1]["event"]:
            return gone
        whole = new.get("two", [])[1:] == ["one.txt", "two.txt"]
        redone = any(event["event"] == "redo" for event in before["ledger"])
        return gone | ({"two"} if whole else set()) | ({"one"} if redone else set())

    def _changes(self, before: dict[str, Any], allowed: set[str]) -> list[str]:
        after = self._seen()
        for name in allowed:
            before["folders"].pop(name, None)
            after["folders"].pop(name, None)
        return [f"{key}: {before[key]} became {after[key]}" for key in before if before[key] != after[key]]

    def _warnings(self, pid: int, expected: int) -> list[str]:
        mine = [line for line in self.line.said() if line["worker"] == str(pid) and line["level"] == "warning"]
        said = [line["message"] for line in mine if "taken" in line["message"]]
        # A book that waits again is where a halted worker wants it: it cannot tell who put it there.
        if len(said) == expected or (self.scene.name == "halt" and not said):
            return []
        return [f"said {len(said)} times, not {expected}: {said}"]


def tried(name: str, meanwhile: str, among: str = "", weakness: Weakness = nullcontext) -> dict[str, list[str]]:
    """The scene, stopped before each step past the claim, or those of one call; what went wrong, by step."""
    scene = BY_NAME[name]
    with memory() as folder:
        steps = list(enumerate(scene.steps(folder)))
        # With the claim's own look at its inode it begins to be this worker's.
        claimed = max((at for at, step in steps if step.startswith("lstat") and " claim " in step), default=-1)
        chosen = [(at, step) for at, step in steps[claimed + 1 :] if step.startswith(among)]
        if not EVERYTHING:
            chosen = each_place_once(chosen, 2)
        results = {
            f"{step} ({at})": Late(scene, folder / str(at), at, weakness).wrongs(MEANWHILE[meanwhile])
            for at, step in chosen
        }
    print(f"{name}, {meanwhile}: {len(results)} pauses")
    return {step: wrongs for step, wrongs in results.items() if wrongs}


@pytest.mark.parametrize(("name", "meanwhile"), CASES)
def test_a_late_worker(name: str, meanwhile: str) -> None:
    """Stopped before any step, reaped and woken up: board, ledger and published files stay as they are; one warning."""
    assert tried(name, meanwhile) == {}


@contextmanager
def no_identity() -> Iterator[None]:
    """A published folder is known by its name alone."""
    with mock.patch.object(workfiles, "_identity", lambda _path: (0, 0)):
        yield


@contextmanager
def no_lateness() -> Iterator[None]:
    """Whatever a worker writes into the ledger counts, whenever it does so."""
    with mock.patch.object(ledger, "_marked", lambda events: events):
        yield


@pytest.mark.parametrize(
    ("meanwhile", "among", "weakness", "harm"),
    [
        ("another holds it", "utime", weak.no_fence, "tokens:"),
        ("sent back", "replace", no_identity, "folders:"),
        ("two stages on", "write", no_lateness, "ledger:"),
    ],
)
def test_without_its_fence_a_late_worker_does_harm(meanwhile: str, among: str, weakness: Weakness, harm: str) -> None:
    """Without the claim's own name, the folders' identity or the ledger's lateness, the same pauses do harm."""
    wrongs = tried("done", meanwhile, among, weakness)
    assert any(sentence.startswith(harm) for sentences in wrongs.values() for sentence in sentences)
