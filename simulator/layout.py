"""Typesetting: words with the boxes they are drawn in, in pixels at 300 ppi, the scale that Google's hOCR uses."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

Box = tuple[int, int, int, int]

BODY, HEAD, TITLE = 40, 34, 84
_LEADING = 1.55
_SPLIT = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]|_")


@dataclass(frozen=True)
class Word:
    """What OCR calls a word: letters or one punctuation mark, where its ink is, and whether a space follows."""

    text: str
    origin: tuple[int, int]
    box: Box
    confidence: int
    space: bool


@dataclass(frozen=True)
class Line:
    """Words on one baseline."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The line as the text file has it."""
        return "".join(word.text + " " * word.space for word in self.words).rstrip()


@dataclass(frozen=True)
class Block:
    """A heading or a paragraph, set in one size."""

    lines: tuple[Line, ...]
    size: int


@dataclass(frozen=True)
class Piece:
    """Text to be set as one block."""

    text: str
    size: int = BODY
    centred: bool = False
    space_before: float = 0.6
    """In lines of the piece's own size."""


@cache
def font(size: int) -> FreeTypeFont:
    """The font that comes with Pillow, so that books look the same on every machine."""
    found = ImageFont.load_default(size)
    if not isinstance(found, FreeTypeFont):
        raise TypeError("Pillow was built without FreeType; install a Pillow wheel to make books.")
    return found


def text_of(blocks: list[Block]) -> str:
    """The page's text file: a line of print per line."""
    return "".join(line.text + "\n" for block in blocks for line in block.lines)


def set_page(rng: random.Random, pieces: list[Piece], trim: tuple[int, int]) -> list[Block]:
    """Sets the pieces from top to bottom inside the margins; what does not fit is left out."""
    top, blocks = trim[1] * 0.07, []
    for piece in pieces:
        top += piece.space_before * piece.size * _LEADING
        room = int((trim[1] * 0.95 - top) / (piece.size * _LEADING))
        lines = _break_lines(piece, trim)[: max(room, 0)]
        if lines:
            blocks.append(_set_block(rng, piece, lines, top, trim))
            top += len(lines) * piece.size * _LEADING
    return blocks


def _break_lines(piece: Piece, trim: tuple[int, int]) -> list[list[str]]:
    measure, space = _measure(trim), _space(piece.size)
    lines: list[list[str]] = [[]]
    used = 0.0
    for word in piece.text.split():
        length = _length(word, piece.size)
        if lines[-1] and used + length > measure:
            lines.append([])
            used = 0.0
        lines[-1].append(word)
        used += length + space
    return [line for line in lines if line]


def _set_block(rng: random.Random, piece: Piece, lines: list[list[str]], top: float, trim: tuple[int, int]) -> Block:
    done = []
    for number, line in enumerate(lines):
        baseline = round(top + (number + 0.8) * piece.size * _LEADING)
        left, space = _spread(piece, line, trim, last=number == len(lines) - 1)
        done.append(Line(tuple(_place(rng, line, piece.size, (left, baseline), space))))
    return Block(tuple(done), piece.size)


def _spread(piece: Piece, line: list[str], trim: tuple[int, int], *, last: bool) -> tuple[float, float]:
    natural = sum(_length(word, piece.size) for word in line)
    left, space, spare = trim[0] * 0.15, _space(piece.size), _measure(trim) - natural
    if piece.centred:
        return left + (spare - space * (len(line) - 1)) / 2, space
    return left, space if last or len(line) == 1 else spare / (len(line) - 1)


def _place(rng: random.Random, line: list[str], size: int, start: tuple[float, int], space: float) -> Iterator[Word]:
    left, baseline = start
    for position, word in enumerate(line):
        x, parts = left, _SPLIT.findall(word)
        for part_number, part in enumerate(parts):
            origin = (round(x), baseline)
            follows = part_number == len(parts) - 1 and position < len(line) - 1
            yield Word(part, origin, _ink(part, size, origin), rng.randint(92, 100), follows)
            x += _length(part, size)
        left += _length(word, size) + space


def _measure(trim: tuple[int, int]) -> float:
    return trim[0] * 0.7


def _space(size: int) -> float:
    return size * 0.36


@lru_cache(maxsize=20_000)
def _length(word: str, size: int) -> float:
    return sum(font(size).getlength(part) for part in _SPLIT.findall(word))


@lru_cache(maxsize=20_000)
def _bounds(word: str, size: int) -> tuple[float, float, float, float]:
    return font(size).getbbox(word, anchor="ls")


def _ink(word: str, size: int, origin: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = _bounds(word, size)
    return (origin[0] + int(x0), origin[1] + int(y0), origin[0] + int(x1), origin[1] + int(y1))
