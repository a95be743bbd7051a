"""Health of a container: the engine sees when its process no longer turns, and when it turns again."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.project import ROOT, docker

CONFIG = """
filters:
- {name: extractor, class: Extractor, input_pipe: pipeline/02_decrypted, output_pipe: pipeline/03_extracted}
"""


def facts(container: str) -> dict[str, object]:
    """The state of a container."""
    state: dict[str, object] = json.loads(docker("inspect", "--format", "{{json .State}}", container))
    return state


def until_health(container: str, wanted: str, seconds: float) -> float:
    """Wait for it; how long it took, in seconds."""
    began = time.monotonic()
    while (health := facts(container)["Health"]["Status"]) != wanted:  # type: ignore[index]
        assert time.monotonic() - began < seconds, f"{health} and not {wanted} after {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.fixture
def extractor(tmp_path: Path, images: object) -> Iterator[str]:
    """An extractor alone, asked for its health every second."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    os.chown(tmp_path, 10001, 10001)
    often = ["--health-interval=1s", "--health-timeout=1s", "--health-retries=2"]
    how = ["--read-only", "--cap-drop=ALL", "--network=none", "--tmpfs=/tmp", f"--volume={tmp_path}:/data", *often]
    container = docker("run", "--detach", *how, "grin-pipeline/extractor:latest")
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def test_a_process_that_stands_still_is_unhealthy(extractor: str) -> None:
    """SIGSTOP turns the container unhealthy, SIGCONT healthy again."""
    until_health(extractor, "healthy", 30)
    pid = int(str(facts(extractor)["Pid"]))
    os.kill(pid, signal.SIGSTOP)
    until_health(extractor, "unhealthy", 30)
    os.kill(pid, signal.SIGCONT)
    until_health(extractor, "healthy", 30)


def test_it_is_seen_within_a_minute() -> None:
    """The image's own rhythm, and the half minute after which a loop counts as hung, stay under 60 s together."""
    text = (ROOT / "Dockerfile").read_text()
    figures = {name: int(value) for name, value in re.findall(r"--(interval|timeout|retries)=(\d+)", text)}
    asked = (figures["interval"] + figures["timeout"]) * figures["retries"]
    assert asked < 60
    assert 30 + figures["interval"] * figures["retries"] < 60
