"""What all tests share: boards in tmp_path, and one loud line where no container engine answers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common import board
from common.ledger import Ledger
from tests.objects.server import s3_server  # noqa: F401 - any test may ask for it

# A run in the background ignores Ctrl-C, and so would every program that a test starts; some are to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A prepared board with two buckets, `01_in` and `02_out`."""
    folder = tmp_path / "pipeline"
    board.prepare(folder, [folder / "01_in", folder / "02_out"])
    return folder


@pytest.fixture
def ledger(root: Path) -> Ledger:
    """That board's ledger."""
    return Ledger(root / "ledger")


def engine_answers() -> bool:
    """Whether a container engine can be reached."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def engine() -> None:
    """For tests that need a container engine: skips without one, fails where REQUIRE_ENGINE is set."""
    if engine_answers():
        return
    if os.environ.get("REQUIRE_ENGINE"):
        pytest.fail("REQUIRE_ENGINE is set, but no container engine answers.")
    pytest.skip("NO CONTAINER ENGINE ANSWERS: the container tests did not run.")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No GRIN_PIPELINE_ variable of the person who runs the tests may reach them."""
    for name in [name for name in os.environ if name.startswith("GRIN_PIPELINE_")]:
        monkeypatch.delenv(name)
    yield


_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says a figure that a test has measured; all of them are listed at the end of the run."""
    return lambda text: request.config.stash.setdefault(_FIGURES, []).append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Lists the figures that the tests have measured."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)
