"""Page images: how large they are by their headers, and small pictures of them, at a bounded price.

Books hold what strangers put in. An image is looked at only by the reader that its first bytes ask for, and decoded
only when that takes little memory. What a reader says of a broken image is not repeated: it need not be the same twice.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from services.modifier.modification import Members

Size = tuple[int, int]


class _Jp2(Jpeg2KImageFile):
    """OpenJPEG rounds the sides of a reduced image up, Pillow to the nearest: it took most pages for damaged."""

    def load(self) -> Any:
        """Decode, from a size in which both come out the same."""
        if self.tile and self._reduce:
            step = 1 << self._reduce
            self._size = (-(-self.width // step) * step, -(-self.height // step) * step)
        return super().load()


_READERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _Jp2),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
)
# Pages of books have a tenth of that; a reader may take in all of a hostile file for its header, many times over.
_LARGEST_FILE = 16 << 20
# At 600 dots an inch nearly three metres.
_LONGEST_SIDE = 65_535
# What an image may take in memory while it is decoded, in bytes: 33 by 30 centimetres in two colours, 600 dots an inch.
_MOST_MEMORY = 56_000_000
# How often a JP2 can be halved by not decoding all of it; Google's have at least so many levels.
_LEVELS = 5
_BAND_ROWS = 256


class ImageError(Exception):
    """An image that cannot be used; the message says what it is, to follow its name."""


def size_of(members: Members, name: str) -> Size:
    """Width and height in pixels, by the header alone; ImageError when it has none that can be true."""
    _require_moderate(members, name)
    with members.open(name) as file, _reading():
        size = _reader(file).size
    if not 0 < min(size) <= max(size) <= _LONGEST_SIDE:
        raise ImageError(f"claims to be {size[0]:,} by {size[1]:,} pixels")
    return size


def small(members: Members, name: str, longest: int) -> Image.Image:
    """A picture in colour whose longer side has at most `longest` pixels; ImageError when none can be had."""
    size = size_of(members, name)
    data = io.BytesIO(members.read(name))
    with _reading():
        image = _reader(data)
        if _memory(image, _halve(image, longest)) > _MOST_MEMORY:
            raise ImageError(f"is {size[0]:,} by {size[1]:,} pixels, too large to be decoded for a preview")
        picture = _decoded(image, longest)
        # In two steps, the first of them coarse and quick.
        picture.thumbnail((longest, longest), Image.Resampling.BOX, reducing_gap=2.0)
        return picture.convert("RGB")


def _require_moderate(members: Members, name: str) -> None:
    size = members.size(name)
    if size == 0:
        raise ImageError("is empty")
    if size > _LARGEST_FILE:
        raise ImageError(f"has {size:,} bytes, more than any page")


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever a reader makes of a broken image is an ImageError, and no warning of its own is heard."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as error:
        # An error with a number is the disk's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError("is damaged") from None


def _reader(file: IO[bytes]) -> ImageFile:
    # Not by Image.open, which warns of large images that need not be decoded at all.
    begins = file.read(16)
    file.seek(0)
    for signature, reader in _READERS:
        if begins.startswith(signature):
            return reader(file)
    raise ImageError("is neither TIFF nor JP2, JPEG or PNG")


def _halve(image: ImageFile, longest: int) -> int:
    """Ask the reader for no more than it takes; how often it will halve both sides."""
    if isinstance(image, Jpeg2KImageFile):
        halvings = min(_LEVELS, max(1, max(image.size) // longest).bit_length() - 1)
        image.reduce = halvings
        return halvings
    if isinstance(image, JpegImageFile):
        image.draft("RGB", (longest, longest))
    return 0


def _memory(image: ImageFile, halvings: int) -> int:
    """About how many bytes it will take to decode."""
    pixels, bands = image.width * image.height, len(image.getbands())
    if isinstance(image, Jpeg2KImageFile):
        # Whole numbers for each point and band, twice; and a note on each block of the full size.
        return (pixels >> 2 * halvings) * (8 * bands + 4) + pixels * bands // 12
    if isinstance(image, TiffImageFile):
        # A tile can be larger than its image.
        pixels = max(pixels, image.tag_v2.get(TILEWIDTH, 0) * image.tag_v2.get(TILELENGTH, 0))
    return pixels * (1 if image.mode in {"1", "L", "P"} else 4)


def _decoded(image: ImageFile, longest: int) -> Image.Image:
    if image.mode == "1":
        return _grey(image, max(1, max(image.size) // (2 * longest)))
    image.load()
    if isinstance(image, Jpeg2KImageFile):
        # So that it is the method again, of the same name.
        image.reduce = 0
    return image


def _grey(image: Image.Image, factor: int) -> Image.Image:
    """A two-colour image in shades of grey, both sides divided by `factor`: a band at a time, to hold it only once."""
    width, height = image.size
    grey = Image.new("L", (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, _BAND_ROWS // factor)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        grey.paste(band.convert("L").reduce(factor), (0, top // factor))
    return grey
