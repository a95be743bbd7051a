"""TIFF files as Google writes them: one CCITT Group 4 strip, white is zero, 600 ppi, then one directory."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from simulator.xmp import Capture, xmp_packet

_SHORT, _LONG, _RATIONAL, _ASCII, _BYTE = 3, 4, 5, 2, 1
_STRIP_AT = 8


@dataclass(frozen=True)
class Strip:
    """A page's bits, Group 4 coded, and its size in pixels at 600 ppi."""

    data: bytes
    width: int
    height: int


def tiff_file(strip: Strip, capture: Capture) -> bytes:
    """The strip as a whole file, tagged with its capture."""
    padded = strip.data + b"\0" * (len(strip.data) % 2)
    directory_at = _STRIP_AT + len(padded)
    return struct.pack("<2sHI", b"II", 42, directory_at) + padded + _directory(_tags(strip, capture), directory_at)


def _tags(strip: Strip, capture: Capture) -> list[tuple[int, int, bytes]]:
    resolution = struct.pack("<II", 600, 1)
    return [
        (256, _SHORT, _short(strip.width)),
        (257, _SHORT, _short(strip.height)),
        (258, _SHORT, _short(1)),
        (259, _SHORT, _short(4)),
        (262, _SHORT, _short(0)),
        (269, _ASCII, _text(capture.source)),
        (271, _ASCII, _text("Google")),
        (272, _ASCII, _text(capture.model)),
        (273, _LONG, struct.pack("<I", _STRIP_AT)),
        (274, _SHORT, _short(1)),
        (277, _SHORT, _short(1)),
        (278, _SHORT, _short(strip.height)),
        (279, _LONG, struct.pack("<I", len(strip.data))),
        (282, _RATIONAL, resolution),
        (283, _RATIONAL, resolution),
        (284, _SHORT, _short(1)),
        (296, _SHORT, _short(2)),
        (306, _ASCII, _text(f"{capture.date.replace('-', ':')} 00:00:00")),
        (315, _ASCII, _text("Google, Inc.")),
        (700, _BYTE, xmp_packet(capture, _fields(strip))),
    ]


def _fields(strip: Strip) -> dict[str, object]:
    return {
        "PlanarConfiguration": 1,
        "ImageWidth": strip.width,
        "ImageLength": strip.height,
        "BitsPerSample": 1,
        "Compression": 4,
        "PhotometricInterpretation": 0,
        "Orientation": 1,
        "SamplesPerPixel": 1,
        "XResolution": "600/1",
        "YResolution": "600/1",
        "ResolutionUnit": 2,
    }


def _directory(tags: list[tuple[int, int, bytes]], at: int) -> bytes:
    widths = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _ASCII: 1, _BYTE: 1}
    entries, values = [], b""
    values_at = at + 2 + 12 * len(tags) + 4
    for tag, kind, value in tags:
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", values_at + len(values))
        entries.append(struct.pack("<HHI4s", tag, kind, len(value) // widths[kind], place))
        if len(value) > 4:
            values += value + b"\0" * (len(value) % 2)
    return struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", 0) + values


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
