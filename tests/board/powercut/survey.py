"""Cuts the power of a scene in every way, and counts what comes of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.board.powercut.disk import Disk, Key
from tests.board.powercut.line import Line, Says
from tests.board.powercut.oracle import Promise, faults_after, promises, raw_faults
from tests.board.powercut.recorder import Recorder
from tests.board.powercut.scenes import Scene
from tests.board.powercut.states import Plan, cuts

# Every disk is judged as it is; of so many one is also recovered. `make powercut` recovers all.
RECOVERED = 1 if os.environ.get("GRIN_SNAPSHOTS") else 3
Weakness = Callable[[], AbstractContextManager[None]]


@dataclass
class Survey:
    """A state is a disk together with what had been promised; `faults` has the unsafe ones, with where and why."""

    scene: Scene
    operations: int = 0
    cuts: int = 0
    disks: int = 0
    states: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.operations} operations, {self.cuts} cuts, {self.disks} disks, {self.states} states"
        return f"{self.scene}: {counts}, {self.states - len(self.faults)} safe, {len(self.faults)} unsafe"


def record(scene: Scene, folder: Path, weakness: Weakness = nullcontext) -> tuple[Line, Recorder]:
    """Play a scene on a new board, and record it."""
    folder.mkdir()
    line = Line(folder)
    line.prepare()
    Says.sayings = dict(scene.says)
    recorder = Recorder(folder)
    with recorder.recording(), weakness():
        scene.act(line, recorder)
    assert recorder.agrees(), "something was changed that the recorder did not see"
    return line, recorder


def survey(scene: Scene, folder: Path, weakness: Weakness = nullcontext, apart: int = 2) -> Survey:
    """Enumerate the states of a scene and judge each; `apart` bounds the weak ones (see states)."""
    judge = _Judge(scene, *record(scene, folder, weakness))
    log, base = judge.recorder.log, judge.recorder.base
    result, promised, met = Survey(scene, len(log)), promises(base, log), set[tuple[Plan, Promise]]()
    for cut in cuts(base, log):
        result.cuts += 1
        promise, after = promised[cut.point], str(log[cut.point - 1])[:160] if cut.point else "nothing"
        for plan in cut.plans(apart):
            if (plan, promise) not in met:
                met.add((plan, promise))
                faults = [fault for disk in cut.disks(plan) if (fault := judge.fault(disk, promise))]
                result.faults += [f"{scene}, cut {cut.point} after {after}: {fault}" for fault in faults]
    result.states, result.disks = len(judge.judged), len({key for key, _ in judge.judged})
    return result


def first_fault(scene: Scene, line: Line, recorder: Recorder) -> str:
    """What is wrong with the first unsafe state of a recording, as the power cut left it; nothing if all are safe."""
    promised = promises(recorder.base, recorder.log)
    for cut in cuts(recorder.base, recorder.log):
        for disk in (disk for plan in cut.plans(1) for disk in cut.disks(plan)):
            faults = raw_faults(disk, promised[cut.point], scene, line)
            if faults:
                return "; ".join(faults)
    return ""


class _Judge:
    """Judges each state once, and lets each disk, or every third, be recovered once."""

    def __init__(self, scene: Scene, line: Line, recorder: Recorder) -> None:
        self.scene, self.line, self.recorder = scene, line, recorder
        self.judged: set[tuple[Key, Promise]] = set()
        self._recovered: dict[Key, list[str]] = {}

    def fault(self, disk: Disk, promise: Promise) -> str:
        """What is wrong with a state, as a sentence; nothing when it is safe or was judged before."""
        key = disk.key()
        if (key, promise) in self.judged:
            return ""
        self.judged.add((key, promise))
        return "; ".join(raw_faults(disk, promise, self.scene, self.line) or self._after(key, disk))

    def _after(self, key: Key, disk: Disk) -> list[str]:
        if key not in self._recovered and len(self._recovered) % RECOVERED:
            self._recovered[key] = []
        elif key not in self._recovered:
            for path in self.line.folder.iterdir():
                shutil.rmtree(path)
            self._recovered[key] = faults_after(disk, self.scene, self.line)
        return self._recovered[key]
