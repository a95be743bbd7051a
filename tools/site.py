"""MkDocs calls this while it builds the site: the documents stay as they are in the repository, and work here too.

Pages link to files beside docs/, such as README.md and config.yaml. There is no address where those would be, so each
one that is linked to becomes a page below project/: Markdown as it is, all else as its text. Links that lead nowhere
stay as they are, and `--strict` makes an error of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
DOCS = "docs"
# Where pages of the site come from that are no files of docs/.
_brought: dict[str, str] = {}

_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
_LANGUAGES = {".yaml": "yaml", ".py": "python", ".example": "sh", ".json": "json"}
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are linked to from others and are not in docs/."""
    _brought.clear()
    waiting = [f"{DOCS}/{file.src_uri}" for file in files.documentation_pages()]
    for place in waiting:
        for target in _targets(place):
            if not target.startswith(f"{DOCS}/") and target not in _brought.values():
                page = _page_of(target)
                _brought[page] = target
                files.append(File.generated(config, page, content=_text(target)))
                if target.endswith(".md"):
                    waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where their targets are in the site."""
    uri = page.file.src_uri
    place = _brought.get(uri, f"{DOCS}/{uri}")
    if not place.endswith(".md"):
        return markdown

    def led(found: re.Match[str]) -> str:
        target = _target(place, found[1])
        if target is None:
            return found[0]
        here = os.path.relpath(_page_of(target), Path(uri).parent)
        return f"]({here}{found[2] or ''})"

    return "\n".join(_as_lists(_LINK.sub(led, markdown).split("\n")))


def _targets(place: str) -> list[str]:
    found = (_target(place, link) for link, _ in _LINK.findall((ROOT / place).read_text(encoding="utf-8")))
    return [target for target in found if target is not None]


def _target(place: str, link: str) -> str | None:
    """The file of the repository that a link of a page leads to."""
    if not link or "://" in link or link.startswith("mailto:"):
        return None
    path = Path(os.path.normpath(ROOT / Path(place).parent / link))
    if path.is_dir():
        path = path / "README.md"
    return str(path.relative_to(ROOT)) if path.is_file() and path.is_relative_to(ROOT) else None


def _page_of(target: str) -> str:
    if target.startswith(f"{DOCS}/"):
        return target.removeprefix(f"{DOCS}/")
    name = target if target.endswith(".md") else f"{target}.md"
    # A name that begins with a dot would be left out.
    return f"project/{name.replace('/.', '/_').removeprefix('.')}"


def _text(target: str) -> str:
    text = (ROOT / target).read_text(encoding="utf-8")
    if target.endswith(".md"):
        return text
    language = _LANGUAGES.get(Path(target).suffix, "text")
    return f"---\nsearch: {{exclude: true}}\n---\n# {target}\n\n````{language}\n{text}\n````\n"


def _as_lists(lines: list[str]) -> Iterator[str]:
    """Lists as Python-Markdown wants them: an item's text four spaces in, blank lines between long items."""
    within, fenced, blank = 0, False, False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        item = None if fenced else _ITEM.match(line)
        if item and within and blank:
            yield ""
        if item or (line and indent < within):
            within, blank = len(item[0]) if item else 0, False
        blank |= not line
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        # As far in as the item's text, or as code in it.
        short = not item and within and indent % 4 == within % 4
        yield f"{' ' * (4 - within)}{line}" if short and line else line
