"""`make reference`: writes the marked parts of the pages in docs/reference."""

from __future__ import annotations

from tools.reference import commands, errors, metrics, settings
from tools.reference.pages import REFERENCE, filled

PAGES = {
    "commands.md": commands.parts,
    "config.md": settings.parts,
    "errors.md": errors.parts,
    "metrics.md": metrics.parts,
}


def main() -> None:
    """All pages, anew."""
    for name, parts in PAGES.items():
        path = REFERENCE / name
        path.write_text(filled(path.read_text(encoding="utf-8"), parts()), encoding="utf-8")


if __name__ == "__main__":
    main()
