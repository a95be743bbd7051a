"""What stands on each page of a book: covers, title, contents, chapters, pictures, blanks, printed page numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

_FRONT = (("FRONT_COVER",), ("BLANK",), ("TITLE",), ("COPYRIGHT",), ("TABLE_OF_CONTENTS",))
FEWEST_PAGES = 4
_CHAPTER_EVERY = 9
_PICTURE_SHARE = 0.06
_BLANK_SHARE = 0.04


@dataclass(frozen=True)
class Leaf:
    """One page: its sequence number in the book, its tags, its printed number (empty when none is printed)."""

    sequence: int
    tags: tuple[str, ...]
    label: str = ""

    @property
    def cover(self) -> bool:
        """Whether this is one of the boards."""
        return bool({"FRONT_COVER", "BACK_COVER"} & set(self.tags))

    @property
    def picture(self) -> bool:
        """Whether the page is stored as JPEG 2000."""
        return self.cover or "IMAGE_ON_PAGE" in self.tags

    @property
    def blank(self) -> bool:
        """Whether nothing is printed on the page."""
        return "BLANK" in self.tags

    @property
    def chapter_start(self) -> bool:
        """Whether a chapter begins here."""
        return bool({"CHAPTER_START", "FIRST_CONTENT_CHAPTER_START"} & set(self.tags))

    @property
    def google_number(self) -> str:
        """The page number in Google's notation: PP front matter, PA body, PT what follows."""
        if self.label:
            return f"PA{self.label}"
        return f"PP{self.sequence}" if self.sequence <= len(_FRONT) else f"PT{self.sequence}"


def plan_leaves(rng: random.Random, pages: int) -> list[Leaf]:
    """The leaves of a book of `pages` pages, at least FEWEST_PAGES: front matter, content, back cover."""
    front = _FRONT[: min(len(_FRONT), pages - 2)]
    leaves = [Leaf(number, tags) for number, tags in enumerate(front, 1)]
    leaves += [Leaf(len(front) + n, _content_tags(rng, n), label=str(n)) for n in range(1, pages - len(front))]
    return [*leaves, Leaf(pages, ("BACK_COVER",))]


def with_gap(leaves: list[Leaf]) -> list[Leaf]:
    """The same leaves with one sequence number in the middle left out."""
    middle = len(leaves) // 2
    return leaves[:middle] + [replace(leaf, sequence=leaf.sequence + 1) for leaf in leaves[middle:]]


def _content_tags(rng: random.Random, number: int) -> tuple[str, ...]:
    if number == 1:
        return ("FIRST_CONTENT_CHAPTER_START", "UNTYPICAL_PAGE")
    if number % _CHAPTER_EVERY == 1:
        return ("CHAPTER_START", "UNTYPICAL_PAGE")
    draw = rng.random()
    if number == 3 or draw < _PICTURE_SHARE:
        return ("IMAGE_ON_PAGE",)
    return ("BLANK",) if draw < _PICTURE_SHARE + _BLANK_SHARE else ("CHAPTER_PAGE", "UNTYPICAL_PAGE")
