"""A kill before and after every single file-system call: whatever dies, wherever, no book is lost, doubled or stuck."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from common import attempt, board, durable, heartbeat, ledger, reaper, workfiles
from tests.board import weak
from tests.board.seam import WRITES
from tests.board.steps import memory, run
from tests.board.steps_hooks import Kill
from tests.board.steps_scenes import BY_NAME, SCENES, Scene, Weakness

# A call that only looks leaves things as the call before it did, and "before" is as "after the one before": without
# this, each state that a kill can leave is made once.
EVERYTHING = bool(os.environ.get("BOARD_STEPS"))

CHANGES = {*WRITES, "hardlink_to"} - {"replace", "open"}
# Functions that change files in other tests: the uploader's last act, and what its supervisor sweeps.
ELSEWHERE = {"remove_book", "sweep"}


def killed_at(scene: Scene, folder: Path, at: int, *, after: bool, weakness: Weakness = nullcontext) -> list[str]:
    """The scene with a kill at one step, then the recovery; what is wrong in the end."""
    line, complaints = scene.line(folder), folder.with_suffix(".failed")
    hook = Kill(at, scene.is_on, after=after)
    assert run(lambda: scene.play(line, hook, weakness), complaints) == -9
    inode = line.remembered_inode()
    with weak.no_fsync():
        assert run(lambda: scene.go_on(line), complaints) == 0
    return line.wrongs(scene.ends, inode, scene.works + 1)


def moments(scene: Scene, folder: Path) -> list[tuple[int, str, bool]]:
    """At which steps to kill, and whether after them."""
    if EVERYTHING:
        return [(at, step, after) for at, step in enumerate(scene.steps(folder)) for after in (False, True)]
    steps = scene.own_steps(folder)
    return [(*steps[0], False), *((at, step, True) for at, step in steps if step.split()[0] in WRITES)]


def tried(scene: Scene, folder: Path, weakness: Weakness = nullcontext) -> dict[str, list[str]]:
    """The scene killed at each of its steps; what went wrong, by step."""
    results = {
        f"{scene.name}, {'after' if after else 'before'} {step} ({at})": killed_at(
            scene, folder / f"{at}-{after}", at, after=after, weakness=weakness
        )
        for at, step, after in moments(scene, folder)
    }
    print(f"{scene.name}: {len(results)} kills")
    return {moment: wrongs for moment, wrongs in results.items() if wrongs}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_kill_at_every_step(name: str) -> None:
    """After a kill at any step of the scene the book arrives once, its token untouched, with one repetition at most."""
    with memory() as folder:
        assert tried(BY_NAME[name], folder) == {}


def test_every_change_is_a_step(figure: Callable[[str], None]) -> None:
    """The scenes pass through every function of the board's modules that changes anything, at 40 places or more."""
    with memory() as folder:
        sites = sorted({step for scene in SCENES for step in scene.steps(folder)})
    places = {step.partition(" from ")[0] for step in sites}
    figure(f"{len(places)} call sites, reached in {len(sites)} ways")
    print("\n".join(sites))
    assert len(places) >= 40
    passed = set(re.findall(r"(\w+\.py):\d+ (\w+)", "\n".join(sites)))
    assert set(changing_functions()) - passed == set()


def changing_functions() -> Iterator[tuple[str, str]]:
    """The functions of the board's modules that call something that changes a file system."""
    for module in (attempt, board, durable, heartbeat, ledger, reaper, workfiles):
        path = Path(module.__file__ or "")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name not in ELSEWHERE and _changes(node):
                yield path.name, node.name


def _changes(function: ast.FunctionDef) -> bool:
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return not CHANGES.isdisjoint(call.attr for call in calls if isinstance(call, ast.Attribute))


def test_without_the_protection_kills_do_harm() -> None:
    """A token that is rewritten in place of its claim changes its inode: the same kills show it."""
    with memory() as folder:
        wrongs = tried(BY_NAME["done"], folder, weak.token_rewritten)
    assert any("was inode" in sentence for sentences in wrongs.values() for sentence in sentences)
