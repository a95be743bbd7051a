"""The how-to for a modification of one's own: its commands run word for word."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import pages
from tests.pages import ROOT

PAGE = "docs/how-to/add-a-modification.md"


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """Written, named in the chain, tried on a book and tested: the note is in the package, the words are counted."""
    done = pages.run(pages.blocks(PAGE, "one"), tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "From the Rare Book Room.\n" in done.stdout
    assert "words.json" in done.stdout
    assert "1 passed" in done.stdout


def test_compose_gives_the_module_to_the_modifier(tmp_path: Path) -> None:
    """With the page's override the modifier, and nobody else, finds the module, and keeps what it had."""
    (tmp_path / "override.yaml").write_text(pages.file(PAGE, "compose", "compose.override.yaml"))
    files = ["-f", str(ROOT / "compose.yaml"), "-f", str(tmp_path / "override.yaml")]
    try:
        said = subprocess.run(
            ["docker", "compose", *files, "config", "--format", "json"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("docker is not installed here")
    if "not a docker command" in said.stderr:
        pytest.skip("docker has no compose here")
    services = json.loads(said.stdout)["services"]
    assert services["modifier"]["environment"]["PYTHONPATH"] == "/app:/modifications"
    mounted = {volume["target"] for volume in services["modifier"]["volumes"]}
    assert mounted == {volume["target"] for volume in services["extractor"]["volumes"]} | {"/modifications"}
    assert "PYTHONPATH" not in services["extractor"]["environment"]
