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


def test_metrics_of_containers_are_told_with_the_way_to_them() -> None:
    """A container's name means nothing outside; an address of this machine needs no words."""
    facts = {"orchestrators": [{"metrics": "http://127.0.0.1:8080/metrics"}], "stages": []}
    assert render.metrics(facts) == ["Metrics:", "  the board      http://127.0.0.1:8080/metrics"]
    facts["stages"] = [{"name": "one", "workers": [{"metrics": "http://3f2a:8000/metrics"}]}]
    assert "docker compose port orchestrator 8080" in render.metrics(facts)[-1]
    assert render.metrics({"orchestrators": [], "stages": []}) == []
