"""The scenes that are killed, failed and paused at each of their steps: a row each, easily added to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from common import board
from common.errors import Halt, Redo, Reject, Retry
from common.stage import Book
from tests.board.seam import Hook, seam
from tests.board.steps import BOOK, LAST, Saying, Says, Small, run, unsynced
from tests.board.steps_hooks import ALL, Record

Act = Callable[[Small], None]
FAILED = ("01_b/failed",)
Weakness = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Scene:
    """What happens before, what happens at the steps, what the stages say, and where the book is in the end."""

    name: str
    setup: Act
    act: Act
    ends: tuple[str, ...] = (LAST,)
    says: Mapping[str, Saying] = field(default_factory=dict)
    """Whenever a stage works; a scene may say more while it lasts."""
    row: Mapping[str, object] = field(default_factory=dict)
    works: int = 4
    """How often some stage works on the book, undisturbed."""
    verdict: bool = False
    """Only what follows a stage's saying is new: the steps before it are those of other scenes."""
    like: str = ""
    """Another scene that shares steps with this one."""

    def line(self, folder: Path) -> Small:
        """The line of this scene in that folder."""
        return Small(folder, **self.row)

    def begin(self, line: Small) -> None:
        """Prepare the board and all that has happened before."""
        Says.sayings = dict(self.says)
        with unsynced():
            line.prepare()
            self.setup(line)
        Says.spoken = False

    def play(self, line: Small, hook: Hook, weakness: Weakness = nullcontext, act: Act | None = None) -> None:
        """The scene (or more than it) in this process, each of its calls going through the hook."""
        self.begin(line)
        line.remember_inode()
        with weakness(), seam(hook, ALL):
            (act or self.act)(line)

    def is_on(self) -> bool:
        """Whether the steps that matter have begun."""
        return Says.spoken or not self.verdict

    def steps(self, folder: Path) -> list[str]:
        """Every step of the scene, undisturbed."""
        folder /= f"{self.name}, undisturbed"
        folder.mkdir()
        file = folder / "steps"
        assert run(lambda: self.play(self.line(folder / "line"), Record(file, self.is_on)), folder / "failed") == 0
        return file.read_text().splitlines()

    def own_steps(self, folder: Path) -> list[tuple[int, str]]:
        """The steps that this scene does not share with the one that it is like, by number."""
        shared = set(BY_NAME[self.like].steps(folder)) if self.like else set()
        return [(at, step) for at, step in enumerate(self.steps(folder)) if step not in shared]

    def go_on(self, line: Small) -> None:
        """What happens after a death: the dead one's claims come back, seeding is repeated, new workers work."""
        Says.sayings = dict(self.says)
        (line.folder / "key").touch()
        line.prepare()
        line.reap_all()
        line.seed()
        line.to_the_end()


def _nothing(_line: Small) -> None:
    return


def _turn(name: str) -> Act:
    return lambda line: line.turn(name)


def _seeded(line: Small) -> None:
    line.seed()
    line.worker("one")


def _at(name: str, *before: str) -> Act:
    """The book waits for that stage, whose worker is there."""

    def setup(line: Small) -> None:
        line.seed()
        line.turn(*before)
        line.worker(name)

    return setup


def _deferred(line: Small) -> None:
    _at("two", "one")(line)
    Says.sayings = {"two": _retry}
    line.turn("two")


def _claim(line: Small) -> None:
    two = line.worker("two")
    assert two.feed.next(two.heartbeat.server_now()) is not None


def _claimed_by_the_dead(line: Small) -> None:
    _at("two", "one")(line)
    assert line.worker("two").feed.next(0.0) is not None


def _published_by_the_dead(line: Small) -> None:
    """A worker died between publishing and moving; its claim is back."""
    _at("two", "one")(line)
    with mock.patch.object(board, "finish", lambda _held, _output: os._exit(0)):
        run(lambda: line.turn("two"), line.folder / "complaints")
    assert line.published().keys() == {"one/one.txt", "two/one.txt", "two/two.txt"}
    assert line.reap("two") == 1
    line.worker("two")


def _registered_only(line: Small) -> None:
    """A seeder died between registering and placing."""
    line.seed()
    (token,) = line.buckets[0].glob("*.json")
    name = line.lines()[0]["token"]
    token.rename(line.root / "seeding" / name)


def _strange(line: Small) -> None:
    _seeded(line)
    path = line.buckets[0] / f"{BOOK}.json"
    path.write_text(f'{{"barcode": "{BOOK}", "processing_bucket": 5}}')
    os.utime(path, (1e9, 1e9))


def _retry(book: Book) -> None:
    if book.attempt == 1:
        raise Retry("The page is wet.", delay=0)


def _wet(_book: Book) -> None:
    raise Retry("The page is wet.", delay=0)


def _redo(book: Book) -> None:
    if not any(event["event"] == "redo" for event in book.events):
        raise Redo("The page is torn.")


def _redo_both(book: Book) -> None:
    if not any(event["event"] == "redo" for event in book.events):
        raise Redo("The page is torn.", to="one")


def _reject(_book: Book) -> None:
    raise Reject("The book is empty.")


def _halt(book: Book) -> None:
    if not (book.folder.parent.parent / "key").exists():
        raise Halt("The door is locked.")


def _reap(line: Small) -> None:
    line.reap("two")


def _move(source: str, target: str) -> Act:
    """A person's move between two states of the bucket before stage two."""

    def act(line: Small) -> None:
        bucket = line.buckets[1]
        path = board.path_of(bucket, BOOK, source)
        board.relocate(BOOK, path, path.lstat().st_ino, board.path_of(bucket, BOOK, target))

    return act


def _held(line: Small) -> None:
    _at("two", "one")(line)
    _move(board.WAITING, board.HELD)(line)


def _told_to_go(line: Small) -> None:
    """The watchdog's order: the book goes back, then the process ends without any tidying."""

    def hand_back(_book: Book) -> None:
        two = line.worker("two")
        assert two.current is not None
        two._leave(two._hand_back, two.current, signal.SIGTERM)

    Says.sayings = {"two": hand_back}
    line.turn("two")


def _too_slow(line: Small) -> None:
    """The watchdog's verdict on a book that takes too long."""

    def overrun(_book: Book) -> None:
        two = line.worker("two")
        assert two.current is not None
        current = two.current
        two._leave(lambda: current.overrun(1.0), current, signal.SIGTERM)

    Says.sayings = {"two": overrun}
    line.turn("two")


def _seed(line: Small) -> None:
    line.seed()


def _seed_late(line: Small) -> None:
    """Another seeder registers the book between this one's look and its own registering."""
    with mock.patch.object(board.Seeder, "_is_known", lambda *_: False):
        line.seed()


def _leftover(line: Small) -> None:
    """A seeder died, two days ago, between writing a token and registering the book."""
    path = line.root / "seeding" / f"{BOOK}~seeder-gone.1.json"
    path.write_text("{}")
    os.utime(path, (1e9, 1e9))


def _silent(line: Small, worker: str, seconds: float) -> None:
    """A reaper has watched that worker keep silent for so long."""
    line.reaper.turn()
    (key,) = (key for key in line.reaper._silent if key.startswith(worker))
    line.reaper._silent[key] = (line.reaper._silent[key][0], seconds)


def _almost_reaped(line: Small) -> None:
    _claimed_by_the_dead(line)
    _silent(line, line.worker("two").name, line.reaper.reap_after)


def _almost_forgotten(line: Small) -> None:
    line.seed()
    (line.root / "workers" / "gone.json").write_text("{}")
    _silent(line, "gone", 20 * line.reaper.reap_after)


def _turn_of_the_reaper(line: Small) -> None:
    line.reaper.turn()


def _start(line: Small) -> None:
    line.worker("one").heartbeat.beat()
    line.turn("one")
    line.worker("one").heartbeat.leave()


SCENES = (
    Scene("seed", _nothing, _seed),
    Scene("seed completed", _registered_only, _seed),
    Scene("seed too late", _seed, _seed_late),
    Scene("seed after a leftover", _leftover, _seed),
    Scene("start and leave", _seed, _start, like="done"),
    Scene("done", _at("two", "one"), _turn("two")),
    Scene("retry", _at("two", "one"), _turn("two"), says={"two": _retry}, works=5, verdict=True),
    Scene("due again", _deferred, _claim, works=5),
    Scene("too often", _at("two", "one"), _turn("two"), FAILED, {"two": _wet}, {"attempts": 1}, works=2, verdict=True),
    Scene("redo", _at("two", "one"), _turn("two"), says={"two": _redo}, works=6, verdict=True),
    Scene("redo of two", _at("three", "one", "two"), _turn("three"), says={"three": _redo_both}, works=7, verdict=True),
    Scene("reject", _at("two", "one"), _turn("two"), FAILED, {"two": _reject}, works=2, verdict=True),
    Scene("halt", _at("two", "one"), _turn("two"), says={"two": _halt}, works=5, verdict=True),
    Scene("hand back", _at("two", "one"), _told_to_go, works=5, verdict=True),
    Scene("time limit", _at("two", "one"), _too_slow, works=5, verdict=True),
    Scene("adopt", _published_by_the_dead, _turn("two")),
    Scene("reap", _claimed_by_the_dead, _reap),
    Scene("reaped after silence", _almost_reaped, _turn_of_the_reaper),
    Scene("forgotten", _almost_forgotten, _turn_of_the_reaper),
    Scene("held by a person", _at("two", "one"), _move(board.WAITING, board.HELD), ("01_b/held", LAST)),
    Scene("released by a person", _held, _move(board.HELD, board.WAITING), ("01_b/held", LAST)),
    Scene("no token", _strange, _turn("one"), ("00_b/failed",), works=0),
)
BY_NAME = {scene.name: scene for scene in SCENES}
