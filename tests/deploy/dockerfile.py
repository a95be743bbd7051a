"""A Dockerfile as a list of instructions, and what of a folder .dockerignore lets into an image's making."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word in capitals, and all that follows."""

    word: str
    rest: str

    @property
    def is_exec(self) -> bool:
        """Whether it names a program and its arguments, with no shell between."""
        command = re.fullmatch(r"(?:--\S+ +)*(?:CMD +)?(\[.*\])", self.rest)
        try:
            return command is not None and json.loads(command[1])[0] not in {"sh", "bash", "/bin/sh", "/bin/bash"}
        except ValueError:
            return False


def instructions(text: str) -> list[Instruction]:
    """All instructions of a Dockerfile in their order."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = re.sub(r"\\\n\s*", " ", code).splitlines()
    words = [line.strip().partition(" ") for line in lines if line.strip()]
    return [Instruction(word.upper(), rest.strip()) for word, _, rest in words]


def sent(folder: Path, ignore: str) -> list[str]:
    """The files below `folder` that .dockerignore's text lets through: as for the engine, the last match counts."""
    return sorted(path for path in _files(folder) if not _is_ignored(path, ignore))


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def _is_ignored(path: str, ignore: str) -> bool:
    verdict = False
    for line in ignore.splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#") and re.fullmatch(_expression(pattern.lstrip("!")), path):
            verdict = not pattern.startswith("!")
    return verdict


def _expression(pattern: str) -> str:
    """The pattern itself, and all that is below what it names."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.strip("/"))
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part, re.escape(part)) for part in parts) + "(?:/.*)?"
