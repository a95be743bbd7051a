"""The pages about Kubernetes: their blocks of YAML, and the commands that they tell."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import ROOT

PAGES = [
    path
    for path in (*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "k8s").rglob("*.md")), ROOT / "README.md")
    if re.search("kubectl|kustomiz|apiVersion:", path.read_text())
]
_COMMAND = re.compile(r"\b(kubectl|kustomize) (?!\w+ (?:is|reads|makes)\b)[^`\n]*")
_ENDS = re.compile(r" \| |\s>|\s{4,}|; | && |\s#")
_KINDS = {"deploy": "Deployment", "deployment": "Deployment", "service": "Service", "svc": "Service"}
_KINDS |= {"cronjob": "CronJob", "pvc": "PersistentVolumeClaim", "job": "Job", "pod": "Pod"}
_KINDS |= {"scaledobject": "ScaledObject", "configmap": "ConfigMap", "secret": "Secret", "pdb": "PodDisruptionBudget"}


@dataclass(frozen=True)
class Block:
    """A block of YAML of a page."""

    page: Path
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.number}"

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What is in it."""
        return [document for document in yaml.safe_load_all(self.text) if document]


def blocks(page: Path) -> list[Block]:
    """A page's blocks of YAML, those within lists, too."""
    found = re.findall(r"^( *)```yaml\n(.*?)^\1```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(page, number, textwrap.dedent(text)) for number, (_, text) in enumerate(found, 1)]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of kubectl or kustomize; what follows a pipe is another program's."""
    for match in _COMMAND.finditer(page.read_text()):
        text = _ENDS.split(match[0])[0].rstrip(".,;:)")
        if text.count("'") % 2 == 0 and text.count('"') % 2 == 0:
            yield shlex.split(text)


@dataclass(frozen=True)
class Told:
    """What a command names."""

    folders: list[str]
    objects: list[tuple[str, str]]
    namespaces: list[str]
    containers: list[str]


def told(words: list[str]) -> Told:
    """What a command names: before the words that are for a container."""
    own = words[: words.index("--")] if "--" in words else words
    values = {flag: [after for before, after in pairwise(own) if before == flag] for flag in own}
    named = [re.fullmatch(r"(?:--from=)?(\w+)/([\w.-]+)", word) for word in own[1:]]
    return Told(
        folders=[
            *values.get("-k", ()),
            *values.get("-f", ()),
            *(own[2:3] if own[:2] == ["kubectl", "kustomize"] else ()),
        ],
        objects=[(_KINDS[match[1]], match[2]) for match in named if match and match[1] in _KINDS],
        namespaces=[*values.get("-n", ()), *values.get("--namespace", ())],
        containers=values.get("-c", []),
    )
