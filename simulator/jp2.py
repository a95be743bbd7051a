"""JPEG 2000 files as Google writes them: Part 1, lossy, one layer, with resolution and XMP boxes put in."""

from __future__ import annotations

import io
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from simulator.xmp import Capture, xmp_packet

PPI = 300
_XMP_UUID = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_RATES = {"L": 14, "RGB": 30}


@dataclass(frozen=True)
class Picture:
    """A coded picture without metadata: the JP2 that the coder wrote, its size in pixels and its channels."""

    data: bytes
    width: int
    height: int
    channels: int


def code_picture(image: Image.Image) -> Picture:
    """Codes an 8-bit grey or sRGB image, five decomposition levels deep."""
    out = io.BytesIO()
    image.save(
        out,
        "JPEG2000",
        irreversible=True,
        quality_mode="rates",
        quality_layers=[_RATES[image.mode]],
        num_resolutions=6,
    )
    return Picture(out.getvalue(), image.width, image.height, len(image.getbands()))


def jp2_file(picture: Picture, capture: Capture) -> bytes:
    """The picture as a whole file, with its resolution and its capture."""
    out = []
    for kind, content in _boxes(picture.data):
        if kind == b"jp2h":
            out.append(_box(kind, content + _resolution()))
            out.append(_box(b"uuid", _XMP_UUID + xmp_packet(capture, _fields(picture))))
        else:
            out.append(_box(kind, content))
    return b"".join(out)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + length if length else len(data)
        yield kind, data[at + 8 : end]
        at = end


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _resolution() -> bytes:
    # Points per metre as a fraction with a power of ten: 300 ppi is 300 / 0.0254 = 30,000 * 100 / 254.
    capture = struct.pack(">HHHHBB", PPI * 100, 254, PPI * 100, 254, 2, 2)
    return _box(b"res ", _box(b"resc", capture))


def _fields(picture: Picture) -> dict[str, object]:
    return {
        "ImageWidth": picture.width,
        "ImageLength": picture.height,
        "BitsPerSample": ",".join(["8"] * picture.channels),
        "Compression": 34712,
        "PhotometricInterpretation": 2 if picture.channels == 3 else 1,
        "Orientation": 1,
        "SamplesPerPixel": picture.channels,
        "XResolution": f"{PPI}/1",
        "YResolution": f"{PPI}/1",
        "ResolutionUnit": 2,
    }
