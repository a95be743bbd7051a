"""What is in an image: asked of the engine, and by one probe that runs in a container of it."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
STAGES = ("downloader", "decryptor", "extractor", "modifier", "uploader")
SERVICES = (*STAGES, "orchestrator")
BASE = re.findall(r"^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
UID = 10001

# Runs as root, so that nothing is hidden from it; `packages` are those of the venv, wherever the probe's Python is.
_PROBE = r"""
import importlib.metadata, importlib.util, json, os, platform, stat, subprocess
def walk(top):
    for folder, names, files in os.walk(top):
        names[:] = [n for n in names if os.path.join(folder, n) not in ("/proc", "/sys", "/dev")]
        yield from (os.path.join(folder, n) for n in (*names, *files))
def privileged():
    for path in walk("/"):
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and mode & 0o6000:
            yield path
def writable(top):
    for path in walk(top):
        is_theirs = os.lstat(path).st_uid == 10001 or os.lstat(path).st_gid == 10001
        if is_theirs or os.lstat(path).st_mode & 0o002 and not os.path.islink(path):
            yield path
sites = ["/opt/venv/lib/python%d.%d/site-packages" % os.sys.version_info[:2]]
form = "${Package}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
print(json.dumps({
    "packages": {d.metadata["Name"]: d.requires or [] for d in importlib.metadata.distributions(path=sites)},
    "debian": [line.split("\t") for line in listed.splitlines()],
    "privileged": sorted(privileged()),
    "writable": sorted([*writable("/app"), *writable("/opt")]),
    "commands": sorted({name for path in os.get_exec_path() if path.startswith("/usr") for name in os.listdir(path)}),
    "app": sorted(os.listdir("/app")) if os.path.isdir("/app") else [],
    "services": sorted(os.listdir("/app/services")) if os.path.isdir("/app/services") else [],
    "uncompiled": sorted(
        path for top in ("/app", "/opt/venv/lib") for path in walk(top)
        if path.endswith(".py") and not os.path.exists(importlib.util.cache_from_source(path))
    ),
    "pip": [path for path in walk("/opt/venv") if os.path.basename(path) in ("pip", "pip3", "setuptools", "wheel")],
    "python": platform.python_version(),
}))
"""


def docker(*arguments: str, check: bool = True) -> str:
    """What the engine's command says on standard output; when it fails, the test does."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def name_of(service: str) -> str:
    """The image of a service, as compose.yaml calls it where nobody has said otherwise."""
    return f"grin-pipeline/{service}:latest"


@dataclass(frozen=True)
class Image:
    """An image: what the engine knows (`facts`), and what the probe has found in it (`inside`)."""

    name: str
    facts: dict[str, Any]
    inside: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """User, environment, entrypoint, labels, health check."""
        return dict(self.facts["Config"])

    @property
    def layers(self) -> list[str]:
        """Its layers by their digests, the lowest first."""
        return list(self.facts["RootFS"]["Layers"])

    def megabytes_over(self, base: Image) -> float:
        """How much more it holds than its base, in millions of bytes."""
        return float(self.facts["Size"] - base.facts["Size"]) / 1e6

    def packages(self) -> set[str]:
        """The Python distributions of its venv."""
        return {canonicalize_name(name) for name in self.inside["packages"]}

    def debian(self) -> set[str]:
        """The names of its Debian packages."""
        return {row[0] for row in self.inside["debian"]}


@functools.cache
def image(name: str) -> Image:
    """Look at an image, once."""
    facts = json.loads(docker("image", "inspect", name))[0]
    inside = json.loads(docker("run", "--rm", "--user=0", "--network=none", "--entrypoint=python3", name, "-c", _PROBE))
    return Image(name, facts, inside)


def base() -> Image:
    """What all images stand on."""
    return image(BASE)


def asked_of_pypi(service: str) -> set[str]:
    """What the service's own file asks for, beyond what every image has."""
    return _lines(ROOT / "services" / service / "requirements.txt")


def asked_of_debian(service: str) -> set[str]:
    """The service's apt.txt; most have none."""
    return _lines(ROOT / "services" / service / "apt.txt")


def common_packages() -> set[str]:
    """What every image has."""
    return _lines(ROOT / "common" / "requirements.txt")


def needed_of_pypi(made: Image, roots: set[str]) -> set[str]:
    """These distributions and all that they need on the image's Python, by what they themselves declare."""
    requires = {canonicalize_name(name): lines for name, lines in made.inside["packages"].items()}
    version = made.inside["python"]
    environment = {"python_version": ".".join(version.split(".")[:2]), "python_full_version": version}
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), "") for name in roots]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for one in map(Requirement, requires.get(name, [])):
            if one.marker is None or one.marker.evaluate({**environment, "extra": extra}):
                waiting += [(canonicalize_name(one.name), more) for more in ("", *one.extras)]
    return {name for name, _ in found}


def needed_of_debian(made: Image, roots: set[str]) -> set[str]:
    """These Debian packages, and all installed ones that they depend on."""
    depends = {row[0]: re.findall(r"[a-z0-9][a-z0-9.+-]+(?=[ ,|:(]|$)", row[1]) for row in made.inside["debian"]}
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in depends and name not in found:
            found.add(name)
            waiting += depends[name]
    return found


def _lines(path: Path) -> set[str]:
    text = path.read_text() if path.exists() else ""
    return {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}
