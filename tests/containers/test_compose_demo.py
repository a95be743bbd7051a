"""The demo in containers: from nothing to the last book, scaled in the middle, stopped in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.containers.copies import Copy, assert_nothing_twice
from tests.containers.project import (
    BOOKS,
    LAST,
    MONITORING,
    POISONED,
    SERVICES,
    STAGES,
    WITHOUT_MONITORING,
    Project,
    docker,
)

pytestmark = pytest.mark.slow
# As compose.yaml has it, in seconds.
GRACE = 45


def scales(**how_many: int) -> list[str]:
    """The arguments that give services so many containers."""
    return [word for name, count in how_many.items() for word in ("--scale", f"{name}={count}")]


def test_the_demo_is_scaled_and_all_come_home(project: Project, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Four decryptors and two of all others join in the middle, and leave again: they share the books, none twice."""
    project.wipe()
    started = project.up()
    others = {stage: 2 for stage in STAGES if stage != "decryptor"}
    with project.paused("uploader"):
        with project.paused("decryptor"):
            # Whoever forgets the profile scales all the same.
            four = project.up(*scales(decryptor=4), profile=False)
            project.until(lambda: len(project.states("decryptor")) == 4, 10, "Four decryptors")
            project.until_healthy("decryptor")
        two = project.up(*scales(decryptor=4, **others))
        assert {stage: len(project.states(stage)) for stage in others} == others
    one = project.up(*scales(**dict.fromkeys(STAGES, 1)))
    project.until_home()
    figure(
        f"demo: up {started:.1f} s, four decryptors {four:.1f} s, two of all others {two:.1f} s, one again {one:.1f} s"
    )

    status = project.status()
    assert (status["done"], sum(bucket["failed"] for bucket in status["buckets"])) == (BOOKS - POISONED, POISONED)
    copy = Copy(project, tmp_path)
    assert not +assert_nothing_twice(copy)
    shares = copy.workers_of("decryptor")
    assert len(shares) == 4
    figure(f"books a decryptor: {sorted(shares.values())}")


def test_the_demo_is_healthy(project: Project) -> None:
    """Every service is running and healthy, the board's page and the monitoring too; what prepares has ended well."""
    project.up()
    project.until_healthy(*SERVICES, *MONITORING)
    prepared = project.states("prepare").values()
    assert [(state["Status"], state["ExitCode"]) for state in prepared] == [("exited", 0)]
    assert all(len(project.states(service)) == 1 for service in SERVICES)


def test_the_monitoring_is_killed(project: Project) -> None:
    """`docker kill` of what watches the demo is nothing to all others; the next `up` brings it back."""
    project.up()
    for service in MONITORING:
        docker("kill", f"{project.name}-{service}-1")
    assert project.healthy(*SERVICES)
    project.up()
    project.until_healthy(*MONITORING)


def test_stop_and_down_in_the_middle(project: Project, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """`stop` ends all with 0, within the grace, and leaves no claim; `up` goes on, also after `down` took all away."""
    project.afresh()
    project.until(lambda: project.at_work("decryptor"), 60, "A book in hand")
    stop = timed(project, "stop")
    assert stop < GRACE
    states = [(state["Status"], state["ExitCode"]) for state in project.states(*SERVICES).values()]
    assert states == [("exited", 0)] * len(SERVICES)
    assert_in_the_middle(Copy(project, tmp_path / "stopped"))

    project.up(*WITHOUT_MONITORING)
    project.until(lambda: project.at_work("decryptor"), 60, "A book in hand, once more")
    down = timed(project, "down")
    assert not project.containers()
    up = project.up(*WITHOUT_MONITORING)
    project.until_home()
    copy = Copy(project, tmp_path / "home")
    assert_nothing_twice(copy)
    assert not copy.taken_back()
    figure(f"in the middle of the work: stop {stop:.1f} s, down {down:.1f} s, up after it {up:.1f} s")


def timed(project: Project, *command: str) -> float:
    """Let compose do it; how long it took, in seconds."""
    began = time.monotonic()
    project.run(*command)
    return time.monotonic() - began


def assert_in_the_middle(copy: Copy) -> None:
    """No book is in anybody's hands, and not all are home."""
    assert not copy.claims()
    assert {place for places in copy.tokens().values() for place, _ in places} - {LAST}
