"""The scenes whose power is cut: a row each, easily added to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import Halt, Redo, Reject, Retry
from common.stage import Book
from services.orchestrator.choosing import DROP, HOLD, RELEASE, RETRY, Command
from tests.board.powercut.line import BOOK, LAST, Line, Saying, Says
from tests.board.powercut.recorder import Recorder

Act = Callable[[Line, Recorder], Any]


@dataclass(frozen=True)
class Scene:
    """What happens, what the stages say, and where the book is in the end."""

    name: str
    act: Act
    ends: str = LAST
    says: Mapping[str, Saying] = field(default_factory=dict)
    told: tuple[Command, ...] = ()
    """What a person orders after the recovery, in the hope that it brings the book to its end."""
    repeats: bool = False
    """Whether a stage works on the book twice by intention."""

    def __str__(self) -> str:
        return self.name


def _retry(book: Book) -> None:
    if book.attempt == 1:
        raise Retry("The page is wet.", delay=0)


def _redo(book: Book) -> None:
    if not any(event["event"] == "redo" for event in book.events):
        raise Redo("The page is torn.")


def _reject(_book: Book) -> None:
    raise Reject("The book is empty.")


def _reject_once(book: Book) -> None:
    if not any(event["event"] == "retried" for event in book.events):
        raise Reject("The door is locked.")


def _halt(book: Book) -> None:
    if not any(event["event"] == "halted" for event in book.events):
        raise Halt("The door is locked.")


def _straight(line: Line, _: Recorder) -> None:
    line.seed()
    assert line.work("one", "two") == ["done", "done"]


def _deferred(line: Line, _: Recorder) -> None:
    line.seed()
    assert line.work("one", "two", "two") == ["done", "deferred", "done"]


def _sent_back(line: Line, _: Recorder) -> None:
    line.seed()
    assert line.work("one", "two", "one", "two") == ["done", "deferred", "done", "done"]


def _rejected(line: Line, _: Recorder) -> None:
    line.seed()
    assert line.work("one", "two") == ["done", "failed"]


def _halted(line: Line, _: Recorder) -> None:
    line.seed()
    assert line.work("one", "one", "two") == ["halted", "done", "done"]


def _handed_back(line: Line, _: Recorder) -> None:
    line.seed()
    stopping = line.attempt("one")
    stopping.book = stopping._book(stopping._read_token(), [])
    stopping._record("attempt")
    stopping.hand_back()
    assert line.work("one", "two") == ["done", "done"]


def _dies(call: str, at: str) -> Act:
    """A worker of the first stage dies before that call on a path with that in it; it is reaped, and others go on."""

    def act(line: Line, recorder: Recorder) -> None:
        line.seed()
        with recorder.dying(lambda name, path: name == call and at in path):
            line.work("one")
        assert line.reap() == 1
        line.work("one", "two")

    return act


def _seeder_dies(call: str, at: str) -> Act:
    """A seeder dies; the next seeding goes on."""

    def act(line: Line, recorder: Recorder) -> None:
        with recorder.dying(lambda name, path: name == call and at in path):
            line.seed()
        line.seed()
        assert line.work("one", "two") == ["done", "done"]

    return act


def _seeded_twice(line: Line, _: Recorder) -> None:
    """A second seeder, which saw no ledger file yet, is a moment later than the first."""
    late = line.seeder()
    late._is_known = lambda *_: False  # type: ignore[method-assign]
    assert line.seed() == [BOOK]
    assert late.seed_all([BOOK], line.buckets[0], str(line.books), "done") == []
    assert line.work("one", "two") == ["done", "done"]


def _tell(line: Line, recorder: Recorder, command: Command) -> None:
    line.tell(command)
    recorder.mark("told")


def _tried_again(line: Line, recorder: Recorder) -> None:
    _rejected(line, recorder)
    _tell(line, recorder, RETRY)
    assert line.work("two") == ["done"]


def _held(line: Line, recorder: Recorder) -> None:
    line.seed()
    _tell(line, recorder, HOLD)
    _tell(line, recorder, RELEASE)
    assert line.work("one", "two") == ["done", "done"]


def _held_at_work(line: Line, recorder: Recorder) -> None:
    line.seed()
    Says.sayings["one"] = lambda _book: _tell(line, recorder, HOLD)
    assert line.work("one") == ["lost"]
    del Says.sayings["one"]
    _tell(line, recorder, RELEASE)
    assert line.work("one", "two") == ["done", "done"]


def _dropped(line: Line, recorder: Recorder) -> None:
    line.seed()
    assert line.work("one") == ["done"]
    _tell(line, recorder, DROP)
    _tell(line, recorder, RELEASE)
    assert line.work("one", "two") == ["done", "done"]


SCENES = (
    Scene("straight", _straight),
    Scene("retry", _deferred, says={"two": _retry}),
    Scene("redo", _sent_back, says={"two": _redo}, repeats=True),
    Scene("reject", _rejected, "01_b/failed", {"two": _reject}),
    Scene("halt", _halted, says={"one": _halt}),
    Scene("hand back", _handed_back),
    Scene("killed at work, reaped", _dies("open", "/pages/1.txt")),
    Scene("killed before it publishes, reaped", _dies("replace", f"{BOOK}/one")),
    Scene("killed before it moves, reaped, adopted", _dies("rename", f"01_b/{BOOK}.json")),
    Scene("seeder killed before it registers", _seeder_dies("link", f"{BOOK}.jsonl")),
    Scene("seeder killed before it places", _seeder_dies("rename", f"00_b/{BOOK}.json")),
    Scene("seeded twice", _seeded_twice),
    Scene("reject, retry by a person", _tried_again, says={"two": _reject_once}, told=(RETRY,)),
    Scene("hold, release", _held, told=(RELEASE,)),
    Scene("hold while at work, release", _held_at_work, told=(RELEASE,)),
    Scene("drop, release", _dropped, told=(RELEASE,), repeats=True),
)
