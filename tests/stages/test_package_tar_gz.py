"""tar.gz: gzip of deflated and stored parts, which every gunzip reads; and a file that is hashed as it is written."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from books import BARCODE, book_of, pages
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import pack, unpacked

from services.modifier.packages.gzip_stream import GzipStream
from services.modifier.packages.output import Output
from services.modifier.stage import Modifier

Make = Callable[..., Modifier]
NAME = f"{BARCODE}.tar.gz"
_SIZES = st.sampled_from([0, 1, 7, 512, 65_534, 65_535, 65_536, 131_070, 200_000])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), _SIZES, st.integers(0, 255))), st.integers(1, 3))
def test_any_mixture_is_plain_gzip(parts: list[tuple[bool, int, int]], level: int) -> None:
    """Whatever is stored or compressed in whatever order comes out as it went in, with a true CRC-32 and size."""
    packed, plain = bytearray(), bytearray()
    stream = GzipStream(packed.extend, level)
    for stored, size, first in parts:
        data = bytes((first + position) % 251 for position in range(251)) * (size // 251 + 1)
        (stream.store if stored else stream.compress)(data[:size])
        plain += data[:size]
    stream.finish()
    assert gzip.decompress(packed) == plain
    assert packed[-8:] == zlib.crc32(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little")
    assert len(packed) < len(plain) + 100 + 20 * (len(parts) + len(plain) // 65_535)


def test_gunzip_reads_it(tmp_path: Path) -> None:
    """The tool itself, with stored parts at the beginning, in the middle and at the end."""
    path = tmp_path / "file.gz"
    with path.open("wb") as file:
        stream = GzipStream(file.write, 1)
        stream.store(b"first" * 50_000)
        stream.compress(b"second" * 50_000)
        stream.store(b"third")
        stream.finish()
    done = subprocess.run(["gunzip", "--stdout", path], capture_output=True, check=True)
    assert done.stdout == b"first" * 50_000 + b"second" * 50_000 + b"third"
    assert done.stderr == b""


def test_an_output_knows_what_was_written(tmp_path: Path) -> None:
    """Name, size and SHA-256, also of views; a name that is taken is an error."""
    with Output(tmp_path / "new") as output:
        assert output.write(b"abc") == 3
        output.write(memoryview(b"defgh")[1:3])
        artifact = output.artifact()
    data = (tmp_path / "new").read_bytes()
    assert data == b"abcef"
    assert (artifact.name, artifact.size, artifact.sha256) == ("new", 5, hashlib.sha256(data).hexdigest())
    with pytest.raises(FileExistsError):
        Output(tmp_path / "new")


def test_images_stand_in_the_package_as_they_are(folder: Path, make: Make) -> None:
    """Their bytes can be found in it, and text's cannot; with deflate_images neither."""
    book = book_of(pages())
    pack(folder / "stored", make, book, "tar.gz")
    pack(folder / "deflated", make, book, "tar.gz", deflate_images=True)
    stored, deflated = ((folder / way / "modifier" / NAME).read_bytes() for way in ("stored", "deflated"))
    assert book["00000002.tif"] in stored
    assert book["00000002.html"] not in stored
    assert book["00000002.tif"] not in deflated
    assert len(deflated) < len(stored)
    assert unpacked(folder / "stored", "tar.gz") == unpacked(folder / "deflated", "tar.gz") == book
