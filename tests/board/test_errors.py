"""An error at every single file-system call delays a book at most, burns nothing, and the line goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from common import attempt, durable
from common.ledger import attempts
from tests.board import weak
from tests.board.steps import NAMES, Small, memory, run
from tests.board.steps_faults import BROKEN, FULL, GONE, Fault
from tests.board.steps_hooks import each_place_once
from tests.board.steps_scenes import BY_NAME, SCENES, Scene, Weakness

# Without this each place in the code is made to fail in the first scene that comes by there.
EVERYTHING = bool(os.environ.get("BOARD_STEPS"))
# A claim that nobody works on would be a claim forever; "done" has the same steps.
ALIVE = [scene.name for scene in SCENES if scene.name != "due again"]
# These end their process, or are about one that has ended: others go on, a supervisor's reaper among them.
MORTAL = ("hand back", "time limit", "reap")


class Case:
    """One scene with one fault, in a folder of its own."""

    def __init__(self, scene: Scene, folder: Path, at: int, number: int, *, happens: bool) -> None:
        self.scene = scene
        self.line = scene.line(folder)
        self.complaints = folder.with_suffix(".failed")
        self.report = folder.with_suffix(".report")
        self.hook = Fault(at, scene.is_on, number, self.report, happens=happens)

    def wrongs(self, weakness: Weakness) -> list[str]:
        """What is wrong once the book has arrived."""
        assert run(lambda: self._act(weakness), self.complaints) == 0
        inode = self.line.remembered_inode()
        if not self.line.arrived() and self.scene.name in MORTAL:
            assert run(lambda: self.scene.go_on(self.line), self.complaints) == 0
        said = self.report.read_text().splitlines()
        faults = [] if said[1:] == [] else [f"a failed fsync was repeated: {said}"]
        return faults + self.line.wrongs(self.scene.ends, inode, self.scene.works + 1) + self._burnt(said[0])

    def _act(self, weakness: Weakness) -> None:
        """The scene; whoever meets the error outside a worker's loop is called again; then the workers go on."""

        def twice(line: Small) -> None:
            try:
                self.scene.act(line)
            except OSError:
                with suppress(FileNotFoundError):
                    self.scene.act(line)

        def all_of_it(line: Small) -> None:
            twice(line)
            (line.folder / "key").touch()
            line.to_the_end()

        self.scene.play(self.line, self.hook, weakness, all_of_it)

    def _burnt(self, where: str) -> list[str]:
        """Attempts that count although nothing was wrong with the book: an EIO in process() may be the book's."""
        allowed = self.scene.works - len(NAMES) + (where == "in process()" and self.hook.number == BROKEN)
        burnt = {name: _counted(self.line, name) - 1 for name in NAMES}
        return [f"attempts were burnt: {burnt}"] if sum(burnt.values()) > max(0, allowed) else []


def _counted(line: Small, stage: str) -> int:
    """How many attempts counted when the stage was done with the book."""
    lines = line.lines()
    ends = [n for n, event in enumerate(lines) if (event["event"], event.get("stage")) == ("done", stage)]
    return attempts(lines[: ends[-1]], stage) if ends else 1


def steps_to_fail(scene: Scene, folder: Path, calls: Sequence[str] = ()) -> list[tuple[int, str]]:
    """The steps of a scene by number: those of the given calls, or all; each place once."""
    if EVERYTHING:
        chosen = list(enumerate(scene.steps(folder)))
    else:
        own = each_place_once(scene.own_steps(folder))
        chosen = [one for one in own if first_met().get(one[1], scene.name) == scene.name] or own[-1:]
    return [(at, step) for at, step in chosen if not calls or step.split()[0] in calls]


@cache
def first_met() -> dict[str, str]:
    """Each place, with all the lines that led to it, and the first scene that comes by there."""
    found: dict[str, str] = {}
    for name in ALIVE:
        with memory() as folder:
            for _, step in each_place_once(BY_NAME[name].own_steps(folder)):
                found.setdefault(step, name)
    return found


def tried(
    name: str, number: int, calls: Sequence[str] = (), *, happens: bool = False, weakness: Weakness = nullcontext
) -> dict[str, list[str]]:
    """The scene with this error at each of its steps; what went wrong, by step."""
    scene = BY_NAME[name]
    with memory() as folder:
        steps = steps_to_fail(scene, folder, calls)
        results = {
            f"{step} ({at})": Case(scene, folder / str(at), at, number, happens=happens).wrongs(weakness)
            for at, step in steps
        }
    print(f"{name}: {len(results)} errors")
    return {step: wrongs for step, wrongs in results.items() if wrongs}


# Until the line that says "done" is the worker's own step too.
@pytest.mark.parametrize("name", ALIVE)
def test_an_input_output_error_at_every_step(name: str) -> None:
    """EIO at any step: the book arrives once, no attempt is burnt, no failed fsync repeated, nobody need help."""
    assert tried(name, BROKEN) == {}


@pytest.mark.parametrize("name", ALIVE)
def test_a_full_disk_at_every_write(name: str) -> None:
    """ENOSPC at any write, sync or new name: the same."""
    assert tried(name, FULL, ("write", "fsync", "mkdir", "link")) == {}


@pytest.mark.parametrize("number", [GONE, BROKEN])
@pytest.mark.parametrize("name", ALIVE)
def test_a_rename_that_happens_and_reports_failure(name: str, number: int) -> None:
    """A rename or link that is carried out and called failed, as network file systems do it: the same."""
    assert tried(name, number, ("rename", "replace", "link"), happens=True) == {}


@contextmanager
def no_halting() -> Iterator[None]:
    """An error in the worker's own steps is taken for the book's fault."""
    with mock.patch.object(attempt, "halting", nullcontext):
        yield


@contextmanager
def persistent_fsync() -> Iterator[None]:
    """A failed fsync is simply repeated, as so many programs do it."""

    def twice(path: Path) -> None:
        try:
            once(path)
        except OSError:
            once(path)

    once = durable.fsync_path
    with mock.patch.object(durable, "fsync_path", twice):
        yield


def test_without_the_halt_errors_burn_attempts() -> None:
    """Where an error of the disk is not told from one of the book, attempts are burnt: the same errors show it."""
    assert "attempts were burnt" in str(tried("done", BROKEN, ("mkdir", "link", "scandir"), weakness=no_halting))


def test_a_repeated_fsync_is_seen() -> None:
    """Where a failed fsync is repeated, the same errors show it."""
    assert "fsync was repeated" in str(tried("done", BROKEN, ("fsync",), weakness=persistent_fsync))


def test_a_rewritten_token_is_seen() -> None:
    """Where the token is rewritten in place of its claim, the same errors show another inode."""
    assert "was inode" in str(tried("done", BROKEN, ("rename",), weakness=weak.token_rewritten))
