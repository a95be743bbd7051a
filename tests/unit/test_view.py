"""What the board looks like to a person, beyond its counts."""

from __future__ import annotations

import os
from pathlib import Path

from common import board, config
from common.heartbeat import Heartbeat
from services.orchestrator import render
from services.orchestrator.view import View

CONFIG = "filters: [{name: one, class: x:Y, input_pipe: pipeline/00, output_pipe: pipeline/01}]\n"


def test_an_orchestrator_that_was_killed_is_not_shown(tmp_path: Path) -> None:
    """Only those with a fresh heartbeat are listed, and only their metrics."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    settings = config.load(tmp_path / "config.yaml", classes=None)
    board.prepare(settings.global_.pipeline_dir, settings.bucket_paths())
    for name in ("killed", "alive"):
        heartbeat = Heartbeat(settings.global_.pipeline_dir / "workers", name, stage="orchestrator")
        heartbeat.announce(metrics=f"http://{name}:8080/metrics")
    os.utime(settings.global_.pipeline_dir / "workers" / "killed.json", (1, 1))
    facts = View(settings).status()
    assert [one["worker"] for one in facts["orchestrators"]] == ["alive"]
    assert "killed" not in "".join(render.metrics(facts))
