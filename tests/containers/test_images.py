"""Each image holds what its stage needs and no more, is small, and is built again in seconds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import common
from tests.containers.images import (
    ROOT,
    SERVICES,
    UID,
    Image,
    asked_of_debian,
    asked_of_pypi,
    base,
    common_packages,
    docker,
    image,
    name_of,
    needed_of_debian,
    needed_of_pypi,
)
from tests.containers.listing import PAGE, Row, rows_of, rows_told

# Over the base, in millions of bytes.
_MOST = 120
_SHARE = 0.15


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, images: object) -> str:
    """Each service in turn, its image built."""
    return str(request.param)


@pytest.fixture
def made(service: str) -> Image:
    """Its image."""
    return image(name_of(service))


def test_it_is_small(service: str, made: Image, figure: Callable[[str], None]) -> None:
    """No image is 120 MB larger than its base, and each stands on the layers that all share."""
    over = made.megabytes_over(base())
    figure(f"{over:.0f} MB and {len(made.layers) - len(base().layers)} layers over the base")
    assert 0 < over < _MOST
    assert made.layers[: len(base().layers)] == base().layers


def test_it_has_the_python_packages_of_its_stage_only(service: str, made: Image) -> None:
    """What is installed is what common/ and the stage ask for, with what that needs; no pip, nothing to build with."""
    assert made.packages() == needed_of_pypi(made, common_packages() | asked_of_pypi(service))
    assert made.inside["pip"] == []


def test_a_package_too_many_would_be_found(images: object) -> None:
    """The comparison can fail: if nobody asked for google-auth, it would be too much in the downloader."""
    downloader = image(name_of("downloader"))
    too_much = downloader.packages() - needed_of_pypi(downloader, common_packages() | {"httpx"})
    assert {"google-auth", "cryptography", "pyasn1"} <= too_much
    assert "anyio" not in too_much


def test_it_has_the_debian_packages_of_its_stage_only(service: str, made: Image) -> None:
    """What Debian adds to the base is apt.txt with what that depends on; where there is none, nothing."""
    added = made.debian() - base().debian()
    assert added == needed_of_debian(made, asked_of_debian(service)) - base().debian()
    assert bool(added) == bool(asked_of_debian(service))
    assert base().debian() <= made.debian()


def test_no_command_was_added(service: str, made: Image) -> None:
    """No shell tool, no compiler: only GnuPG, where a stage asks for it, has commands that the base has not."""
    added = set(made.inside["commands"]) - set(base().inside["commands"])
    assert all(re.match(r"gpg|pinentry|kbx|watchgnupg", name) for name in added), added
    assert bool(added) == bool(asked_of_debian(service))


def test_it_holds_the_code_of_its_service_only(service: str, made: Image) -> None:
    """Besides common/ there is one service; no other one, no simulator, no tests; and all is compiled."""
    assert made.inside["app"] == ["common", "services"]
    assert set(made.inside["services"]) - {"__pycache__"} == {"__init__.py", "__main__.py", service}
    assert made.inside["uncompiled"] == []


def test_its_user_can_change_nothing_of_it(made: Image) -> None:
    """It runs as a number, not as a name; no code belongs to that number, and no file lends the rights of another."""
    assert made.config["User"] == f"{UID}:{UID}"
    assert made.inside["writable"] == []
    assert made.inside["privileged"] == []


def test_it_starts_python_without_a_shell(service: str, made: Image) -> None:
    """The entrypoint is a list of words that ends in Python; STAGE names the service; a health check is there."""
    entrypoint = made.config["Entrypoint"]
    assert entrypoint[-4:] == ["python", "-P", "-m", "services"]
    assert not {"sh", "-c", "/bin/sh", "bash"} & set(entrypoint)
    assert not made.config.get("Cmd")
    assert f"STAGE={service}" in made.config["Env"]
    assert made.config["Healthcheck"]["Test"][0] == "CMD"


def test_its_labels_tell_what_it_is(service: str, made: Image) -> None:
    """Title, licence, version and revision are in the words of the Open Container Initiative; the version is ours."""
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in made.config["Labels"].items()
        if key.startswith("org.opencontainers.image.")
    }
    assert labels["title"] == f"GRIN Pipeline: {service}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == common.__version__
    assert re.fullmatch(r"unknown|[0-9a-f]{40}", labels["revision"])


def test_its_environment_names_no_secret(made: Image) -> None:
    """What is set in the image is where things are, and nothing else."""
    names = {line.partition("=")[0] for line in made.config["Env"]}
    ours = {"STAGE", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    assert names == ours | {line.partition("=")[0] for line in base().config["Env"]}


# --- the page ---


def test_the_page_tells_the_packages(service: str, images: object) -> None:
    """docs/reference/images.md names each package that an image has over its base, and its size within 15 %."""
    told, found = rows_told(PAGE.read_text())[service], rows_of([service])[0]
    assert (told.python, told.debian) == (found.python, found.debian), (
        "Print the table: python -m tests.containers.listing"
    )
    assert abs(told.megabytes - found.megabytes) <= _SHARE * found.megabytes


def test_the_page_has_each_image_once() -> None:
    """The table's rows are the services; and the reader of the table reads what the generator writes."""
    assert list(rows_told(PAGE.read_text())) == list(SERVICES)
    row = Row("decryptor", 22, ("gnupg",), ("gpg", "gpgconf"))
    assert rows_told(str(row)) == {"decryptor": row}


# --- building again ---


@pytest.fixture
def copied(tmp_path: Path, images: object) -> Iterator[tuple[Path, str]]:
    """A copy of what the images are made of, and a tag of its own; what is built under it is removed."""
    hidden = shutil.ignore_patterns("__pycache__")
    for name in ("common", "services", "simulator"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=hidden)
    for name in ("Dockerfile", ".dockerignore", "constraints.txt", "compose.yaml", "config.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    tag = f"again-{tmp_path.parent.name}-{time.time_ns()}".lower()
    yield tmp_path, tag
    docker("image", "rm", "--force", f"grin-pipeline/extractor:{tag}", check=False)


def _build(folder: Path, tag: str) -> tuple[list[str], float]:
    """Build the extractor as a person does: its layers, and the seconds that it took."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "GRIN_PIPELINE_TAG": tag}
    began = time.monotonic()
    command = ["docker", "compose", "build", "--quiet", "extractor"]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    seconds = time.monotonic() - began
    return json.loads(docker("image", "inspect", f"grin-pipeline/extractor:{tag}"))[0]["RootFS"]["Layers"], seconds


def test_a_change_of_code_rebuilds_in_seconds(copied: tuple[Path, str], figure: Callable[[str], None]) -> None:
    """After a change of a stage's code only the layer of the code is another; what pip and apt made is used again."""
    folder, tag = copied
    before, unchanged = _build(folder, tag)
    with (folder / "services" / "extractor" / "stage.py").open("a") as code:
        code.write(f"\n# {tag}\n")
    after, changed = _build(folder, tag)
    figure(f"the extractor's image: {unchanged:.1f} s unchanged, {changed:.1f} s after a change of its code")
    differing = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    # The last layer is the empty folder of WORKDIR, if there is one.
    assert differing and all(number >= len(before) - 2 for number in differing)
    assert changed < 20
