"""What the documents say of the containers is what is there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose_file import ROOT, Project, mounts, secrets
from tests.deploy.rules import NETWORKS, PRODUCTION, STAGES

SERVICES = Project.read().services
PROFILES = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
PAGE = ROOT / "docs" / "how-to" / "containers.md"
PAGES = [ROOT / "README.md", ROOT / "secrets" / "README.md", *(ROOT / "docs").rglob("*.md")]
# A service of the reader's own, in the how-to's example.
_THEIRS = {"hop"}
_WITH_SERVICE = {"exec", "run", "logs", "cp", "scale", "up", "build", "restart"}
_FLAG_WITH_VALUE = {"-p", "--profile", "--tail", "--build-arg", "-T"}


def _commands(page: Path) -> Iterator[str]:
    for line in re.findall(r"docker compose [^`\n]*", page.read_text()):
        yield re.split(r" \| | >|\s{4,}|\)| && ", line)[0]


def _named(command: str) -> Iterator[str]:
    """The services that a command of Compose names: before the words that are for the container."""
    words = shlex.split(command.rstrip(".,;:"), comments=True)[2:]
    while words and (words[0].startswith("-")):
        words = words[2 if words[0] in _FLAG_WITH_VALUE else 1 :]
    verb, *rest = words or [""]
    if verb not in _WITH_SERVICE:
        return
    while rest:
        word, *rest = rest
        if word == "--scale" and rest:
            yield rest.pop(0).partition("=")[0]
        elif word in _FLAG_WITH_VALUE - {"-T"} and rest:
            rest.pop(0)
        elif not word.startswith("-"):
            yield re.split("[=:]", word)[0]
            if verb in {"exec", "run", "cp"}:
                return


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_name_services_and_profiles_that_exist(page: Path) -> None:
    """Whatever a page gives to `docker compose`, its services and profiles are in compose.yaml."""
    for command in _commands(page):
        # In capitals is what readers put a name of their own for.
        named = [name for name in _named(command) if not name.isupper()]
        assert set(named) <= {*SERVICES, *_THEIRS}, command
        assert set(re.findall(r"--profile[ =](\w+)", command)) <= PROFILES, command


def test_a_command_with_a_wrong_service_is_found() -> None:
    """The reader of commands sees services in every place where Compose takes them."""
    assert list(_named("docker compose --profile demo exec -T board grin-pipeline status")) == ["board"]
    assert list(_named("docker compose up -d --no-deps --scale decrypter=2 decrypted")) == ["decrypter", "decrypted"]
    assert list(_named("docker compose logs --follow --tail 20 downloader")) == ["downloader"]


def _rows() -> Iterator[tuple[str, str, str]]:
    table = PAGE.read_text().split("## What runs")[1].split("## ")[0]
    for row in re.findall(r"^\| (`.*) \|$", table, re.MULTILINE):
        cells = row.split(" | ")
        yield from ((name, cells[2], cells[3]) for name in re.findall(r"`([\w-]+)`", cells[0]))


def test_the_table_of_services_is_right() -> None:
    """Each service of production and monitoring is in the table, with its secrets and whether it has a way out."""
    rows = {name: (reaches, holds) for name, reaches, holds in _rows()}
    assert set(rows) == {*PRODUCTION, "operator", "prometheus", "grafana"}
    for name, (reaches, holds) in rows.items():
        assert set(re.findall(r"`(\w+)`", holds)) == set(secrets(SERVICES[name])), name
        if "internet" in reaches or reaches == "nothing":
            assert ("internet" in reaches) == ("outside" in NETWORKS[name]), name


@pytest.mark.parametrize("service", ["orchestrator", *STAGES])
def test_the_packages_of_each_image_are_told(service: str) -> None:
    """The table names, for each image, what its stage asks PyPI and Debian for beyond what all images hold."""
    folder = ROOT / "services" / service
    asked = [path.read_text().split() for path in (folder / "requirements.txt", folder / "apt.txt") if path.exists()]
    row = re.findall(rf"^\| `{service}` \|.*\| \d+ MB: (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(row[0].split(", ")) == sorted(name for names in asked for name in names)


def test_what_all_images_hold_is_told() -> None:
    """The page names every package that each image has from common/."""
    everywhere = re.findall(r"Every image also holds\s(.*?), and what", PAGE.read_text(), re.DOTALL)[0]
    assert re.split(r", | and |\n", everywhere) == (ROOT / "common" / "requirements.txt").read_text().split()


def test_every_secret_s_file_is_told() -> None:
    """secrets/README.md names a file of each folder, and who reads it as compose.yaml gives it to them."""
    page = (ROOT / "secrets" / "README.md").read_text()
    for folder in Project.read().whole["secrets"]:
        readers = {name for name, service in SERVICES.items() if folder in secrets(service)}
        rows = re.findall(rf"^\| `{folder}/.*\| (.*) \|$", page, re.MULTILINE)
        assert rows
        for row in rows:
            assert set(re.findall(r"(?:the )?(\w+)(?:,| alone|$)", row)) == readers


@pytest.mark.parametrize("place", [("docs/how-to/containers.md"), ("docs/how-to/air-gapped.md")])
def test_overrides_change_what_exists(place: str) -> None:
    """Each example of compose.override.yaml changes services of the file, or adds one that extends such a service."""
    blocks = re.findall(r"```yaml\n(services:.*?)```", (ROOT / place).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        for name, service in yaml.safe_load(block)["services"].items():
            based_on = service.get("extends", {"service": name})["service"]
            assert based_on in SERVICES
            assert all(is_read_only for _, _, is_read_only in mounts(service))


def test_the_volumes_of_the_demo_are_told() -> None:
    """Whoever ends the demo is told of every volume in which it keeps something."""
    kept = {source for source, _, is_read_only in mounts(SERVICES["simulator"]) if not is_read_only}
    assert kept == set(re.findall(r"`(demo[\w-]*)`", re.findall(r"volumes of its own \((.*?)\)", PAGE.read_text())[0]))


def test_the_base_in_the_documents_is_the_one_in_use() -> None:
    """The pages name the base as the Dockerfiles do, and the versions of others' images as compose.yaml does."""
    base = re.findall(r"^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
    for name in ("containers.md", "air-gapped.md"):
        text = (PAGE.parent / name).read_text()
        assert set(re.findall(r"python:\d[\w.-]+", text)) == {base}
        images = {service["image"].rpartition(":")[::2] for service in SERVICES.values()}
        for image, version in re.findall(r"((?:prom|grafana|chrislusf)/\w+):(v?[\d.]+\d)", text):
            assert (image, version) in images


def test_the_commands_of_the_air_gapped_are_those_of_the_stand_in() -> None:
    """Each step of the hand-made base that the page tells is one that continuous integration takes."""
    page, script = ((ROOT / name).read_text() for name in ("docs/how-to/air-gapped.md", ".ci/images"))
    block = next(text for text in re.findall(r"((?:    .*\n)+)", page) if "mmdebstrap" in text)
    steps = re.findall(r"--customize-hook='(.*?)'(?: |$)", block, re.MULTILINE)
    assert len(steps) == 2
    assert [step for step in [*steps, "--variant=minbase", "docker import"] if step not in script] == []
    assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0
