"""What `kubectl kustomize` makes of a folder, rendered once in a run; no cluster is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

KUBECTL = Path(sys.executable).with_name("kubectl")


@cache
def rendered(path: Path) -> list[dict[str, Any]]:
    """The documents of the kustomization in a folder."""
    command = [str(KUBECTL), "kustomize", str(path)]
    # It ends before its memory needs to be tidied up; without, it takes two thirds of the time.
    told = subprocess.run(command, env={**os.environ, "GOGC": "off"}, capture_output=True, text=True, check=False)
    # A warning is of something that a later release will no longer read.
    assert (told.returncode, told.stderr) == (0, ""), f"{path} cannot be rendered, or not for long:\n{told.stderr}"
    # Most documents of two renders are the same, and reading them takes longer than rendering.
    return [_read(text) for text in told.stdout.split("\n---\n")]


def of_kind(documents: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The documents of one kind."""
    return [document for document in documents if document["kind"] == kind]


@cache
def _read(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return document
