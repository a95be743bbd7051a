"""The images, built once, and one project of the demo that the tests of the whole share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

# Before anything of testcontainers is imported: no image for its own cleaning, and ports where Docker publishes them.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")

from tests.containers.project import ROOT, Project


@pytest.fixture(scope="session")
def images(engine: None) -> None:
    """Every image that compose.yaml runs, built as a person builds them; seconds when nothing has changed."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        if os.environ.get("REQUIRE_ENGINE"):
            pytest.fail("REQUIRE_ENGINE is set, but `docker compose` does not answer.")
        pytest.skip("THE ENGINE HAS NO COMPOSE: the container tests did not run.")
    command = ["docker", "compose", "--profile", "demo", "build", "--quiet"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"The images cannot be built:\n{built.stdout}{built.stderr}"


@pytest.fixture(scope="session")
def project(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The demo, not started yet; its books are made once, and come home as often as a test begins afresh."""
    with Project(tmp_path_factory.mktemp("project")) as made:
        yield made
