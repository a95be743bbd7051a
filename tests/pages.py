"""Pages of the documentation whose blocks are marked: what a test runs is what a reader copies.

`<!-- run: GROUP -->` before a block of shell lets it run with all others of that group, in the order of the page, in
one shell. `<!-- file: NAME (GROUP) -->` before a block of anything is a file of that name in the shell's folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_MARK = r"<!-- (?:run: (?P<run>[\w-]+)|file: (?P<file>\S+) \((?P<of>[\w-]+(?:, [\w-]+)*)\)) -->"
_BLOCK = r"```\w*\n(?P<text>.*?)^ *```$"
_MARKED = re.compile(rf"^{_MARK}\n+{_BLOCK}", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of a page: commands, or a file when it has a name."""

    groups: tuple[str, ...]
    name: str
    text: str

    @property
    def shell(self) -> str:
        """As commands, also where it is a file."""
        return f"cat >{self.name} <<'END OF THE FILE'\n{self.text}END OF THE FILE\n" if self.name else self.text


def blocks(page: str, group: str) -> list[Block]:
    """The marked blocks of a group, in their order."""
    found = [
        Block(tuple(re.split(", ", match["of"] or match["run"])), match["file"] or "", match["text"])
        for match in _MARKED.finditer((ROOT / page).read_text())
    ]
    assert len(found) == (ROOT / page).read_text().count("<!-- run: ") + (ROOT / page).read_text().count("<!-- file: ")
    return [block for block in found if group in block.groups]


def file(page: str, group: str, name: str) -> str:
    """The text of one file of a group."""
    [block] = [block for block in blocks(page, group) if block.name == name]
    return block.text


def run(made: list[Block], folder: Path, seconds: float = 180, **environ: str) -> subprocess.CompletedProcess[str]:
    """All of these in one shell that stops at the first error; what it has left running ends with it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # Files, not pipes: what runs in the background would hold them open.
    with (folder / "said").open("w+") as said, (folder / "complained").open("w+") as complained:
        process = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail", "-c", "".join(block.shell for block in made)],
            cwd=folder,
            env={**os.environ, "PATH": path, "HOME": str(folder), **environ},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -1
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return subprocess.CompletedProcess(
        process.args, code, (folder / "said").read_text(), (folder / "complained").read_text()
    )
