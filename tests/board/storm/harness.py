"""Boards for storms, and real workers and reapers forked from a parent that has everything loaded already.

A new worker is at work some milliseconds after its predecessor's death, so a thousand kills take a minute. Children end
with their parent: the kernel kills them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import yaml

from common import board, config, logs, process, run
from common.attempt import Attempt, Desk
from common.config import Settings
from common.feed import Feed
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.reaper import Reaper
from common.worker import Worker
from tests.board import weak

_DIE_WITH_PARENT = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
# What can be taken away from the board, by the name that the command line has for it.
WITHOUT: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "": nullcontext,
    "token_rewritten": weak.token_rewritten,
    "no_fence": weak.no_fence,
    "heartbeat": lambda: mock.patch.object(Worker, "_beat", lambda _worker: None),
}


def rows(classes: Iterable[str], **more: object) -> list[dict[str, object]]:
    """The configuration of a line of stages, named s0, s1 and so on; numbers in `more` hold for all of them."""
    return [
        {
            "name": f"s{number}",
            "class": f"tests.board.storm.stages:{name}",
            "input_pipe": f"pipeline/{number:02}_b",
            "output_pipe": f"pipeline/{number + 1:02}_b",
            "backoff": 0.05,
            "backoff_max": 0.2,
            "attempts": 50,
            **more,
        }
        for number, name in enumerate(classes)
    ]


def make_board(folder: Path, filters: list[dict[str, object]], **common: object) -> Settings:
    """Write a configuration, load it, and make the board's folders."""
    path = folder / "config.yaml"
    rhythm = {"heartbeat": 0.2, "reap_after": 1.0, "poll": 0.05, "grace": 20, "temp_dir": str(folder / "temp")}
    path.write_text(yaml.safe_dump({"global": rhythm | common, "filters": filters, "board": {"listen": "127.0.0.1:0"}}))
    settings = config.load(path)
    board.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
    for needed in (settings.global_.processing_bucket, settings.global_.temp_dir):
        needed.mkdir(exist_ok=True)
    return settings


def seed(settings: Settings, barcodes: Iterable[str]) -> dict[str, int]:
    """Seed without waiting for the disk, which no kill takes anything from; the inode of every token."""
    root, first = settings.global_.pipeline_dir, settings.bucket_paths()[0]
    seeder = board.Seeder(root, Ledger(root / "ledger"), "seeder")
    with weak.no_fsync():
        for barcode in barcodes:
            seeder.seed(barcode, first, "", "")
    return {entry.name.removesuffix(".json"): entry.inode() for entry in os.scandir(first) if entry.is_file()}


@contextmanager
def in_memory(instead: Path) -> Iterator[Path]:
    """A folder in memory where there is one: making very many files on a busy disk takes minutes, and says nothing."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield instead
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child; its exit code is 0 when it returns, and 1 when it raises."""
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    code = 1
    try:
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() == parent:
            work()
            code = 0
    except BaseException:  # noqa: BLE001 - nothing of the parent's may run on in the child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def make_desk(settings: Settings, stage: str, log: logging.Logger) -> Desk:
    """What the attempts of one worker share."""
    row, ledger = settings.row(stage), Ledger(settings.global_.pipeline_dir / "ledger")
    return Desk(settings, row, run.make_stage(settings, row), ledger, StageMetrics(stage), log, lambda: 0.0)


def work(settings: Settings, stage: str, worker: str, without: str = "") -> None:
    """What a stage's process does, from its configuration on: the real loop, until SIGTERM."""
    log = logs.setup(settings.global_.pipeline_dir / "logs", stage, worker, stdout=False)
    desk = make_desk(settings, stage, log)
    process.lead_a_group()
    with WITHOUT[without]():
        Worker(desk, worker, lambda: make_desk(settings, stage, log)).run("127.0.0.1", 0)


def work_here(settings: Settings, stage: str) -> int:
    """Work on all that waits before a stage, in this process; how many books there were."""
    desk, feed, count = make_desk(settings, stage, logs.quiet()), Feed(settings.row(stage).input_pipe, "here-1"), 0
    desk.stage.opened()
    while (held := feed.next(0)) is not None:
        Attempt(desk, held).run()
        count += 1
    desk.stage.close()
    return count


def reap(settings: Settings) -> None:
    """What reaps in `up`, alone: a real reaper over all buckets, until it is killed."""
    reap_after = settings.global_.reap_after
    reaper = Reaper(settings.global_.pipeline_dir, settings.bucket_paths(), reap_after)
    while True:
        reaper.turn()
        time.sleep(reap_after / 8)


def exit_code(pid: int, seconds: float = 60) -> int:
    """Wait for a child, and kill it when it takes longer than that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
