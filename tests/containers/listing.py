"""`python -m tests.containers.listing` prints the table of docs/reference/images.md, from the images that are here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.containers.images import ROOT, SERVICES, base, common_packages, image, name_of, needed_of_pypi

PAGE = ROOT / "docs" / "reference" / "images.md"
_NOTHING = "none"


@dataclass(frozen=True)
class Row:
    """One image: what it has over its base, and over what every image has from PyPI."""

    service: str
    megabytes: int
    python: tuple[str, ...]
    debian: tuple[str, ...]

    def __str__(self) -> str:
        python, debian = (", ".join(names) or _NOTHING for names in (self.python, self.debian))
        return f"| `{self.service}` | {self.megabytes} MB | {python} | {debian} |"


def rows_of(services: Iterable[str]) -> list[Row]:
    """A row for each service, as its image is."""
    return [_row(service) for service in services]


def in_all() -> list[str]:
    """The Python packages that every image has: common/'s, and what they need."""
    return sorted(needed_of_pypi(image(name_of(SERVICES[0])), common_packages()))


def rows_told(text: str) -> dict[str, Row]:
    """The rows of a page, by their service."""
    found = re.findall(r"^\| `([\w-]+)` \| (\d+) MB \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    return {service: Row(service, int(size), _names(python), _names(debian)) for service, size, python, debian in found}


def _names(cell: str) -> tuple[str, ...]:
    return () if cell == _NOTHING else tuple(cell.split(", "))


def _row(service: str) -> Row:
    made = image(name_of(service))
    python = tuple(sorted(made.packages() - set(in_all())))
    return Row(service, round(made.megabytes_over(base())), python, tuple(sorted(made.debian() - base().debian())))


if __name__ == "__main__":
    print("| image | over the base | Python packages | Debian packages |\n|---|---|---|---|")
    print("\n".join(str(row) for row in rows_of(SERVICES)))
    print(f"\nIn all of them: {', '.join(in_all())}.")
