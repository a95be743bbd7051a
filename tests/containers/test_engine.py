"""What the container tests stand on."""

from __future__ import annotations

import subprocess

import pytest


@pytest.mark.usefixtures("engine")
def test_an_engine_answers() -> None:
    """A container engine answers with its version; where REQUIRE_ENGINE is set, there must be one."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
