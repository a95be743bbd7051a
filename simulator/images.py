"""Pages as pictures: bitonal text with the ragged edges of a scan, coloured boards, grey illustrations."""

from __future__ import annotations

import io
import math
import random
from functools import lru_cache

from PIL import Image, ImageDraw

from simulator.jp2 import Picture, code_picture
from simulator.layout import HEAD, TITLE, Block, Piece, font, set_page
from simulator.tiff import Strip
from simulator.words import Language
from simulator.works import Work

VARIANTS = 3
"""How many different illustrations a trim has."""

# A prime, so that the coders meet no two equal blocks, which deflate would then pack into one.
_TILE = 509
_GRAIN = 0.22
_RAGGED = [255 if value < 128 * (1 - _GRAIN) + 20 else 0 for value in range(256)]


def text_strip(blocks: list[Block], trim: tuple[int, int], rng: random.Random) -> Strip:
    """A page of print at 600 ppi; ink bits are 1, as white is zero."""
    page = Image.new("L", trim, 255)
    _draw(page, blocks, 0)
    _speckle(page, rng)
    large = page.resize((trim[0] * 2, trim[1] * 2), Image.Resampling.BILINEAR)
    ragged = Image.blend(large, _grain(large.size), _GRAIN)
    return _code_strip(ragged.point(_RAGGED, "1"))


@lru_cache(maxsize=32)
def front_cover(work: Work) -> tuple[Picture, list[Block]]:
    """The front board of a work with its title, and that title as set."""
    pieces = [Piece(work.title, TITLE, centred=True, space_before=4), Piece(work.author, 56, centred=True)]
    blocks = set_page(random.Random(work.title), pieces, work.trim)
    board = _board(work)
    _draw(board, blocks, (232, 210, 150))
    return code_picture(board), blocks


@lru_cache(maxsize=32)
def back_cover(work: Work) -> Picture:
    """The back board: cloth and a frame."""
    return code_picture(_board(work))


@lru_cache(maxsize=32)
def illustration(trim: tuple[int, int], language: Language, variant: int) -> tuple[Picture, list[Block]]:
    """A grey landscape with its caption set below it."""
    rng = random.Random(f"{language.code} {variant}")
    top = trim[1] * 0.78 / (HEAD * 1.55)
    blocks = set_page(rng, [Piece(language.sentence(rng), HEAD, centred=True, space_before=top)], trim)
    page = Image.new("L", trim, 236)
    frame = (trim[0] // 8, trim[1] // 8, trim[0] * 7 // 8, trim[1] * 3 // 4)
    page.paste(_landscape((frame[2] - frame[0], frame[3] - frame[1]), rng), frame[:2])
    _draw(page, blocks, 20)
    return code_picture(Image.blend(page, _grain(trim), 0.05)), blocks


def _draw(image: Image.Image, blocks: list[Block], ink: int | tuple[int, int, int]) -> None:
    pen = ImageDraw.Draw(image)
    for block in blocks:
        for line in block.lines:
            for word in line.words:
                pen.text(word.origin, word.text, fill=ink, font=font(block.size), anchor="ls")


def _speckle(page: Image.Image, rng: random.Random) -> None:
    pen = ImageDraw.Draw(page)
    for _ in range(rng.randint(150, 260)):
        x, y = rng.randrange(page.width), rng.randrange(page.height)
        pen.ellipse((x, y, x + rng.randint(0, 2), y + rng.randint(0, 2)), fill=0)


@lru_cache(maxsize=8)
def _grain(size: tuple[int, int]) -> Image.Image:
    tile = Image.frombytes("L", (_TILE, _TILE), random.Random("grain").randbytes(_TILE * _TILE))
    grain = Image.new("L", size)
    for y in range(0, size[1], _TILE):
        for x in range(0, size[0], _TILE):
            grain.paste(tile, (x, y))
    return grain


def _code_strip(bits: Image.Image) -> Strip:
    out = io.BytesIO()
    bits.save(out, "TIFF", compression="group4", tiffinfo={278: bits.height})
    data = out.getvalue()
    with Image.open(io.BytesIO(data)) as coded:
        at, length = coded.tag_v2[273][0], coded.tag_v2[279][0]  # type: ignore[attr-defined]
    return Strip(data[at : at + length], bits.width, bits.height)


def _board(work: Work) -> Image.Image:
    board = Image.new("RGB", work.trim, work.colour)
    margin = work.trim[0] // 14
    box = (margin, margin, work.trim[0] - margin, work.trim[1] - margin)
    ImageDraw.Draw(board).rectangle(box, outline=(200, 176, 120), width=6)
    return Image.blend(board, _grain(work.trim).convert("RGB"), 0.04)


def _landscape(size: tuple[int, int], rng: random.Random) -> Image.Image:
    width, height = size
    picture = Image.linear_gradient("L").resize(size).point([110 + value // 2 for value in range(256)])
    pen = ImageDraw.Draw(picture)
    sun = rng.randint(width // 4, width * 3 // 4)
    pen.ellipse((sun - 90, height // 6, sun + 90, height // 6 + 180), fill=250)
    for hill in range(4):
        phase, base = rng.uniform(0, 6), height * (0.45 + 0.14 * hill)
        ridge = [(x, base + 70 * math.sin(phase + x * (0.004 + 0.002 * hill))) for x in range(0, width + 16, 16)]
        pen.polygon([(0, height), *ridge, (width + 16, height)], fill=150 - 34 * hill)
    return picture
