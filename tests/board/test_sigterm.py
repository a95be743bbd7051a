"""SIGTERM at every single step of a real worker: it claims nothing more and leaves its book finished or handed back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partialmethod
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from common import worker
from common.ledger import attempts
from common.worker import Worker
from tests.board.seam import seam
from tests.board.steps import BOOK, Says, Small, ended, fork, memory, unsynced
from tests.board.steps_hooks import ALL, Record, Steps, each_place_once
from tests.board.steps_scenes import Weakness

OTHER = "B2"
# Every step, instead of each place in the code once.
EVERYTHING = bool(os.environ.get("BOARD_STEPS"))


class Term(Steps):
    """SIGTERM before the step; with `hangs` the step then never ends, as on a file server that is gone."""

    def __init__(self, at: int, one: Worker, report: Path, *, hangs: bool) -> None:
        super().__init__(at, lambda: signal.getsignal(signal.SIGTERM) == one._on_signal)
        self.one = one
        self.report = report
        self.hangs = hangs
        self.sent = False

    def harm(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Be told to stop."""
        os.kill(os.getpid(), signal.SIGTERM)
        self.sent = True
        while self.hangs and self.one.current is not None:
            time.sleep(1)
        return call()

    def other(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Note what is claimed although the worker was told to stop."""
        if self.sent and name == "rename" and Path(args[1]).parent.name == "working":
            self.report.write_text("claimed")
        return call()


@contextmanager
def quick() -> Iterator[None]:
    """The same worker with a watchdog and a server that look more often."""
    serve = partialmethod(ThreadingHTTPServer.serve_forever, poll_interval=0.005)
    with mock.patch.object(worker, "_TICK", 0.005), mock.patch.object(ThreadingHTTPServer, "serve_forever", serve):
        yield


def work(line: Small, hook: Callable[[Worker], Steps], weakness: Weakness = nullcontext) -> None:
    """A worker of the first stage, with two books before it, until it is told to stop."""
    with unsynced():
        line.prepare()
        line.seed()
        line.seed(OTHER)
        one = line.worker("one")
    with ExitStack() as stack:
        for context in (quick(), weakness(), seam(hook(one), ALL)):
            stack.enter_context(context)
        one.run("127.0.0.1", 0)


def undisturbed(folder: Path) -> list[str]:
    """The steps of a worker that is told to stop when its first book has moved on."""

    def act() -> None:
        Says.afterwards = lambda: os.kill(os.getpid(), signal.SIGTERM)
        work(Small(folder / "line"), lambda one: Record(folder / "steps", Term(0, one, folder, hangs=False).is_on))

    assert ended(fork(act, folder / "failed"), folder / "failed") == 0
    steps = (folder / "steps").read_text().splitlines()
    return steps[: next(at for at, step in enumerate(steps) if "_on_signal" in step)]


def wrongs(folder: Path, at: int, weakness: Weakness, *, hangs: bool) -> list[str]:
    """What is wrong after a SIGTERM at that step."""
    line, report, complaints = (
        Small(folder, grace=0.0 if hangs else 60.0),
        folder.with_suffix(".report"),
        folder.with_suffix(".failed"),
    )
    pid = fork(lambda: work(line, lambda one: Term(at, one, report, hangs=hangs), weakness), complaints)
    assert ended(pid, complaints) == 0
    found = [f"{report.read_text()} after the signal"] if report.exists() else []
    found += [f"{path} was left" for path in (*line.root.glob("*/working/*"), *line.root.glob("workers/*.json"))]
    found += [sentence for barcode in (BOOK, OTHER) for sentence in _misplaced(line, barcode)]
    return found + ([] if len(line.worked()) <= 1 else ["two books were worked on"])


def _misplaced(line: Small, barcode: str) -> list[str]:
    places = [path.parent.name for path in line.root.glob(f"[0-9]*/{barcode}.json")]
    if len(places) != 1 or places[0] not in ("00_b", "01_b"):
        return [f"{barcode} is in {places}"]
    counted = attempts(line.ledger.read(barcode), "one")
    return [f"{barcode} has {counted} attempts against it"] if counted else []


def tried(*, hangs: bool, among: str = "", weakness: Weakness = nullcontext) -> dict[str, list[str]]:
    """A SIGTERM at each step, or at those of one call; what went wrong, by step."""
    with memory() as folder:
        steps = [(at, step) for at, step in enumerate(undisturbed(folder)) if step.startswith(among)]
        chosen = steps if EVERYTHING else each_place_once(steps, 2)
        results = {f"{step} ({at})": wrongs(folder / str(at), at, weakness, hangs=hangs) for at, step in chosen}
    print(f"{len(results)} signals")
    return {step: found for step, found in results.items() if found}


@pytest.mark.parametrize("hangs", [False, True], ids=["goes on", "hangs"])
def test_a_signal_at_every_step(hangs: bool) -> None:
    """Told to stop at any step, a worker ends with 0: nothing claimed after that, nothing held, no attempt counted."""
    assert tried(hangs=hangs) == {}


@contextmanager
def no_hand_back() -> Iterator[None]:
    """The watchdog lets a worker whose time is over just end."""
    with mock.patch.object(Worker, "_hand_back", lambda self: self.heartbeat.leave()):
        yield


def test_without_handing_back_something_is_left() -> None:
    """Where the book is not handed back, the same signals leave it claimed and its attempt counted."""
    found = str(tried(hangs=True, among="mkdir", weakness=no_hand_back))
    assert "was left" in found
    assert "attempts against it" in found or "is in []" in found
