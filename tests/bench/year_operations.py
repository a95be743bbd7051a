"""What a book asks of the volume: each system call on the board and on books' files, counted by strace, per stage.

Two runs of the pipeline, of few books and of more; their difference is what a book takes, so that neither a start nor
an end counts. Work in the workers' own temporary folders is left out: on Kubernetes that is memory.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.corpus import Corpus, served
from tests.bench.stages import _UP, NAMES, Pipeline, _check

_TRACED = "%file,%desc,clone,clone3,fork,vfork"
_KINDS = {
    "changes": r"rename\w*|link(at)?|symlink\w*|unlink(at)?|rmdir|mkdir(at)?|f?chmod\w*|utime\w*|f\w+ate",
    "syncs": r"fsync|fdatasync",
    "looks": r"newfstatat|l?stat|statx|f?access(at2?)?|readlink(at)?|getdents64",
    "written": r"p?write(v|64)?|sendfile|copy_file_range",
    "read": r"p?read(v|64)?",
}
_BYTES = ("written", "read")


def main(argv: list[str] | None = None) -> None:
    """Measure and print one line of JSON for each layout."""
    parser = argparse.ArgumentParser(prog="year_operations", description=__doc__)
    parser.add_argument("--books", type=int, default=12)
    parser.add_argument("--fewer", type=int, default=2)
    parser.add_argument("--pages", type=int, default=480)
    parser.add_argument("--folder", type=Path, default=Path("bench/run"))
    arguments = parser.parse_args(argv)
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for layout in ("files", "tar"):
        few, more = (_traced(layout, books, arguments.pages, folder) for books in (arguments.fewer, arguments.books))
        more.subtract(few)
        print(json.dumps({"layout": layout, "a book": _table(more, arguments.books - arguments.fewer)}, indent=1))


def _traced(layout: str, books: int, pages: int, folder: Path) -> Counter[tuple[str, str]]:
    with served(folder, books, pages) as corpus:
        place = folder / "traced"
        config = Unhurried(layout)._fresh(corpus, place)
        trace = folder / "trace"
        strace = ["strace", "-f", "-y", "-qq", "-e", f"trace={_TRACED}", "-e", "signal=none", "-o", str(trace)]
        quiet = subprocess.DEVNULL
        subprocess.run([*strace, *_UP, "--config", str(config)], check=True, stdout=quiet, stderr=quiet)
        _check(corpus, place)
    with trace.open(errors="replace") as lines:
        return counted(lines, place)


class Unhurried(Pipeline):
    """Idle workers look as seldom as they would with `poll` left alone, so that waiting is not counted as work."""

    def _config(self, corpus: Corpus) -> dict[str, Any]:
        config = super()._config(corpus)
        del config["global"]["poll"]
        return config


def counted(lines: Iterator[str], place: Path) -> Counter[tuple[str, str]]:
    """Per stage and kind, the calls that concern `place`; for data, the bytes."""
    mine = re.compile(re.escape(str(place)) + "/(pipeline|processing|done)")
    stage_of: dict[str, str] = {}
    found: Counter[tuple[str, str]] = Counter()
    for process, call, text, result in _calls(lines):
        if call in ("clone", "clone3", "fork", "vfork") and process in stage_of:
            stage_of.setdefault(str(result), stage_of[process])
        elif call == "execve" and (started := re.search(r'"common\.run", "(\w+)"', text)):
            stage_of[process] = started[1]
        elif mine.search(text) and (kind := _kind(call, text, result)):
            found[stage_of.get(process, "up"), kind] += max(0, result) if kind in _BYTES else 1
    return found


def _calls(lines: Iterator[str]) -> Iterator[tuple[str, str, str, int]]:
    """Process, call, the whole line, result; a call that was interrupted in the trace is put together again."""
    halves: dict[str, str] = {}
    for line in lines:
        process, text = line.rstrip().split(maxsplit=1)
        if text.endswith("<unfinished ...>"):
            halves[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            text = halves.pop(process, "") + text[resumed.end() :]
        if result := re.search(r"\)\s+= (-?\d+)", text):
            yield process, text.split("(", 1)[0], text, int(result[1])


def _kind(call: str, text: str, result: int) -> str | None:
    if call.startswith("open"):
        return "creates" if "O_CREAT" in text and result >= 0 else "looks"
    kind = next((kind for kind, calls in _KINDS.items() if re.fullmatch(calls, call)), None)
    # A change that is refused is only looked up by the server.
    return "looks" if kind == "changes" and result < 0 else kind


def _table(found: Counter[tuple[str, str]], books: int) -> dict[str, dict[str, float]]:
    kinds = ["creates", *_KINDS]
    sizes = {kind: 1e6 if kind in _BYTES else 1 for kind in kinds}
    return {
        stage: {kind: round(found[stage, kind] / books / sizes[kind], 1) for kind in kinds} for stage in ("up", *NAMES)
    }


if __name__ == "__main__":
    main()
