"""`doctor --brief`, as every pod begins with it: quick, several at once, stopped or killed anywhere, on a full disk."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from common import board
from common.config import Settings
from services.orchestrator import cli, doctor, probes
from services.orchestrator.findings import MUST, WARNING, Finding
from services.orchestrator.mounts import Mount
from services.orchestrator.render import PipeConsole
from tests.board.lying.crew import fork
from tests.unit.test_doctor import prepare, settings_at, tree

# Every so many-eth call is where it is stopped; DOCTOR_STEP=1 is all of them, and takes minutes.
STEP = int(os.environ.get("DOCTOR_STEP", "397"))
LONG = {"claims", "new names", "heartbeats", "other machines"}


def order(settings: Settings, *more: str) -> list[str]:
    """The command of a stage's pod."""
    return ["doctor", "--no-stages", "--brief", "--config", str(settings.path), *more]


def looked(settings: Settings) -> None:
    """The same in this process, without a word."""
    with Path(os.devnull).open("w") as nowhere:
        console = PipeConsole(file=nowhere)
        skip = doctor.before_start(settings, brief=True)
        code = doctor.run(settings, console, as_json=False, store=False, stages=False, skip=skip)
    assert code == 0


@pytest.fixture(params=["no board", "a board"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A configuration, and a place that is empty, or a board with books on it."""
    made = settings_at(tmp_path)
    if request.param == "a board":
        prepare(made)
        for number in range(300):
            board.path_of(made.bucket_paths()[0], f"B{number}", board.WAITING).touch()
    return made


def test_what_takes_long_is_left_out(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether there is a board or not, neither the race nor what waits for others is part of it; all else is."""
    before, began = tree(tmp_path), time.monotonic()
    assert cli.main(order(settings, "--json")) == 0
    assert time.monotonic() - began < probes.PATIENCE
    found = {one["name"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert not found & LONG
    assert {"file system", "one mount", "rights", "renames", "hard links", "letter case", "times", "fsync"} <= found
    assert tree(tmp_path) == before


def test_six_at_once(settings: Settings, tmp_path: Path) -> None:
    """Six pods that start together are each content, and nothing of any of them stays."""
    log = tmp_path / "log"
    log.touch()
    before = tree(tmp_path)
    running = [fork(lambda: looked(settings), log) for _ in range(6)]
    assert [os.waitpid(one, 0)[1] for one in running] == [0] * 6, log.read_text()
    assert tree(tmp_path) == before


def stopped_at(settings: Settings, call: int, number: int, log: Path) -> bool:
    """A doctor in a child of its own, told `number` at its so many-eth call of a function; whether it came to that."""

    def job() -> None:
        left = call

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal left
            left -= event == "call"
            if left == 0:
                left = -1
                os.kill(os.getpid(), number)

        sys.setprofile(count)
        looked(settings)

    status = os.waitpid(fork(job, log), 0)[1]
    return status != 0


def everywhere(stopped: Callable[[int], bool], step: int) -> Iterator[int]:
    """Every so many-eth call, until there is none."""
    call = 1
    while stopped(call):
        yield call
        call += step


def test_a_stopped_one_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    """Wherever SIGTERM finds it, between any two calls of functions, nothing of it stays."""
    log = tmp_path / "log"
    log.touch()
    before = tree(tmp_path)
    for call in everywhere(lambda at: stopped_at(settings, at, signal.SIGTERM, log), STEP):
        assert tree(tmp_path) == before, f"stopped at call {call}"
    assert call > 1000


def test_a_killed_one_is_cleared_up_after(settings: Settings, tmp_path: Path) -> None:
    """Whatever a killed one leaves goes with the first doctor an hour later, also when a board was made meanwhile."""
    log = tmp_path / "log"
    log.touch()
    for _ in everywhere(lambda at: stopped_at(settings, at, signal.SIGKILL, log), 2 * STEP):
        pass
    left = list(tmp_path.rglob(".doctor-????????????????"))
    assert left
    for folder in left:
        os.utime(folder, (time.time() - 3700,) * 2)
    prepare(settings)
    looked(settings)
    assert [name for name in tree(tmp_path) if "doctor" in name] == []


def test_it_refuses_a_volume_that_will_not_do(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of a kind that breaks what the board relies on ends with 3, however brief the doctor is."""
    monkeypatch.setattr(doctor, "mount_of", lambda _path: Mount(1, "/", "cifs", "//server/share", ()))
    assert cli.main(order(settings)) == 3


def test_little_space_stops_nobody_who_makes_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than min_free is a warning for whoever starts on a board, and a must for who asks or begins."""
    monkeypatch.setattr(doctor, "CLAIMS", 100)
    settings = settings_at(tmp_path, min_free="900 TB")
    assert cli.main(order(settings)) == 0
    assert "! space for books" in capsys.readouterr().out
    rest = ["doctor", "--no-stages", "--prepare", "--config", str(settings.path)]
    assert cli.main(rest) == 3
    prepare(settings)
    assert cli.main(rest) == 0


def test_a_probe_that_finds_the_disk_full(tmp_path: Path) -> None:
    """No space left, in whatever a probe did, is a warning, too; any other refusal stays what it is."""
    full = Finding("renames", MUST, "It was refused: [Errno 28] No space left on device.")
    broken = Finding("renames", MUST, "It was refused: [Errno 5] Input/output error.")
    found = list(doctor._whatever_space(one for one in (full, broken)))
    assert [one.level for one in found] == [WARNING, MUST]


def test_whose_the_volume_is(tmp_path: Path) -> None:
    """A volume of another user's is told with whose it is, who this is, and the two ways to give it."""
    settings = settings_at(tmp_path)
    found = doctor._somebody_elses(settings)
    mode = f"{tmp_path.stat().st_mode & 0o7777:o}"
    assert f"{tmp_path} belongs to user {os.geteuid()}, group {tmp_path.stat().st_gid}, mode {mode}" in found.sentence
    assert f"chown {os.geteuid()}:{os.getegid()} {tmp_path}" in found.cure
    assert "fsGroup" in found.cure
