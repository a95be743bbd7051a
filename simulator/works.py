"""The works that the made books are volumes of: volumes of a work share their covers, trim and language."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.words import ENGLISH, FRENCH, GERMAN, LATIN, Language


@dataclass(frozen=True)
class Work:
    """A title with its author, the colour of its boards, and its trim in pixels at 300 ppi."""

    title: str
    author: str
    place: str
    language: Language
    colour: tuple[int, int, int]
    trim: tuple[int, int]


POCKET = (1110, 1720)
DUODECIMO = (1200, 1890)
OCTAVO = (1582, 2496)

WORKS = (
    Work("The Ferryman's Ledger", "Ada Thornbury", "London", ENGLISH, (96, 44, 38), POCKET),
    Work("A Harbour in Winter", "Elias Marsh", "Boston", ENGLISH, (38, 62, 84), DUODECIMO),
    Work("Le moulin du faubourg", "Odile Garance", "Paris", FRENCH, (70, 84, 52), POCKET),
    Work("Der stille Turm", "Friedrich Ahorn", "Leipzig", GERMAN, (88, 74, 46), DUODECIMO),
    Work("De custode fluminis", "Marcus Viator", "Romae", LATIN, (112, 96, 78), POCKET),
    Work("The Printer's Almanac", "Hester Quill", "Edinburgh", ENGLISH, (58, 40, 70), POCKET),
)
