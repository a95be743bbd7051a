"""Debian's Prometheus for the tests of what it is told; one loud line where it is not there."""

from __future__ import annotations

import os
import shutil

import pytest


def _needs(program: str) -> str:
    path = shutil.which(program)
    if path is not None:
        return path
    if os.environ.get("REQUIRE_ENGINE"):
        pytest.fail(f"REQUIRE_ENGINE is set, but there is no {program}: apt-get install prometheus")
    pytest.skip(f"NO {program.upper()}: rules and dashboards were not tried. apt-get install prometheus")


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool: skips without one, fails where REQUIRE_ENGINE is set."""
    return _needs("promtool")


@pytest.fixture(scope="session")
def prometheus_program() -> str:
    """The path of a Prometheus server: skips without one, fails where REQUIRE_ENGINE is set."""
    return _needs("prometheus")
