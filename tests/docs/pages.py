"""The commands that the documents tell people to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs").glob("tutorial/*.md")),
    *sorted((ROOT / "docs").glob("how-to/*.md")),
    *sorted((ROOT / "docs").glob("reference/*.md")),
    *sorted((ROOT / "docs").glob("runbook/*.md")),
]
# What a shell would not see: a prompt, what is explained behind two blanks, a comment.
_PROMPT = re.compile(r"^\$ ")
_EXPLAINED = re.compile(r" {2,}.*| +# .*")
# Blocks of commands have no language, or one of these.
_SHELLS = ("", "sh", "bash", "console")


@dataclass(frozen=True)
class Block:
    """A block of code: where it stands, its language, its lines."""

    page: Path
    line: int
    language: str
    text: str


@dataclass(frozen=True, order=True)
class Typed:
    """One line that a person types, and where it says so."""

    where: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of code of a page, fenced or indented, in their order."""
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content)


def typed(page: Path) -> Iterator[Typed]:
    """The lines of its blocks of commands; one that goes on in the next line is one."""
    for block in blocks(page):
        if block.language in _SHELLS:
            lines = re.sub(r"\s*\\\n\s*", " ", block.text).splitlines()
            prompted = any(_PROMPT.match(line) for line in lines)
            for number, line in enumerate(lines):
                if prompted and not _PROMPT.match(line):
                    continue
                text = _EXPLAINED.sub("", _PROMPT.sub("", line.strip()))
                if text and not line.startswith(" "):
                    yield Typed(f"{page.relative_to(ROOT)}:{block.line + number}", " ".join(text.split()))


def inline(page: Path) -> Iterator[Typed]:
    """What stands as code within its sentences."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                where = f"{page.relative_to(ROOT)}:{token.map[0] + 1 if token.map else 0}"
                yield Typed(where, " ".join(child.content.split()))


@dataclass(frozen=True, order=True)
class Ours:
    """A call of `grin-pipeline` within what is typed, perhaps inside a container: its arguments, and a file for it."""

    arguments: tuple[str, ...]
    reads: str = ""


# What stands for something that only the reader knows.
_MEANT = {"BARCODE": "39000000000018", "STAGE": "decryptor", "BUCKET": "02_decrypted", "TEXT": "not converted"}
_ENDS = re.compile(r"^[|>&;)]|^2>")


def ours(line: Typed) -> Iterator[Ours]:
    """The calls in a line; none where the words mean an image, a namespace or a folder of that name."""
    words = _words(line.text)
    for number, word in enumerate(words):
        called = word.strip('"$(`') == "grin-pipeline" and words[number - 1] != "-n"
        operator = word == "operator" and words[:3] == ["docker", "compose", "run"]
        if called or operator:
            yield _call(words[number + 1 :])


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _call(words: list[str]) -> Ours:
    arguments: list[str] = []
    for number, word in enumerate(words):
        if word == "<":
            return Ours(tuple(arguments), words[number + 1])
        if _ENDS.match(word):
            break
        arguments += [] if word == "…" else [_MEANT.get(word, word)]
    return Ours(tuple(arguments))


def tokens(page: Path) -> list[Token]:
    """A page as Markdown has it."""
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
