"""Real workers, forked, on one board seen through several lying mounts; killed and replaced until told to stop."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common import run
from tests.helpers import Line


def fork(job: Callable[[], object], log: Path) -> int:
    """Run a job in a child of its own process group, its words in `log`; the child's id."""
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        # Not the streams of pytest, which lead elsewhere: what a dying worker says must be found in its log.
        sys.stdout = sys.stderr = os.fdopen(out, "w", buffering=1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        job()
        code = 0
    except BaseException:  # noqa: BLE001 - a child must never come back into the test
        traceback.print_exc()
        code = 1
    os._exit(code)


def work(config: Path, stage: str) -> None:
    """Be a worker of this stage."""
    sys.path.insert(0, str(config.parent))
    code = run.main(stage, ["--config", str(config), "--metrics", "127.0.0.1:0"])
    if code:
        raise SystemExit(code)


@dataclass
class Crew:
    """Posts are pairs of a stage and the configuration as that worker's mount shows it."""

    posts: list[tuple[str, Path]]
    log: Path
    dice: random.Random = field(default_factory=lambda: random.Random(11))
    kills: int = 0
    before_each: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self._manned: dict[int, tuple[str, Path]] = {}
        self.ended: list[str] = []

    def __enter__(self) -> Crew:
        self.man()
        return self

    def __exit__(self, *_: object) -> None:
        for child in list(self._manned):
            self._end(child)

    def man(self) -> None:
        """Fill every post that is empty."""
        for post in list(self.posts):
            if list(self._manned.values()).count(post) < self.posts.count(post):
                self._manned[fork(lambda post=post: self._begin(post), self.log)] = post

    def _begin(self, post: tuple[str, Path]) -> None:
        self.before_each()
        work(post[1], post[0])

    def kill_one(self) -> None:
        """SIGKILL to one worker, and another one in its place."""
        self._end(self.dice.choice(list(self._manned)))
        self.kills += 1
        self.man()

    def alive(self) -> int:
        """How many are at work; those that ended by themselves are not."""
        for child in list(self._manned):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                post = self._manned.pop(child)
                self.ended.append(f"{post[0]} of {post[1].parent.name}: {os.waitstatus_to_exitcode(status)}")
        return len(self._manned)

    def words(self) -> str:
        """What the workers said last."""
        return self.all_words()[-3000:]

    def all_words(self) -> str:
        """All that the workers have said."""
        return self.log.read_text() if self.log.exists() else ""

    def _end(self, child: int) -> None:
        post = self._manned.pop(child)
        assert post
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def all_arrive(line: Line, bucket: int, books: int, patience: float) -> bool:
    """Whether all tokens come to wait in a bucket, with never `patience` seconds in which none does."""
    seen, until = -1, 0.0
    while (now := arrived(line, bucket)) < books:
        if now != seen:
            seen, until = now, time.monotonic() + patience
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def arrived(line: Line, bucket: int) -> int:
    """How many tokens wait in a bucket, as the file server itself knows it."""
    return sum(name.endswith(".json") for name in os.listdir(line.bucket(bucket)))
