"""Page images for the tests of modifications: sound ones as Google writes them, and hostile ones."""

from __future__ import annotations

import io
import struct
from functools import lru_cache

from PIL import Image, ImageDraw

SIZE = (400, 632)


def _drawn(mode: str, size: tuple[int, int]) -> Image.Image:
    paper = {"1": 1, "L": 255, "RGB": (250, 240, 220)}[mode]
    image = Image.new(mode, size, paper)
    pen = ImageDraw.Draw(image)
    for top in range(40, size[1] - 40, 24):
        pen.line((30, top, size[0] - 30, top + 3), fill=0, width=6)
    return image


@lru_cache
def tiff(size: tuple[int, int] = SIZE) -> bytes:
    """A page in two colours, CCITT Group 4."""
    out = io.BytesIO()
    _drawn("1", size).save(out, "TIFF", compression="group4", dpi=(600, 600))
    return out.getvalue()


@lru_cache
def jp2(size: tuple[int, int] = SIZE, mode: str = "RGB") -> bytes:
    """A page in colour or grey, JPEG 2000 with five levels."""
    out = io.BytesIO()
    _drawn(mode, size).save(out, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[30])
    return out.getvalue()


def other(kind: str) -> bytes:
    """A page as Google does not write them."""
    out = io.BytesIO()
    _drawn("RGB", SIZE).save(out, kind)
    return out.getvalue()


def bare_tiff(width: int, height: int, **tags: int) -> bytes:
    """A TIFF whose header says what it likes, with a hundred bytes for an image."""
    known = {256: width, 257: height, 258: 1, 259: 4, 262: 0, 273: 8, 277: 1, 278: height, 279: 100}
    known |= {int(tag.removeprefix("tag")): value for tag, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(known.items()))
    return b"II*\0" + struct.pack("<I", 108) + bytes(100) + struct.pack("<H", len(known)) + entries + bytes(4)


def claiming_jp2(width: int, height: int, *, box: bool = True, stream: bool = True) -> bytes:
    """A small JP2 that claims another size in its header box, in its code stream, or in both."""
    data = bytearray(jp2())
    if box:
        struct.pack_into(">II", data, data.index(b"ihdr") + 4, height, width)
    if stream:
        struct.pack_into(">II", data, data.index(b"\xff\x51") + 6, width, height)
        struct.pack_into(">II", data, data.index(b"\xff\x51") + 22, width, height)
    return bytes(data)


# What each is, and the end of the sentence on why it has no size; None where the header is in order.
HOSTILE: dict[str, tuple[bytes, str | None]] = {
    "empty": (b"", "is empty"),
    "text": (b"This page intentionally left blank. " * 20, "is neither TIFF nor JP2, JPEG or PNG"),
    "cut in the JP2 header": (jp2()[:60], "is damaged"),
    "cut JP2": (jp2()[: len(jp2()) // 2], None),
    "cut TIFF": (tiff()[:-60], None),
    "only a signature": (b"II*\0", "is damaged"),
    "a directory that is not there": (b"II*\0\xff\xff\xff\x7f", "is damaged"),
    "TIFF of 100,000 pixels": (bare_tiff(100_000, 100_000), "claims to be 100,000 by 100,000 pixels"),
    "TIFF of 60,000 pixels": (bare_tiff(60_000, 60_000), None),
    "TIFF of no pixels": (bare_tiff(0, 10), "is damaged"),
    "TIFF without data": (bare_tiff(6000, 8000), None),
    "TIFF with a tile of 450 MB": (bare_tiff(1000, 1000, tag322=60_000, tag323=60_000, tag324=8, tag325=100), None),
    "TIFF with a strip of 2 GB": (bare_tiff(1000, 1000, tag279=1 << 31), None),
    "TIFF of 9 samples": (bare_tiff(1000, 1000, tag277=9), "is damaged"),
    "JP2 of 100,000 pixels": (claiming_jp2(100_000, 100_000), "claims to be 100,000 by 100,000 pixels"),
    "JP2 of 60,000 pixels": (claiming_jp2(60_000, 60_000), None),
    "JP2 of 20,000 pixels": (claiming_jp2(20_000, 20_000), None),
    "JP2 with a modest box": (claiming_jp2(60_000, 60_000, box=False), None),
    "JP2 with a boastful box": (claiming_jp2(9_000, 9_000, stream=False), None),
    "PNG without data": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is damaged"),
}
