"""A stage of one's own in Compose: what the how-to tells, word for word, in a clone in which the demo runs."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.containers.project import ROOT, free_ports

pytestmark = pytest.mark.slow
PAGE = "docs/how-to/add-a-stage.md"
DOCKER = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")


class Clone:
    """What Compose needs of a clone, in a folder of its own, with the page's one-machine part done in `~/my-line`."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "clone"
        shutil.copytree(ROOT / "simulator", self.folder / "simulator")
        shutil.copytree(ROOT / "secrets", self.folder / "secrets", ignore=shutil.ignore_patterns("*.json", "*.asc"))
        for name in ("compose.yaml", "config.yaml"):
            shutil.copy(ROOT / name, self.folder)
        (home / "my-line").mkdir()
        for name in ("their_module.py", "hop.diff"):
            (home / "my-line" / name).write_text(pages.file(PAGE, "compose", name))
        self.name = f"grin-hop-{os.getpid()}-{secrets.token_hex(2)}"
        port, grafana = free_ports(2)
        settings = {"COMPOSE_PROJECT_NAME": self.name, "GRIN_PIPELINE_PORT": port, "GRAFANA_PORT": grafana}
        settings |= {"COMPOSE_PROFILES": "demo", "DEMO_BOOKS": 2, "DEMO_POISONED": 0, "DEMO_PAGES": "4:5"}
        (self.folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def compose(self, *words: str) -> str:
        """What `docker compose` says."""
        done = subprocess.run(
            ["docker", "compose", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def order(self, *words: str) -> str:
        """What `grin-pipeline` says in the orchestrator's container."""
        return self.compose("exec", "-T", "orchestrator", "grin-pipeline", *words)

    def follow(self, group: str) -> None:
        """Do what the page says."""
        made = [block for block in pages.blocks(PAGE, group) if not (self.home / "my-line" / block.name).is_file()]
        done = pages.run(made, self.folder, HOME=str(self.home), DOCKER_CONFIG=DOCKER)
        assert done.returncode == 0, done.stdout + done.stderr

    def waiting(self, bucket: str) -> int:
        """How many books wait in a bucket."""
        buckets = json.loads(self.order("status", "--json"))["buckets"]
        return sum(one["waiting"] for one in buckets if one["name"] == bucket)

    def healthy(self) -> bool:
        """Whether the stage's container is."""
        found = [json.loads(line) for line in self.compose("ps", "--format", "json", "hop").splitlines()]
        return [one["Health"] for one in found] == ["healthy"]

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for it; when it does not come, the logs say why."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.compose("logs", "--no-color", "--tail", "20")
            time.sleep(0.3)


@pytest.fixture
def clone(images: None, tmp_path: Path) -> Iterator[Clone]:
    """The demo with two books, both of which wait before the uploader."""
    made = Clone(tmp_path)
    try:
        made.compose("up", "--detach", "--scale", "prometheus=0", "--scale", "grafana=0")
        made.order("pause", "uploader")
        made.until(lambda: made.waiting("04_modified") == 2)
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
        subprocess.run(["docker", "image", "rm", f"{made.name}-hop"], capture_output=True, check=False)


@pytest.mark.skipif(not shutil.which("patch"), reason="patch is not installed here")
def test_the_stage_of_the_how_to_as_a_service(clone: Clone, figure: Callable[[str], None]) -> None:
    """Put between two stages of a running board it is healthy, and both books that stood there get a note.

    So it is with an image of its own.
    """
    began = time.monotonic()
    clone.follow("compose")
    clone.until(clone.healthy)
    clone.until(lambda: clone.waiting("04_noted") == 2)
    clone.order("resume", "uploader")
    clone.until(lambda: clone.waiting("05_uploaded") == 2)
    notes = clone.compose("exec", "-T", "orchestrator", "sh", "-c", "cat /demo/done/*/note.txt").splitlines()
    assert sorted(notes) == [f"{barcode} was here" for barcode in sorted(note.split()[0] for note in notes)]
    assert len(notes) == 2
    clone.follow("image")
    clone.until(clone.healthy)
    assert clone.compose("ps", "--format", "{{.Image}}", "hop").strip() == f"{clone.name}-hop"
    figure(f"a stage of one's own into a running board: {time.monotonic() - began:.1f} s")
