"""The site of the documents: each page is in its table, no link of a page leads nowhere. It is not built here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT, tokens

DOCS = ROOT / "docs"
BROUGHT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*BROUGHT, *sorted(DOCS.rglob("*.md"))]


def _named(part: Any) -> Iterator[str]:
    """The pages in a part of the table."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _named(inner)


def _targets(page: Path) -> Iterator[str]:
    """Where links and images of a page lead, but for those to other places."""
    for token in tokens(page):
        for child in token.children or ():
            target = str(child.attrs.get("href") or child.attrs.get("src") or "")
            if target and not re.match(r"[a-z]+:", target):
                yield target


def _anchors(page: Path) -> set[str]:
    """What one can link to in a page: its headings, as GitHub and the site name them."""
    found = tokens(page)
    headings = [after.content for token, after in pairwise(found) if token.type == "heading_open"]
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower())) for heading in headings}


def test_each_page_is_in_the_table_of_the_site() -> None:
    """Each file of docs/ stands in mkdocs.yml once, and none that is not there: a new page wants a line in it."""
    table = sorted(_named(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert sorted(there - set(table)) == [], "a page of docs/ wants a line in mkdocs.yml"
    assert sorted(name for name in table if not name.startswith("project/")) == sorted(there)
    assert [name for name in table if name.startswith("project/") and not (ROOT / name[8:]).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    """Each link is relative, to a file of the project, and to a heading that it has."""
    for target in _targets(page):
        place, _, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        there = there / "README.md" if there.is_dir() else there
        assert there.is_file(), f"{page.name}: {target}"
        assert there.is_relative_to(ROOT), f"{page.name}: {target}"
        assert not anchor or there.suffix != ".md" or anchor in _anchors(there), f"{page.name}: {target}"


def test_each_page_begins_with_its_title() -> None:
    """Each page has one heading of the first rank, at its beginning: the site names it by that."""
    for page in PAGES:
        ranks = [token.tag for token in tokens(page) if token.type == "heading_open"]
        assert ranks[:1] == ["h1"], page.name
        assert ranks.count("h1") == 1, page.name


def test_the_site_fetches_nothing() -> None:
    """No font, script or style from elsewhere is asked for, and the theme's own are in the package."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert site["theme"]["font"] is False
    assert "extra_javascript" not in site
    assert [name for name in site["extra_css"] if not (DOCS / name).is_file()] == []
    assert "//" not in "".join((DOCS / name).read_text() for name in site["extra_css"])


def test_what_the_site_is_made_with_is_pinned() -> None:
    """Each requirement of the site has one version, and none is among those of an image."""
    lines = (DOCS / "requirements.txt").read_text().split()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    ours = [*(ROOT / "services").glob("*/requirements.txt"), ROOT / "common" / "requirements.txt"]
    assert [path for path in ours if "mkdocs" in path.read_text()] == []
