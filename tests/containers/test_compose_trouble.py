"""The demo in containers is struck in the middle of the work, part by part: it always comes to the same end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.containers.copies import Copy, assert_nothing_twice
from tests.containers.project import INPUT, ROOT, SERVICES, STAGES, WITHOUT_MONITORING, Project, docker

pytestmark = pytest.mark.slow
Figure = Callable[[str], None]


def home(project: Project, folder: Path) -> Copy:
    """Wait until all is home, and judge it."""
    project.until_home()
    copy = Copy(project, folder)
    assert_nothing_twice(copy)
    return copy


def kill_beside(project: Project, service: str) -> None:
    """`docker kill` of a service while the downloader has one book in hand, which it goes on with."""
    frozen = project.catch("downloader")
    project.order("grin-pipeline", "pause", "downloader")
    docker("kill", f"{project.name}-{service}-1")
    docker("unpause", frozen)


def test_every_container_is_killed_in_turn(project: Project, tmp_path: Path, figure: Figure) -> None:
    """`docker kill` of each, of a stage with a book in hand, then `up`: all come home, and nothing is done twice."""
    project.wipe()
    project.up("orchestrator")
    project.order("grin-pipeline", "pause")
    project.up(*WITHOUT_MONITORING)
    took = []
    for service in ("simulator", "orchestrator"):
        kill_beside(project, service)
        took.append(project.up(*WITHOUT_MONITORING))
    for stage in STAGES:
        # The stages after it wait, so that each has its books before it when it is struck.
        docker("kill", project.catch(stage))
        took.append(project.up(*WITHOUT_MONITORING))
    taken = home(project, tmp_path).taken_back()
    assert set(taken) == set(INPUT.values())
    figure(f"up after each docker kill: {min(took):.1f} to {max(took):.1f} s; claims taken back: {taken.total()}")


def test_what_prepares_is_killed(project: Project) -> None:
    """Where `prepare` is killed, `up` says that it has not ended well; the next `up` is as good as ever."""
    began = subprocess.Popen(
        [*project.demo.compose_command_property, "up", "--detach", *WITHOUT_MONITORING],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with began:
        name = f"{project.name}-prepare-1"
        project.until(lambda: docker("ps", "--quiet", "--filter", f"name={name}", check=False), 30, "Preparing")
        docker("kill", name)
        said = began.communicate(timeout=60)[0]
    assert began.returncode != 0
    assert "prepare" in said
    project.up(*WITHOUT_MONITORING)


def test_processes_killed_from_outside_come_back(project: Project, tmp_path: Path, figure: Figure) -> None:
    """kill -9 of every first process in the middle: the engine starts each again by itself, and all come home."""
    if os.geteuid() != 0:
        pytest.skip("ONLY ROOT MAY KILL A CONTAINER'S PROCESS: restarts by themselves were not tried.")
    project.afresh()
    project.until(lambda: project.at_work("decryptor"), 60, "A book in hand")
    before = {service: project.pid(service) for service in SERVICES}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    back = project.until(lambda: project.healthy(*SERVICES), 60, "All healthy again")
    assert not set(before.values()) & {project.pid(service) for service in SERVICES}
    taken = home(project, tmp_path).taken_back()
    figure(f"all seven killed, healthy again after {back:.1f} s; claims taken back: {taken.total()}")


def test_the_engine_is_killed(project: Project, tmp_path: Path, figure: Figure) -> None:
    """SIGKILL of the engine in the middle: all containers come back by themselves, and all books home."""
    if "ENGINE_PIDFILE" not in os.environ:
        pytest.skip("ENGINE_PIDFILE NAMES NO ENGINE THAT MAY BE KILLED: its end was not tried.")
    pidfile = Path(os.environ["ENGINE_PIDFILE"])
    project.afresh()
    project.until(lambda: project.at_work("decryptor"), 60, "A book in hand")
    os.kill(int(pidfile.read_text()), signal.SIGKILL)
    began = time.monotonic()
    subprocess.run([ROOT / ".ci" / "engine-start", str(pidfile), os.environ["ENGINE_LOG"]], check=True)
    answers = time.monotonic() - began
    back = project.until(lambda: project.healthy(*SERVICES), 120, "All healthy again")
    taken = home(project, tmp_path).taken_back()
    figure(f"engine back in {answers:.1f} s, all healthy {back:.1f} s later; claims taken back: {taken.total()}")
