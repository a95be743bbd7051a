"""The how-to for two libraries: its commands run word for word on one machine, and Compose reads its settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import pages
from tests.pages import ROOT

PAGE = "docs/how-to/two-libraries.md"
LIBRARIES = ("PRNC", "HVD")


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """Both libraries' books come home at the same time, each in its own store and board, and no port is both's."""
    done = pages.run(pages.blocks(PAGE, "one"), tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    offered = {name: {path.stem for path in (tmp_path / name / "grin" / "books").iterdir()} for name in LIBRARIES}
    assert not offered["PRNC"] & offered["HVD"]
    for name in LIBRARIES:
        assert {home.name for home in (tmp_path / name / "done").iterdir()} == offered[name]
        assert {story.stem for story in (tmp_path / name / "pipeline" / "ledger").glob("*/*")} == offered[name]
    served = re.findall(r"http://127\.0\.0\.1:(\d+)/metrics", done.stdout)
    assert len(served) == len(set(served)) >= 12


def test_compose_keeps_the_projects_apart(tmp_path: Path) -> None:
    """With the settings of the page no port, volume, network, secret or configuration is the same; the images are."""
    try:
        prnc, hvd = (_composed(tmp_path, block) for block in pages.blocks(PAGE, "compose"))
    except FileNotFoundError:
        pytest.skip("docker is not installed here")
    assert (prnc["name"], hvd["name"]) == ("grin-prnc", "grin-hvd")
    assert not _ports(prnc) & _ports(hvd)
    for kind in ("volumes", "networks", "secrets"):
        assert not _names(prnc[kind]) & _names(hvd[kind])
    assert not _mounted(prnc) & _mounted(hvd)
    assert _images(prnc) == _images(hvd)


def _composed(folder: Path, block: pages.Block) -> dict:
    (folder / block.name).write_text(block.text)
    command = ["docker", "compose", "--env-file", str(folder / block.name), "--profile", "monitoring", "config"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "GRAFANA_"))}
    done = subprocess.run(
        [*command, "--format", "json"], cwd=ROOT, capture_output=True, text=True, check=False, env=environ
    )
    if done.returncode and "not a docker command" in done.stderr:
        pytest.skip("docker has no compose here")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _ports(project: dict) -> set[str]:
    return {port["published"] for service in project["services"].values() for port in service.get("ports", ())}


def _names(members: dict) -> set[str]:
    return {str(member.get("file") or member["name"]) for member in members.values()}


def _mounted(project: dict) -> set[str]:
    volumes = [volume for service in project["services"].values() for volume in service.get("volumes", ())]
    return {volume["source"] for volume in volumes if volume["target"].endswith("config.yaml")}


def _images(project: dict) -> set[str]:
    return {service["image"] for service in project["services"].values()}
