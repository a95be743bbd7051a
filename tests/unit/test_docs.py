"""The documents keep up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common import config, settings
from common.metrics import TABLE
from services.orchestrator.cli import _parser

ROOT = Path(__file__).parents[2]
SECTIONS = (
    settings.GlobalSettings,
    settings.GrinSettings,
    settings.SeedSettings,
    settings.BoardSettings,
    settings.FilterRow,
)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_documented(section: type[settings.Section]) -> None:
    """Each key of each section stands in the reference."""
    text = (ROOT / "docs" / "reference" / "config.md").read_text()
    keys = [name.rstrip("_") for name in section.model_fields]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_metric_is_documented() -> None:
    """Each metric stands in the reference, with its labels."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    assert [row.name for row in TABLE if f"`{row.name}`" not in text or row.help not in text] == []


def test_every_command_is_documented() -> None:
    """Each command of the parser stands in the reference."""
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    commands = next(action.choices for action in _parser()._actions if action.dest == "==SUPPRESS==" or action.choices)
    assert commands
    assert [name for name in commands if f"`{name}`" not in text] == []


def test_every_command_that_is_named_exists() -> None:
    """Whatever message or page says `grin-pipeline X`, X is a command; but for the namespace, after kubectl's `-n`."""
    commands = next(action.choices for action in _parser()._actions if action.choices)
    assert commands
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "common").rglob("*.py")]
    for page in [*pages, *(ROOT / "services").rglob("*.py")]:
        for named in re.findall(r"(?<![-\w/])(?<!-n )grin-pipeline ([a-z]+)", page.read_text()):
            assert named in [*commands, "stage"], f"{page.name}: {named}"


def test_links_lead_somewhere() -> None:
    """Every relative link in the documents is a file of the project."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_shipped_configuration_loads() -> None:
    """config.yaml loads as it stands, with every class."""
    assert [row.name for row in config.load(ROOT / "config.yaml").filters] == [
        "downloader",
        "decryptor",
        "extractor",
        "modifier",
        "uploader",
    ]


def test_the_stage_of_the_how_to_runs(tmp_path: Path) -> None:
    """The stage in the how-to, copied word for word, works on a book."""
    from tests.helpers import Line

    page = (ROOT / "docs" / "how-to" / "add-a-stage.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    line = Line(tmp_path, "").stage("hop", "Hop", 0)
    (tmp_path / "their_module.py").write_text(code)
    line.seed(["A1"])
    assert line.drain() == 0
    assert (tmp_path / "processing" / "A1" / "hop" / "note.txt").read_text() == "A1 was here\n"
